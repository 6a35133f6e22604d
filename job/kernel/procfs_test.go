package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// fakeProc makes a little /proc: files by name, below each pid.
func fakeProc(t testing.TB, files map[string]string) FS {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return FS(dir)
}

func statLine(pid int, comm, state string, ppid, threads, start int) string {
	s := strconv.Itoa
	return s(pid) + " (" + comm + ") " + state + " " + s(ppid) + " 1 1 0 -1 4194560 100 0 0 0 7 3 0 0 20 0 " + s(threads) +
		" 0 " + s(start) + " 1000 250 18446744073709551615\n"
}

func TestParseStat(t *testing.T) {
	for _, comm := range []string{"sh", "a b", "((evil) R 1)", ") Z 0 (", "", "new\nline"} {
		s, err := parseStat([]byte(statLine(42, comm, "S", 7, 3, 12345)))
		if err != nil || s.PID != 42 || s.Comm != comm || s.State != 'S' || s.PPID != 7 || s.Threads != 3 || s.Start != 12345 || s.Utime != 7 || s.Stime != 3 {
			t.Errorf("%q: got %+v, %v", comm, s, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (sh", "42 (sh) S", "x (sh) S 1 1 1 0 -1 0 0 0 0 0 7 3 0 0 20 0 1 0 5 0 0"} {
		if s, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q read as %+v", bad, s)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine(42, "sh", "S", 7, 3, 12345)))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseStat(b) })
}

func TestFakeProcess(t *testing.T) {
	fs := fakeProc(t, map[string]string{
		"42/stat":      statLine(42, "worker", "S", 7, 1, 500),
		"7/stat":       statLine(7, "sh", "S", 1, 1, 400),
		"1/stat":       statLine(1, "init", "S", 0, 1, 0),
		"42/cgroup":    "12:pids:/x\n1:name=systemd:/y\n0::/user.slice/user-1000.slice/session-3.scope\n",
		"42/sessionid": "3\n", "42/loginuid": "1000\n",
		"7/status": "Name:\tsh\nPPid:\t1\n", "7/sessionid": "4294967295", "7/loginuid": "4294967295",
		"42/status": "Name:\tworker\nPPid:\t7\nUid:\t1000\t0\t1001\t0\nGid:\t100\t100\t100\t100\nVmPeak:\t  2000 kB\nVmHWM:\t    500 kB\n",
		"42/io":     "rchar: 10\nwchar: 20\nsyscr: 1\nsyscw: 2\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n",
		"42/comm":   "worker\n",
		"notapid":   "",
	})
	if got, _ := fs.PIDs(); len(got) != 3 {
		t.Errorf("pids %v", got)
	}
	if got, err := fs.Cgroup(42); err != nil || got != "/user.slice/user-1000.slice/session-3.scope" || LogindSession(got) != "3" {
		t.Errorf("cgroup %q, %v", got, err)
	}
	if s, l := fs.Session(42), fs.LoginUID(42); s == nil || *s != 3 || l == nil || *l != 1000 {
		t.Errorf("session %v, login uid %v", s, l)
	}
	if s, l := fs.Session(7), fs.LoginUID(7); s != nil || l != nil {
		t.Errorf("what is not set read as %v, %v", s, l)
	}
	if got := fs.Ancestors(42); !slices.Equal(got, []int32{7, 1}) {
		t.Errorf("ancestors %v", got)
	}
	u, _, err := fs.LiveUsage(42)
	if err != nil || u.CPU != 100_000_000 || u.ReadBytes != 4096 || u.WriteBytes != 4096 || u.MaxRSS != 500<<10 || u.UID != 1000 {
		t.Errorf("usage %+v, %v", u, err)
	}
	for uid, want := range map[uint32]bool{1000: true, 1001: true, 0: false, 5: false} {
		if fs.MaySignal(uid, 42) != want {
			t.Errorf("uid %d may signal: %v, want %v", uid, !want, want)
		}
	}
	if _, err := fs.Stat(99); !errors.Is(err, ErrGone) {
		t.Errorf("a process that is not there: %v", err)
	}
}

func TestDead(t *testing.T) {
	for _, c := range []struct {
		s    Stat
		want bool
	}{
		{Stat{State: 'S', Threads: 1}, false}, {Stat{State: 'Z', Threads: 1}, true}, {Stat{State: 'X', Threads: 0}, true},
		{Stat{State: 'Z', Threads: 3}, false}, // the first thread has exited, the others go on
	} {
		if c.s.Dead() != c.want {
			t.Errorf("%+v: dead %v", c.s, !c.want)
		}
	}
}

func TestLogindSession(t *testing.T) {
	for path, want := range map[string]string{
		"/user.slice/user-0.slice/session-12.scope": "12", "/user.slice/session-c1.scope/sub": "c1",
		"/user.slice/user-1000.slice/user@1000.service": "", "/": "", "": "", "/jobd/17": "", "/x/session-.scope": "",
	} {
		if got := LogindSession(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestFindCgroup2(t *testing.T) {
	for _, c := range []struct{ mountinfo, want string }{
		{"30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup"},
		{"24 1 0:5 / /proc rw - proc proc rw\n31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n", "/sys/fs/cgroup/unified"},
		{"31 24 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n", ""}, // part of a hierarchy, not its root
		{"24 1 0:5 / /proc rw - proc proc rw\n", ""}, {"", ""},
	} {
		if got := findCgroup2(c.mountinfo); got != c.want {
			t.Errorf("%q: %q, want %q", c.mountinfo, got, c.want)
		}
	}
}

func TestParseCPUStat(t *testing.T) {
	cpu, err := parseCPUStat("usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 0\n")
	if err != nil || cpu != (CPU{5_000_000, 3_000_000, 2_000_000}) {
		t.Errorf("got %+v, %v", cpu, err)
	}
	for _, bad := range []string{"", "usage_usec 1\n", "usage_usec x\nuser_usec 1\nsystem_usec 1\n"} {
		if _, err := parseCPUStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestWitnesses(t *testing.T) {
	one, two := uint32(1), uint32(2)
	b := newBench()
	if got := b.call(7, job.Placement{Cgroup: "/jobd/7", Audit: &one}); got != "cgroup,audit" {
		t.Errorf("witnesses %q", got)
	}
	if got := b.call(8, job.Placement{Cgroup: "/user.slice/session-1.scope", Audit: &two}); got != "cgroup,audit" {
		t.Errorf("witnesses %q", got)
	}
	if got := b.call(9, job.Placement{Cgroup: "/user.slice/session-1.scope"}); got != "" {
		t.Errorf("a cgroup that two jobs share is a witness: %q", got)
	}
	b.call(10, job.Placement{Cgroup: "/"})
	for _, c := range []struct {
		t    testimony
		want Label
	}{
		{testimony{cgroup: "/jobd/7"}, 7}, {testimony{audit: &one}, 7}, {testimony{cgroup: "/jobd/7", audit: &two}, 7},
		{testimony{cgroup: "/user.slice/session-1.scope"}, 0}, {testimony{cgroup: "/user.slice/session-1.scope", audit: &two}, 8},
		{testimony{cgroup: "/"}, 0}, {testimony{}, 0},
	} {
		if got := b.judge(c.t); got != c.want {
			t.Errorf("%+v: label %d, want %d", c.t, got, c.want)
		}
	}
	if !b.reliable(map[Label]int{0: 1, 7: 1, 8: 1}) /* 8 by its audit session */ || b.reliable(map[Label]int{7: 1, 9: 1}) || b.reliable(map[Label]int{10: 1}) {
		t.Error("reliable is who has a witness of their own")
	}
	if got := b.call(7, job.Placement{Cgroup: "/jobd/7", Audit: &one}); got != "cgroup,audit" {
		t.Errorf("called a second time its witnesses are %q", got)
	}
	b.dismiss(8)
	if got := b.judge(testimony{cgroup: "/user.slice/session-1.scope"}); got != 9 {
		t.Errorf("after the other job's end its cgroup says %d, want 9", got)
	}
}

// FuzzTexts throws anything at the readers of small texts: none may panic, and a mount point or cgroup is a path.
func FuzzTexts(f *testing.F) {
	f.Add("0::/user.slice/session-3.scope\n")
	f.Add("31 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n")
	f.Add("usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\n")
	f.Add("Uid:\t1000\t0\t1001\t0\nVmHWM:\t    500 kB\n")
	f.Fuzz(func(t *testing.T, s string) {
		if mount := findCgroup2(s); strings.ContainsAny(mount, " \n") {
			t.Errorf("mounted at %q", mount)
		}
		if place := parseCgroup([]byte(s)); strings.Contains(place, "\n") {
			t.Errorf("a cgroup %q", place)
		}
		_, _ = parseCPUStat(s)
		_ = field([]byte(s), "VmHWM:")
		_ = LogindSession(s)
	})
}
