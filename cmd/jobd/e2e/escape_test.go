package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// escapes are what testdata/lab.c can do, and how many stay behind each time.
var escapes = []struct {
	mode []string
	stay int
}{
	{[]string{"clone-parent", "10"}, 11},
	{[]string{"child-clone-parent", "10"}, 12},
	{[]string{"orphan-clone-parent", "10"}, 12},
	{[]string{"quick-clone-parent", "20"}, 21},
	{[]string{"thread-fork"}, 2},
	{[]string{"leader-exit"}, 2},
	{[]string{"exec-thread"}, 1},
	{[]string{"vfork"}, 2},
	{[]string{"chain", "30"}, 2},
}

// Nothing that an ordinary user's own program does shakes jobd off, whatever the kernel can testify, and also where the
// parent reaps so fast that a process is gone before it can be looked at.
func TestEscape(t *testing.T) {
	for _, witness := range restartStacks {
		h := newHost(t, witness.args...)
		h.newWorld(map[string]string{"svc": witness.stack})
		for _, reap := range []string{"", "-r"} {
			for _, e := range escapes {
				name := strings.Join(append([]string{witness.name, e.mode[0]}, reap), " ")
				t.Run(name, func(t *testing.T) { escape(t, h, append([]string{"-x"}, strings.Fields(reap)...), e.mode, e.stay) })
			}
		}
	}
}

func escape(t *testing.T, h *host, opts, mode []string, stay int) {
	h.use(t)
	out := h.world.labOut(filepath.Base(t.Name()))
	mark := "LAB_OUT=" + out
	l := h.world.loginEnv([]string{mark}, "svc", "alice", opts, append([]string{built.lab}, mode...)...)
	said := pidsIn(t, out, stay)
	truth := slices.DeleteFunc(withToken(mark), func(pid int32) bool { return int(pid) == l.cmd.Process.Pid })
	if !slices.Equal(sorted(said), sorted(truth)) {
		t.Errorf("there are:%s\nwant:%s", describe(truth), describe(said))
	}
	if got := h.members(l.jid); !slices.Equal(got, sorted(truth)) {
		t.Errorf("the members are:%s\nwant:%s", describe(got), describe(truth))
	}
	for _, pid := range truth {
		kill(t, pid)
	}
	h.ended(l.jid)
	l.wait()
	h.checkBooks()
}
