package pam

import (
	"debug/elf"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The module is a guest in sshd and login: these tests are its manners.

func TestExports(t *testing.T) {
	f, err := elf.Open(moduleSO(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			exported = append(exported, s.Name)
		}
	}
	slices.Sort(exported)
	want := []string{"pam_sm_acct_mgmt", "pam_sm_authenticate", "pam_sm_close_session", "pam_sm_open_session", "pam_sm_setcred"}
	if diff := cmp.Diff(want, exported); diff != "" {
		t.Error(diff)
	}
}

func TestLinkedLibraries(t *testing.T) {
	f, err := elf.Open(moduleSO(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range libs {
		if !strings.HasPrefix(lib, "libpam.so.") && !strings.HasPrefix(lib, "libc.") {
			t.Errorf("links %s", lib)
		}
	}
}

func TestHardened(t *testing.T) {
	f, err := elf.Open(moduleSO(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	relro := false
	for _, p := range f.Progs {
		relro = relro || p.Type == elf.PT_GNU_RELRO
		if p.Type == elf.PT_GNU_STACK && p.Flags&elf.PF_X != 0 {
			t.Error("the stack may be executed")
		}
	}
	flags, err := f.DynValue(elf.DT_FLAGS)
	if err != nil || len(flags) == 0 || flags[0]&uint64(elf.DF_BIND_NOW) == 0 || !relro {
		t.Errorf("flags %#x, relro %v, %v: not -z now, -z relro", flags, relro, err)
	}
}

// Threads, descriptors and signals are as they were.
func TestLeavesTheProcessAsItWas(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	before := d.do("state")
	for range 50 {
		d.want("open", pamSuccess)
		d.want("close", pamSuccess)
	}
	if after := d.do("state"); after != before {
		t.Errorf("the process was\n%s\nand is\n%s", before, after)
	}
	if !strings.HasPrefix(before, "state tasks=3 ") { // ".", ".." and one thread
		t.Errorf("more than one thread: %s", before)
	}
}

// (sd-pam) closes in a forked child, and some programs open in one.
func TestInForkedChild(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option()+" fail=closed")
	for _, phase := range []string{"open", "close"} {
		lines := strings.Split(d.do("forked "+phase), "\n")
		if len(lines) != 2 || lines[1] != "child 0" {
			t.Fatalf("%s: %q, log %q", phase, lines, d.logs)
		}
		if rc, _ := d.parse(lines[0]); rc != pamSuccess {
			t.Errorf("%s gives %d", phase, rc)
		}
		d.want(phase, pamSuccess)
	}
	// The child that closed had a copy of a handle that had opened.
	if got := s.verbs(); got != "open open close close" {
		t.Errorf("requests %q", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pids[0] == s.pids[1] || s.pids[1] != int32(d.cmd.Process.Pid) {
		t.Errorf("from the processes %v, the driver is %d", s.pids, d.cmd.Process.Pid)
	}
}

// A host may fork and exec while we wait: the socket is not for its children.
func TestSocketIsCloseOnExec(t *testing.T) {
	var problem error
	s := serve(t, func(s *server, c *net.UnixConn) {
		s.read(c)
		problem = socketsAreCloexec(int(peer(c)))
		c.Write([]byte(okAnswer))
	})
	d := newSession(t, s.option())
	d.want("open", pamSuccess)
	if problem != nil {
		t.Error(problem)
	}
}

func socketsAreCloexec(pid int) error {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := 0
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd.Name()))
		if err != nil {
			return err
		}
		_, flags, _ := strings.Cut(string(info), "flags:")
		bits, err := strconv.ParseUint(strings.Fields(flags)[0], 8, 32)
		if err != nil || bits&unix.O_CLOEXEC == 0 || bits&unix.O_NONBLOCK == 0 {
			return fmt.Errorf("fd %s has the flags %#o: %v", fd.Name(), bits, err)
		}
		found++
	}
	if found != 1 {
		return fmt.Errorf("%d sockets in the host process", found)
	}
	return nil
}

// How long a login waits for a jobd that answers at once.
func BenchmarkOpen(b *testing.B) {
	s := answering(b, okAnswer)
	d := newSession(b, s.option())
	var total, n int64
	for b.Loop() {
		rc, took := d.phase("open")
		if rc != pamSuccess {
			b.Fatal(rc, d.logs)
		}
		total, n = total+took.Microseconds(), n+1
		d.end() // each login has a handle of its own
		d.start("alice")
	}
	b.ReportMetric(float64(total)/float64(n), "us/open")
}
