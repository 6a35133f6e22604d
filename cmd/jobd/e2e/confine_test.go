package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What docs/threat-model.md says that jobd keeps: CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_KILL and CAP_SYS_NICE. With an
// audit daemon there is CAP_AUDIT_WRITE as well.
const (
	keptCaps = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_KILL | 1<<unix.CAP_SYS_NICE
	auditCap = 1 << unix.CAP_AUDIT_WRITE
)

// Every thread of a jobd that serves is confined, whatever jobd was started with.
func TestConfined(t *testing.T) {
	h := newHost(t)
	st, err := h.client.Status(h.soon())
	must(t, err)
	if want := []string{"no_new_privs", "bounding_set", "capabilities", "seccomp"}; !slices.Equal(st.Confined, want) {
		t.Errorf("confined: %v, want %v\n%s", st.Confined, want, h.log)
	}
	caps := uint64(keptCaps)
	if st.Audit.On {
		caps |= auditCap
	}
	had := capabilities(t, "/proc/self/status", "CapPrm")
	threads, err := filepath.Glob(procFile(int32(st.PID), "task/*/status"))
	must(t, err)
	if len(threads) < 2 {
		t.Fatalf("threads: %v", threads)
	}
	for _, path := range threads {
		for name, want := range map[string]uint64{
			"CapEff": caps & had, "CapPrm": caps & had, "CapInh": 0, "CapAmb": 0, "CapBnd": 0, "NoNewPrivs": 1, "Seccomp": 2,
		} {
			if got := capabilities(t, path, name); got != want {
				t.Errorf("%s: %s is %#x, want %#x", path, name, got, want)
			}
		}
	}
}

// capabilities reads a line of hexadecimal from a status file.
func capabilities(t *testing.T, path, name string) uint64 {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			var n uint64
			for _, c := range strings.TrimSpace(text) {
				n = n<<4 | uint64(strings.IndexRune("0123456789abcdef", c))
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

// What jobd makes is nobody else's, whatever its umask was when it was started.
func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		h := plainHost(t)
		old := unix.Umask(mask) // no other test of this package runs meanwhile
		h.start()
		unix.Umask(old)
		w := h.newWorld(map[string]string{"svc": plainStack})
		w.login("svc", "alice", nil, "true").wait()
		h.moments()
		must(t, h.client.Drain(h.soon()))
		for path, want := range map[string]os.FileMode{
			h.runDir(): os.ModeDir | 0o755, h.stateDir(): os.ModeDir | 0o750,
			h.loginSocket(): os.ModeSocket | 0o600, filepath.Join(h.runDir(), "jobd.sock"): os.ModeSocket | 0o666,
			filepath.Join(h.runDir(), "job.sock"): os.ModeSocket | 0o666, filepath.Join(h.runDir(), "drained"): 0o600,
			filepath.Join(h.runDir(), "open.journal"): 0o600, filepath.Join(h.stateDir(), "jobd.db"): 0o640,
		} {
			st, err := os.Lstat(path)
			must(t, err)
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && (sys.Uid != 0 || sys.Gid != 0) {
				t.Errorf("%s is of %d:%d", path, sys.Uid, sys.Gid)
			}
			if st.Mode() != want {
				t.Errorf("with umask %o %s has mode %v, want %v", mask, path, st.Mode(), want)
			}
		}
		ours := []string{"login.sock", "jobd.sock", "job.sock", "drained", "open.journal", "jobd.db"}
		if h.kept() {
			ours = append(ours, "label.key")
		}
		for _, dir := range []string{h.runDir(), h.stateDir()} { // and there is nothing else
			entries, err := os.ReadDir(dir)
			must(t, err)
			for _, e := range entries {
				if !slices.Contains(ours, e.Name()) {
					t.Errorf("%s/%s is on no list", dir, e.Name())
				}
			}
		}
	}
}
