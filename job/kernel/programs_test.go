package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

func TestExecFilter(t *testing.T) {
	filter, err := execFilter()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range datagrams(t, "connector.hex") {
		if want := name == "ack" || strings.HasPrefix(name, "exec"); passes(t, filter, b) != want {
			t.Errorf("%s: passes %v", name, !want)
		}
	}
}

// process makes a process in a procfs of the test's own.
func process(t *testing.T, fs FS, pid int32, exe, cmdline string) {
	t.Helper()
	dir := filepath.Join(string(fs), fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(dir, "exe")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(cmdline), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLooker(t *testing.T) {
	fs := FS(t.TempDir())
	long := "a\x00" + strings.Repeat("b", 2*argvMost) + "\x00"
	process(t, fs, 10, "/bin/sh", "sh\x00-c\x00\x00")
	process(t, fs, 1234567, "/bin/"+strings.Repeat("x", 200)+" (deleted)", long)
	for _, c := range []struct {
		pid       int32
		mode      ExecMode
		exe, args string
	}{
		{10, ExecExe, "/bin/sh", ""},
		{10, ExecArgv, "/bin/sh", "sh\x00-c\x00\x00"},
		{1234567, ExecArgv, "/bin/" + strings.Repeat("x", 200) + " (deleted)", long[:argvMost]},
		{11, ExecArgv, "", ""},
	} {
		l := newLooker(fs, c.mode)
		for range 2 { // its buffers are used again
			if exe, args := l.at(c.pid); string(exe) != c.exe || string(args) != c.args {
				t.Errorf("%d, %s: %q, %d bytes of arguments", c.pid, c.mode, exe, len(args))
			}
		}
	}
	if exe, _ := newLooker(Proc, ExecExe).at(int32(os.Getpid())); !strings.HasSuffix(string(exe), ".test") {
		t.Errorf("this test runs %q", exe)
	}
}

func TestNamesAreKeptOnce(t *testing.T) {
	n := make(names)
	for i := range 3 * namesMost {
		if s := fmt.Sprint("/bin/", i); n.of([]byte(s)) != s {
			t.Fatal("another name")
		}
		if len(n) > namesMost {
			t.Fatalf("%d names are kept", len(n))
		}
	}
	exe := []byte("/bin/sh")
	n.of(exe)
	if a := testing.AllocsPerRun(100, func() { n.of(exe) }); a != 0 {
		t.Errorf("a known name takes %v allocations", a)
	}
}

// A few execs are looked at at once; of many in a row one in a while, until it was quiet for long enough.
func TestPace(t *testing.T) {
	var p pace
	now := int64(time.Hour)
	for range 2 {
		for i := range paceRow {
			if rest := p.rest(now); rest > 0 {
				t.Fatalf("waking %d is followed by a rest of %v", i, rest)
			}
		}
		for range 100 {
			rest := p.rest(now)
			if rest != paceWhile {
				t.Fatalf("a rest of %v in a storm", rest)
			}
			now += int64(rest)
		}
		now += int64(paceRow * paceWhile)
	}
}

// follower is an engine without a kernel, and with what would have been read.
func follower(t *testing.T) *Connector {
	c := newCourt(t).c
	c.programs = &programs{src: &ringEars{}, found: make(map[messageKey]watch.Program), names: make(names)}
	c.clock.mono = 1000
	return c
}

func (c *Connector) execOf(t *testing.T, pid int32, at int64) *watch.Program {
	t.Helper()
	var got *watch.Program
	n := 0
	c.exec(pid, pid, at, nil, func(e *watch.Event) error {
		if e.Kind != watch.Exec || e.Mono != at {
			t.Errorf("event %+v", e)
		}
		got = e.Program
		n++
		return nil
	})
	if want := c.lin.of(pid) != nil; (n == 1) != want {
		t.Errorf("%d events of process %d", n, pid)
	}
	return got
}

func TestProgramTravelsWithItsExec(t *testing.T) {
	c := follower(t)
	c.lin.of(10).setLabel(7, -1)
	keep := func(pid int32, at int64, exe string) {
		c.programs.keep(messageKey{pid, at}, []byte(exe), nil, at+1)
	}
	keep(10, 100, "/sh")
	keep(10, 101, "") // gone
	keep(10, 90, "/of another exec")
	if p := c.execOf(t, 10, 100); *p != (watch.Program{Exe: "/sh", Read: 101}) {
		t.Errorf("read before: %+v", p)
	}
	if p := c.execOf(t, 10, 101); *p != (watch.Program{}) || c.counts.ExecsUnread != 1 {
		t.Errorf("gone before: %+v, %d unread", p, c.counts.ExecsUnread)
	}
	late, lost := c.execOf(t, 10, 102), c.execOf(t, 10, 103)
	keep(20, 105, "/of no member")
	for _, pid := range []int32{20, 20, 99} {
		if p := c.execOf(t, pid, 105); p != nil {
			t.Errorf("of process %d, no member, is kept %+v", pid, p)
		}
	}
	keep(10, 102, "/late")
	c.readLate()
	if *late != (watch.Program{Exe: "/late", Read: 103}) || len(c.unread) != 3 {
		t.Errorf("read later: %+v, %d still unread", late, len(c.unread))
	}
	c.clock.mono += 2 * lookMost
	c.readLate()
	if *lost != (watch.Program{}) || len(c.unread) != 0 || c.counts.ExecsUnread != 2 || len(c.programs.found) != 1 {
		t.Errorf("never read: %+v, %d waiting, %d unread, %d left over", lost, len(c.unread), c.counts.ExecsUnread, len(c.programs.found))
	}
	c.programs = nil
	if p := c.execOf(t, 10, 106); p != nil || c.Program(c.lin.of(10).id) != nil || c.counts.ExecsUnread != 2 {
		t.Errorf("nobody wants to know: %+v", p)
	}
}

// What nobody takes up does not add up.
func TestFoundIsBounded(t *testing.T) {
	p := &programs{found: make(map[messageKey]watch.Program), names: make(names)}
	for i := range int64(3 * foundMost) {
		p.keep(messageKey{1, i}, []byte("/sh"), nil, i)
		if len(p.found) > foundMost {
			t.Fatalf("%d are kept", len(p.found))
		}
	}
	if _, ok := p.take(messageKey{1, 3*foundMost - 1}); !ok {
		t.Error("the last one is not there")
	}
}
