package label

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func follow(t testing.TB, dir string) *Labels {
	t.Helper()
	l, err := Follow(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// hear takes events until f says that it has enough.
func hear(t testing.TB, e *Events, f func(*Event) (enough bool)) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		enough := false
		if n, err := e.Each(func(ev *Event) bool { enough = f(ev); return !enough }); n > 0 || err != nil {
			t.Fatalf("%d records are none; %v", n, err)
		}
		if enough {
			return
		}
		fds := []unix.PollFd{{Fd: int32(e.FD()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 1000); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("that was never told")
		}
	}
}

func TestIntegrationEvents(t *testing.T) {
	dir := place(t)
	l := follow(t, dir)
	e := l.Events()
	if e.Found() {
		t.Error("events are said to have been told before")
	}
	t.Log("ids:", e.Late())
	s := start(t, "sh", "-c", "read x; /bin/true; exit 3")
	if err := e.Account(42); err != nil {
		t.Fatal(err)
	}
	if m, err := l.Set(s.pid(), Label{In: 42}, sure); m.Tasks != 1 || m.Start == 0 || err != nil {
		t.Fatal(m, err)
	}
	listed, err := l.List()
	if err != nil || len(listed) != 1 || listed[0].PID != s.pid() || listed[0].Label.In != 42 || listed[0].Parent != int32(os.Getpid()) {
		t.Fatalf("listed %+v, %v", listed, err)
	}
	s.tell()
	_ = s.cmd.Wait()
	var child int32
	var told []Kind
	var cpu uint64
	frees := 0 // in any order
	hear(t, e, func(ev *Event) bool {
		if ev.Job != 42 {
			t.Errorf("told of job %d", ev.Job)
		}
		told = append(told, ev.Kind)
		switch {
		case ev.Kind == Clone:
			child = ev.PID
			if ev.Other != s.pid() || ev.TID != ev.PID || ev.Start <= listed[0].Start {
				t.Errorf("%+v", *ev)
			}
		case ev.Kind == Exit && ev.PID == child && (ev.Value != 0 || ev.Real != 1 || ev.Left.Parent != s.pid() || string(ev.Left.Comm[:5]) != "true\x00"),
			ev.Kind == Exit && ev.PID == s.pid() && (ev.Value != 3<<8 || ev.Start != listed[0].Start || ev.Left.MaxRSS == 0):
			t.Errorf("%+v", *ev)
		case ev.Kind == Free:
			cpu += ev.Used.CPU
			frees++
		}
		return frees == 2
	})
	total, ok, err := e.Total(42)
	if !ok || err != nil || total.CPU != cpu-listed[0].Base || total.Tasks != 2 || int64(total.Processes) != -1 {
		t.Errorf("%+v, %v, %v; %d", total, ok, err, cpu)
	}
	t.Log(told, cpu)
	var execs []Executed
	err = e.EachExec(func(x Executed) {
		if x.PID != s.pid() { // whose own exec may not have been told of yet when it got its label
			execs = append(execs, x)
		}
	})
	if err != nil || len(execs) != 1 || execs[0].PID != child {
		t.Errorf("execs %+v", execs)
	}
	if lost, err := e.Lost(); lost != ([Kinds]uint64{}) || err != nil {
		t.Error(lost, err)
	}
}

// What is told while nobody has the events open waits for whoever opens them next.
func TestIntegrationEventsOutlive(t *testing.T) {
	dir := place(t)
	l := follow(t, dir)
	s := start(t, "sh", "-c", "read x; (exit 1); (exit 2); read y")
	if _, err := l.Set(s.pid(), Label{In: 42}, sure); err != nil {
		t.Fatal(err)
	}
	l.Close()
	s.tell()
	again := follow(t, dir)
	if !again.Found() || !again.Events().Found() {
		t.Error("they were not found")
	}
	n := 0
	hear(t, again.Events(), func(ev *Event) bool {
		if ev.Kind == Exit {
			if n++; ev.Value != uint64(n)<<8 {
				t.Errorf("%+v", *ev)
			}
		}
		return n == 2
	})
	again.Close()
	if l, err := Open(dir, key); err != nil || !l.Found() || l.Events() != nil {
		t.Error("labels are not kept without events", err)
	} else {
		has(t, l, s.pid(), Label{In: 42})
		l.Close()
	}
}

// A storm's CPU is what the scheduler charged.
func TestIntegrationEventsCPU(t *testing.T) {
	dir := place(t)
	l := follow(t, dir)
	e := l.Events()
	s := start(t, "sh", "-c", "read x; i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done; cat /proc/$$/schedstat >&2; read y")
	if err := e.Account(1); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Set(s.pid(), Label{In: 1}, sure); err != nil {
		t.Fatal(err)
	}
	var sum uint64
	n := 0
	s.tell()
	hear(t, e, func(ev *Event) bool {
		if ev.Kind == Free {
			sum += ev.Used.CPU
			n++
		}
		return n == 480 // the end of some may not be told: see TestIntegrationToldOnce
	})
	total, _, err := e.Total(1)
	if err != nil || total.CPU < sum {
		t.Errorf("%d in total, %d by process: %v", total.CPU, sum, err)
	}
	t.Log(sum/uint64(n), "ns a process")
}

func FuzzDecodeEvent(f *testing.F) {
	b := make([]byte, usedSize)
	for i := range b {
		b[i] = byte(i % 7)
	}
	for k := range Kinds {
		binary.LittleEndian.PutUint32(b[32:], uint32(k))
		f.Add(append([]byte(nil), b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Event
		if err := decode(&e, b); err == nil && (e.PID <= 0 || e.TID <= 0 || e.Job == 0 || e.Kind >= Kinds) {
			t.Errorf("%+v", e)
		}
		_, _ = decodeExecuted(b)
	})
}

func BenchmarkEach(b *testing.B) {
	l := follow(b, place(b))
	if _, err := l.Set(int32(os.Getpid()), Label{In: 1}, sure); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		b.StopTimer()
		for l.Events().Waiting() < 1<<19 {
			_ = exec.Command("/bin/true").Run()
		}
		b.StartTimer()
		if _, err := l.Events().Each(func(*Event) bool { n++; return true }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

// The kernel says what is run, also of what is gone at once: under its own name, whatever link it was run by, and whether its file is
// there still. What has no place, or too long a name, is not known.
func TestIntegrationPaths(t *testing.T) {
	l := follow(t, place(t))
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program := func(parts ...string) string {
		path := filepath.Join(append([]string{dir}, parts...)...)
		b, err := os.ReadFile("/bin/true")
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain, spaced := program("true"), program("a b", "tr\nue")
	long, deep := program(strings.Repeat("x", 80)), program(strings.Repeat("abcdefgh/", 30), "true")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!"+plain+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := []string{plain, spaced, "", "", plain, plain, "/proc/self/exe", plain + " (deleted)"}
	var err2 error
	if want[6], err2 = filepath.EvalSymlinks("/bin/sh"); err2 != nil {
		t.Fatal(err2)
	}
	s := start(t, "sh", "-c", `read x; for p; do ("$p" -c :); done; exec 3<"$1"; exec 4<&3; rm "$1"; /proc/$$/fd/3; :`, "sh",
		plain, spaced, long, deep, link, script, "/proc/self/exe")
	if _, err := l.Set(s.pid(), Label{In: 42}, sure); err != nil {
		t.Fatal(err)
	}
	s.tell()
	var got []string
	hear(t, l.Events(), func(ev *Event) bool {
		if ev.Kind == Exec && ev.PID != s.pid() && !strings.HasSuffix(string(ev.Path), "/rm") {
			got = append(got, string(ev.Path))
		}
		return len(got) == len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("was run: %q\nwant %q", got, want)
	}
}
