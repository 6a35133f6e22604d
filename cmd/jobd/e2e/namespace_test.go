package e2e

import (
	"slices"
	"testing"
)

// A user's process joins a pid namespace that was made in another of their jobs, becomes an orphan there, and forks in the
// name of that namespace's init, which is no ancestor of its job. No event tells: the job's own cgroup does, soon, and where
// there is none the audit session.
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
			until(t, "the hopper is taken back", func() bool { return slices.Contains(h.members(second.jid), hopper) })
			if got := h.jobOf(init); got != first.jid {
				t.Errorf("the namespace's init is in %s, want %s", got, first.jid)
			}
			h.endLogin(second)
			h.endLogin(first)
			h.checkBooks()
		})
	}
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
