package e2e

import (
	"fmt"
	"slices"
	"testing"
)

// A user's process joins a pid namespace that was made in another of their jobs, becomes an orphan there, and forks in the
// name of that namespace's init, which is no ancestor of its job. No event tells: the job's own cgroup does, soon. Where
// there is none nobody looks, but for a selfcheck.
func TestBorrowedNamespace(t *testing.T) {
	for _, witness := range restartStacks {
		t.Run(witness.name, func(t *testing.T) {
			h := newHost(t, witness.args...)
			w := h.newWorld(map[string]string{"svc": witness.stack})
			hostOut, hopOut := w.labOut("host"), w.labOut("hop")
			first := w.loginEnv([]string{"LAB_OUT=" + hostOut}, "svc", "alice", nil, built.lab, "ns-host")
			init := pidsIn(t, hostOut, 1)[0]
			second := w.loginEnv([]string{"LAB_OUT=" + hopOut}, "svc", "alice", nil, built.lab, "ns-hop", itoa(int(init)))
			hopper := pidsIn(t, hopOut, 1)[0]
			if witness.args == nil {
				until(t, "the hopper is taken back", func() bool { return slices.Contains(h.members(second.jid), hopper) })
			} else {
				h.checkHopper(hopper, first, second)
			}
			if got := h.jobOf(init); got != first.jid {
				t.Errorf("the namespace's init is in %s, want %s", got, first.jid)
			}
			h.endLogin(second)
			h.endLogin(first)
			h.checkBooks()
		})
	}
}

// checkHopper: it went into the other job, and a selfcheck says whose it is.
func (h *host) checkHopper(hopper int32, first, second *login) {
	h.t.Helper()
	if got := h.jobOf(hopper); got != first.jid {
		h.t.Errorf("the hopper is in %s", got)
	}
	want := fmt.Sprintf("process %d (lab) has a witness for job %d and is in %d", hopper, second.jid.Seq(), first.jid.Seq())
	if sc, err := h.client.Selfcheck(h.soon()); err != nil || sc.OK || !slices.Contains(sc.Differences, want) {
		h.t.Errorf("selfcheck: %+v, %v; want %q", sc, err, want)
	}
	kill(h.t, hopper)
}

// endLogin kills whatever a login started, and waits for its end.
func (h *host) endLogin(l *login) {
	h.t.Helper()
	for _, pid := range h.members(l.jid) {
		if pid != int32(l.cmd.Process.Pid) {
			kill(h.t, pid)
		}
	}
	h.ended(l.jid)
	l.wait()
}
