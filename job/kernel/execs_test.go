package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// ran follows a script in a shell that is a member, and gives what the others that it starts ran, in order, when all have
// gone. The shell's own exec may still be on its way when it becomes a member.
func ran(t *testing.T, c *Connector, script string) []*watch.Program {
	t.Helper()
	id, begin := shell(t, c, script)
	if err := c.Attach(id, 7, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	begin()
	var out []*watch.Program
	members := map[watch.ID]bool{id: true}
	until(t, c, func(e *watch.Event) error {
		switch {
		case e.Kind == watch.Clone && members[e.Parent] && !e.Thread:
			members[e.Proc] = true
		case e.Kind == watch.Exec && members[e.Proc] && e.Proc != id:
			if (e.Program == nil) != (c.programs == nil) {
				t.Errorf("an exec without a program, or one that nobody wants: %+v", e)
			}
			out = append(out, e.Program)
		case e.Kind == watch.Free:
			delete(members, e.Proc)
		}
		return nil
	}, func() bool { return len(members) == 0 })
	return out
}

// lasting gives the programs, without the host's directories, but for those that may be gone before anybody looks.
func lasting(list []*watch.Program) (out []string) {
	for _, p := range list {
		if name := filepath.Base(p.Exe); p.Exe != "" && name != "cp" && name != "rm" {
			out = append(out, name)
		}
	}
	return out
}

// What lives for long enough is never missed: whatever its comm says, however it was started, and if its file is removed.
func TestIntegrationProgramsAreRead(t *testing.T) {
	c := realEngine(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\nsleep 0.1\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lasting(ran(t, c, "sh -c 'sleep 0.1; exec sleep 0.1'; "+dir+"/script; "+
		"cp /bin/sleep "+dir+"/mine; "+dir+"/mine 0.2 & sleep 0.1; rm "+dir+"/mine; "+
		"sh -c 'printf sshd > /proc/self/comm; sleep 0.1'; wait")), " ")
	s := filepath.Base(sh)
	for _, want := range []string{s + " sleep sleep ", s + " sleep ", "mine ", s + " sleep"} {
		before, after, ok := strings.Cut(got, want)
		if !ok {
			t.Errorf("%q is not in %q", want, got)
		}
		got = before + after
	}
}

func TestIntegrationArguments(t *testing.T) {
	c := realEngine(t, KeepExecs(ExecArgv))
	long := strings.Repeat("x", 2*argvMost)
	got := ran(t, c, "sleep 0.1; sh -c 'sleep 0.1' '' '"+long+"'; exit 0")
	want := []string{"sleep\x000.1\x00", ("sh\x00-c\x00sleep 0.1\x00\x00" + long)[:argvMost], "sleep\x000.1\x00"}
	if len(got) != len(want) {
		t.Fatalf("%d execs, want %d", len(got), len(want))
	}
	for i, p := range got {
		if p.Exe == "" || p.Args != want[i] {
			t.Errorf("%q ran with %q, want %q", p.Exe, p.Args, want[i])
		}
	}
}

func TestIntegrationProgramsAreNotWanted(t *testing.T) {
	c := realEngine(t, KeepExecs(ExecOff), KeepGroups(watch.GroupCPU))
	if got := ran(t, c, "sleep 0.1; exit 0"); len(got) != 1 || c.programs != nil || c.Counts().ExecsUnread != 0 {
		t.Errorf("%d execs, %d unread", len(got), c.Counts().ExecsUnread)
	}
	if c.groups != watch.GroupBasic|watch.GroupCPU {
		t.Errorf("groups %b are kept", c.groups)
	}
}

// In a storm of execs what was gone first is counted, not invented.
func TestIntegrationStormOfExecs(t *testing.T) {
	c := realEngine(t)
	got := ran(t, c, "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done; sleep 0.1; exit 0")
	if err := c.Drain(ignore); err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, p := range got[:2000] {
		if p.Exe != "" && filepath.Base(p.Exe) != "true" {
			t.Fatalf("true ran as %q", p.Exe)
		}
		if p.Read != 0 {
			known++
		}
	}
	until(t, c, ignore, func() bool { return len(c.unread) == 0 })
	if n := c.Counts().ExecsUnread; len(got) != 2001 || known == 0 || int(n) < 2000-known-1 || filepath.Base(got[2000].Exe) != "sleep" {
		t.Errorf("%d execs, %d known, %d unread, the last was %q", len(got), known, n, got[len(got)-1].Exe)
	}
	t.Logf("%d of %d programs were read", known, len(got))
}
