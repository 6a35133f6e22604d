package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// refused runs a jobd that has to end with 1 and one sentence, which holds the words, and gives it back.
func refused(t *testing.T, words string, cmd *exec.Cmd) {
	t.Helper()
	var out journal
	cmd.Stderr, cmd.Stdout = &out, &out
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	must(t, cmd.Start())
	_ = cmd.Wait()
	late.Stop()
	text := out.String()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(text, "jobd: ") || strings.Count(text, "\n") != 1 {
		t.Errorf("it ended with %d and says\n%s", code, text)
	}
	for word := range strings.SplitSeq(words, "|") {
		if !strings.Contains(text, word) {
			t.Errorf("it says %q, which lacks %q", text, word)
		}
	}
}

// files lists what is below a directory, with the content of what is no socket.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	must(t, filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		out[path] = st.Mode().String()
		if st.IsDir() && st.Name() == "bpf" { // the kernel's: no files to be read
			return filepath.SkipDir
		}
		if st.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			out[path] += string(b)
			return err
		}
		return nil
	}))
	return out
}

func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path, text := range after {
		if old, there := before[path]; !there || old != text {
			t.Errorf("%s was changed or made", path)
		}
	}
	for path := range before {
		if _, there := after[path]; !there {
			t.Errorf("%s is gone", path)
		}
	}
}

// A second jobd on the same directories, or on one of them, is refused, and the first does not notice.
func TestSecondJobd(t *testing.T) {
	h := newHost(t)
	h.moments() // the first commit is over
	before := files(t, h.dir)
	refused(t, "another jobd|"+h.runDir(), exec.Command(built.jobd, h.flags()...))
	same(t, before, files(t, h.dir))
	other := plainHost(t)
	flags := []string{"--run-dir", other.runDir(), "--state-dir", h.stateDir(), "--metrics-listen", other.metrics}
	refused(t, "another jobd|"+h.stateDir(), exec.Command(built.jobd, flags...))
	same(t, before, files(t, h.dir))
	if _, err := h.client.Status(h.soon()); err != nil {
		t.Errorf("the first jobd: %v", err)
	}
}

// Databases that are not this jobd's to use are left as they are.
func TestBadDatabase(t *testing.T) {
	tests := []struct {
		name, words string
		spoil       func(t *testing.T, db string)
	}{
		{"newer", "newer jobd", func(t *testing.T, db string) { newer(t, db) }},
		{"no file", "jobd has to read and write it", func(t *testing.T, db string) { must(t, os.Mkdir(db, 0o700)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := plainHost(t)
			must(t, os.Mkdir(h.stateDir(), 0o750))
			db := filepath.Join(h.stateDir(), "jobd.db")
			tt.spoil(t, db)
			before := files(t, h.stateDir())
			refused(t, tt.words+"|"+db, exec.Command(built.jobd, h.flags()...))
			same(t, before, files(t, h.stateDir()))
		})
	}
}

// A file that cannot be read as a database is set aside as it is, and jobd starts: a login is not refused because of it.
func TestDamagedDatabase(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, db string)
	}{
		{"foreign", func(t *testing.T, db string) {
			must(t, os.WriteFile(db, []byte(strings.Repeat("something else\n", 4096)), 0o600))
		}},
		{"foreign bbolt", func(t *testing.T, db string) { putMeta(t, db, "somebody", "k", []byte("v")) }},
		{"damaged", damage},
		{"truncated", func(t *testing.T, db string) { truncate(t, db, 3*os.Getpagesize()) }},
		{"truncated within a page", func(t *testing.T, db string) { truncate(t, db, os.Getpagesize()+100) }},
		{"zeroed", func(t *testing.T, db string) { must(t, os.WriteFile(db, make([]byte, 1<<20), 0o600)) }},
		{"zeroed behind its beginning", func(t *testing.T, db string) {
			ownDatabase(t, db)
			st, err := os.Stat(db)
			must(t, err)
			must(t, os.Truncate(db, int64(2*os.Getpagesize())))
			must(t, os.Truncate(db, st.Size()))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := plainHost(t)
			h.mayLose = true // it says so in the log
			must(t, os.Mkdir(h.stateDir(), 0o750))
			db := filepath.Join(h.stateDir(), "jobd.db")
			tt.spoil(t, db)
			before, err := os.ReadFile(db)
			must(t, err)
			h.start()
			w := h.newWorld(map[string]string{"svc": plainStack})
			l := w.login("svc", "alice", nil, "true")
			if l.wait(); l.jid == 0 {
				t.Error("the login has no job")
			}
			s, err := h.client.Status(h.soon())
			must(t, err)
			after, err := os.ReadFile(string(s.Store.SetAside))
			must(t, err)
			if !strings.HasPrefix(string(s.Store.SetAside), db+".damaged-") || string(before) != string(after) {
				t.Errorf("it was set aside as %q, or changed", s.Store.SetAside)
			}
			if all := h.moments(); !slices.ContainsFunc(all, func(m job.Moment) bool { return m.Kind == job.MomentSetAside }) {
				t.Errorf("the books don't say so: %+v", all)
			}
			if !strings.Contains(h.settled(), "set aside") {
				t.Error("the log doesn't say so")
			}
		})
	}
}

func putMeta(t *testing.T, db, bucket, key string, value []byte) {
	t.Helper()
	b, err := bbolt.Open(db, 0o600, nil)
	must(t, err)
	defer b.Close()
	must(t, b.Update(func(tx *bbolt.Tx) error {
		m, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		return m.Put([]byte(key), value)
	}))
}

// newer makes a database of jobd's and raises its schema.
func newer(t *testing.T, db string) {
	t.Helper()
	ownDatabase(t, db)
	putMeta(t, db, "meta", "schema", []byte{0, 0, 3, 231})
}

// damage overwrites the pages behind the two that say where everything is.
func damage(t *testing.T, db string) {
	t.Helper()
	ownDatabase(t, db)
	st, err := os.Stat(db)
	must(t, err)
	f, err := os.OpenFile(db, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", int(st.Size())-2*os.Getpagesize())), int64(2*os.Getpagesize()))
	must(t, err)
}

// truncate makes a database of jobd's and leaves its beginning.
func truncate(t *testing.T, db string, size int) {
	t.Helper()
	ownDatabase(t, db)
	must(t, os.Truncate(db, int64(size)))
}

func ownDatabase(t *testing.T, db string) {
	t.Helper()
	h := newHost(t)
	h.stop(15)
	b, err := os.ReadFile(filepath.Join(h.stateDir(), "jobd.db"))
	must(t, err)
	must(t, os.WriteFile(db, b, 0o600))
}

// A run directory that cannot be made, or that others may write to.
func TestBadRunDir(t *testing.T) {
	h := plainHost(t)
	file := filepath.Join(h.dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	open := filepath.Join(h.dir, "open")
	must(t, os.Mkdir(open, 0o777))
	must(t, os.Chmod(open, 0o777))
	before := files(t, h.dir)
	for dir, words := range map[string]string{
		file + "/run": "cannot make the directory " + file + "/run",
		open:          "others may write to it|chmod go-w",
		filepath.Join(h.dir, strings.Repeat("long/", 30)): "bytes at most",
	} {
		refused(t, words, exec.Command(built.jobd, "--run-dir", dir, "--state-dir", h.stateDir(), "--metrics-listen", h.metrics))
	}
	_ = os.RemoveAll(filepath.Join(h.dir, "long"))
	same(t, before, files(t, h.dir))
}

// A pid namespace of its own, a user namespace of its own, and no root.
func TestBadPlace(t *testing.T) {
	h := plainHost(t)
	for _, tt := range []struct {
		words string
		in    []string
	}{
		{"initial pid and user namespace|outside any container", []string{"unshare", "-pf", "--mount-proc"}},
		{"initial pid and user namespace|outside any container", []string{"unshare", "-U", "-r"}},
		{"has to run as root", []string{"setpriv", "--reuid=65534", "--clear-groups"}},
	} {
		t.Run(strings.Join(tt.in, " "), func(t *testing.T) {
			h.args = nil // a configuration could not be read either
			args := append(append(tt.in, built.jobd), h.flags()...)
			refused(t, tt.words, exec.Command(needProgram(t, args[0]), args[1:]...))
			nothingMade(t, h)
		})
	}
}

// Whoever has the port that is for Prometheus keeps nobody from getting a job. Status says so, until the port is free.
func TestPortTakenBySomebody(t *testing.T) {
	h := plainHost(t)
	h.mayLose = true // it says so in the log
	_, port, err := net.SplitHostPort(h.metrics)
	must(t, err)
	cmd := exec.Command(needProgram(t, "python3"), "-c", `import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("on", flush=True)
sys.stdin.read()`, port)
	cmd.Env = []string{h.token}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceUID, Gid: aliceUID}}
	in, err := cmd.StdinPipe()
	must(t, err)
	out := started(t, cmd)
	if line, _ := out.next(); line != "on" {
		t.Fatalf("it says %q", line)
	}
	h.start()
	w := h.newWorld(map[string]string{"svc": plainStack})
	l := w.login("svc", "bob", nil, "true")
	if l.wait(); l.jid == 0 {
		t.Error("the login has no job")
	}
	degraded := func() bool {
		st, err := h.client.Status(h.soon())
		must(t, err)
		return st.DegradedSince != nil && strings.Contains(string(st.DegradedWhy), "cannot listen for Prometheus")
	}
	until(t, "status says that Prometheus cannot come", degraded)
	in.Close()
	reap(t, cmd)
	until(t, "a scrape", func() bool { _, err := readMetrics(h.soon(), h.metrics); return err == nil })
	until(t, "it has healed", func() bool { return !degraded() })
}

// An address that no host can have is a mistake of whoever wrote it.
func TestPortThatCannotBe(t *testing.T) {
	h := plainHost(t)
	for _, address := range []string{"9853", "127.0.0.1:port", "127.0.0.1:65536", "::1:9853"} {
		out, err := exec.Command(built.jobd, "--run-dir", h.runDir(), "--state-dir", h.stateDir(), "--metrics-listen", address).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--metrics-listen") || !strings.Contains(string(out), address) {
			t.Errorf("%s: %v, %s", address, err, out)
		}
	}
	nothingMade(t, h)
}

// nothingMade: a jobd that did not start has made no books.
func nothingMade(t *testing.T, h *host) {
	t.Helper()
	for _, path := range []string{h.stateDir(), filepath.Join(h.runDir(), "open.journal")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made", path)
			_ = os.RemoveAll(path)
		}
	}
}
