package label

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const key = 7

func sure() bool { return true }

// place gives a directory of its own for labels, with bpffs on it; it skips where there can be none.
func place(t testing.TB) string {
	t.Helper()
	skip := func(why any) {
		if os.Getenv("JOBD_INTEGRATION") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if os.Geteuid() != 0 {
		skip("needs root")
	}
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() {
		if err := Unload(dir); err != nil {
			t.Error(err)
		}
	})
	l, err := Open(dir, key)
	if err != nil {
		skip(err)
	}
	l.Close()
	if err := Unload(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func take(t testing.TB, dir string) *Labels {
	t.Helper()
	l, err := Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// subject is a process that does what it is told.
type subject struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func start(t testing.TB, name string, args ...string) *subject {
	t.Helper()
	s := &subject{t: t, cmd: exec.Command(name, args...)}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL) // its own group, of which it is not reaped yet
		_ = s.cmd.Wait()
	})
	return s
}

func (s *subject) pid() int32 { return int32(s.cmd.Process.Pid) }

func (s *subject) tell() {
	s.t.Helper()
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		s.t.Fatal(err)
	}
}

// next reads the next pid that it prints.
func (s *subject) next() int32 {
	s.t.Helper()
	if !s.out.Scan() {
		s.t.Fatal("it says nothing more", s.out.Err())
	}
	n, err := strconv.Atoi(s.out.Text())
	if err != nil {
		s.t.Fatal(err)
	}
	return int32(n)
}

func has(t testing.TB, l *Labels, pid int32, want Label) {
	t.Helper()
	if got, err := l.Get(pid); got != want || err != nil {
		t.Errorf("process %d has %+v, want %+v: %v", pid, got, want, err)
	}
}

func compile(t testing.TB, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("cc", "-O1", "-pthread", "-o", bin, filepath.Join("testdata", name+".c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// TestIntegrationThreads: a process that makes threads and forks from all of them all the time gets a label. What its threads fork
// from then on has it, whichever did, in whoever's name, and whatever executes another program.
func TestIntegrationThreads(t *testing.T) {
	l := take(t, place(t))
	s := start(t, compile(t, "forks"))
	s.next()
	want := Label{In: 1<<63 | 7}
	if _, err := l.Set(s.pid(), want, sure); err != nil {
		t.Fatal(err)
	}
	s.tell()
	for range 8 {
		has(t, l, s.next(), want)
	}
	s.tell()
	sibling := s.next()
	t.Cleanup(func() { _ = unix.Kill(int(sibling), unix.SIGKILL) })
	has(t, l, sibling, want)
	has(t, l, int32(os.Getpid()), Label{})
	s.tell()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.pid())); err != nil || string(comm) == "sleep\n" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not execute sleep")
		}
	}
	has(t, l, s.pid(), want)
	if n, err := l.Missed(); err != nil {
		t.Error(err)
	} else if n > 0 {
		t.Logf("%d children may have no label", n)
	}
}

// TestIntegrationOneProcess: the kernel lists the threads of one process, and not the host's, where it can: nobody would miss it otherwise.
func TestIntegrationOneProcess(t *testing.T) {
	if olderThan(6, 1) {
		t.Skip("before Linux 6.1 all tasks are gone through")
	}
	l := take(t, place(t))
	r, err := threads(l.objects.SetAll, int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestIntegrationOutlives: labels are inherited while nobody has them open, and forgotten by Unload.
func TestIntegrationOutlives(t *testing.T) {
	dir := place(t)
	l := take(t, dir)
	if l.Found() {
		t.Error("labels were there before any were kept")
	}
	s := start(t, "sh", "-c", "read x; sleep 1000 & echo $!; read x; sleep 1000 & echo $!; wait")
	in, out := Label{In: 5}, Label{Out: 5}
	if _, err := l.Set(s.pid(), in, sure); err != nil {
		t.Fatal(err)
	}
	l.Close()
	s.tell()
	first := s.next()
	l = take(t, dir)
	if !l.Found() {
		t.Error("the labels were not there any more")
	}
	has(t, l, s.pid(), in)
	has(t, l, first, in)
	if _, err := l.Set(s.pid(), out, sure); err != nil {
		t.Fatal(err)
	}
	s.tell()
	has(t, l, s.next(), out)
	has(t, l, first, in)
	l.Close()
	if err := Unload(dir); err != nil {
		t.Fatal(err)
	}
	l = take(t, dir)
	if l.Found() {
		t.Error("the labels were kept")
	}
	has(t, l, s.pid(), Label{})
}

// TestIntegrationOthers: labels that somebody else began are forgotten, and what else is in their directory is not touched.
func TestIntegrationOthers(t *testing.T) {
	dir := place(t)
	l := take(t, dir)
	s := start(t, "sleep", "1000")
	if _, err := l.Set(s.pid(), Label{In: 5}, sure); err != nil {
		t.Fatal(err)
	}
	l.Close()
	other, err := Open(dir, key+1)
	if err != nil {
		t.Fatal(err)
	}
	if other.Found() {
		t.Error("somebody else's labels are taken for one's own")
	}
	has(t, other, s.pid(), Label{})
	defer other.Close()
	foreign := filepath.Join(dir, "foreign")
	if err := other.objects.Missed.Pin(foreign); err != nil {
		t.Fatal(err)
	}
	if err := Unload(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	if err := os.Remove(foreign); err != nil {
		t.Error(err)
	}
}

// TestIntegrationMissed: what may be missing, and doubts, are known to whoever opens the labels next, until it is made good.
func TestIntegrationMissed(t *testing.T) {
	dir := place(t)
	l := take(t, dir)
	want := func(l *Labels, n uint64) {
		t.Helper()
		if got, err := l.Missed(); got != n || err != nil {
			t.Errorf("%d are missing, want %d: %v", got, n, err)
		}
	}
	want(l, 0)
	for range 3 {
		if err := l.Doubt(); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	l = take(t, dir)
	want(l, 3)
	if err := l.Mended(2); err != nil {
		t.Fatal(err)
	}
	want(l, 1)
}

// TestBadPlaces: labels are kept nowhere where others' things would be hidden or taken away.
func TestBadPlaces(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{host, full} {
		if err := mount(dir); err == nil {
			t.Errorf("%s will do", dir)
		}
	}
}

// TestIntegrationGone: nobody is labelled in place of somebody who has gone.
func TestIntegrationGone(t *testing.T) {
	l := take(t, place(t))
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	pid := int32(cmd.Process.Pid)
	if _, err := l.Get(pid); err != ErrGone {
		t.Errorf("Get: %v", err)
	}
	if _, err := l.Set(pid, Label{In: 1}, sure); err != ErrGone {
		t.Errorf("Set: %v", err)
	}
	if _, err := l.Set(int32(os.Getpid()), Label{In: 1}, func() bool { return false }); err != ErrGone {
		t.Errorf("Set of somebody else: %v", err)
	}
	has(t, l, int32(os.Getpid()), Label{})
	if _, err := l.Set(1, Label{In: 1, Out: 1}, sure); err == nil {
		t.Error("in and out at once")
	}
}

// TestUnloadElsewhere: where no labels are kept there is nothing to unload, and nothing is touched.
func TestUnloadElsewhere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, objectMapLabels)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Unload(dir); err != nil {
		t.Error(err)
	}
	if err := Unload(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func BenchmarkSet(b *testing.B) {
	l := take(b, place(b))
	s := start(b, "sleep", "1000")
	for i := range uint64(b.N) {
		if _, err := l.Set(s.pid(), Label{In: i + 1}, sure); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	l := take(b, place(b))
	for range b.N {
		if _, err := l.Get(1); err != nil {
			b.Fatal(err)
		}
	}
}
