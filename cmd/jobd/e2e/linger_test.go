package e2e

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
)

// leaves is a login that is over and has left processes of a program in its job.
func (w *world) leaves(name, user, command string, n int) (job.JID, []int32) {
	w.h.t.Helper()
	out := w.labOut(name)
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", user, nil, "sh", "-c", command)
	pids := pidsIn(w.h.t, out, n)
	until(w.h.t, "the job to linger", func() bool { return w.h.show(l.jid).State != job.Open })
	return l.jid, pids
}

// A job that lingers is killed though jobd goes on elsewhere before its time is over.
func TestLingerOverHandover(t *testing.T) {
	h := plainHost(t)
	h.holder = newHolder(t, h.dir)
	h.configured("kill_grace = \"100ms\"\n[linger]\nkill_after = \"3s\"\n")
	w := h.newWorld(map[string]string{"svc": plainStack})
	jid, _ := w.leaves("left", "alice", built.lab+" daemon", 1)
	until(t, "all sockets are held", func() bool { return len(h.holder.held()) == h.holds() })
	h.stop(unix.SIGTERM)
	h.start()
	h.log.await(t, "went on where the jobd before stopped")
	if in := h.ended(jid); in.EndReason != job.EndKilled {
		t.Errorf("end_reason %q", in.EndReason)
	}
}

// Jobs that linger are killed when their time is over: none of root's, of an exempt user's, nor one that an exempt program
// keeps, for as long as that runs.
func TestLinger(t *testing.T) {
	h := plainHost(t)
	keeper := exempted(h)
	config := "kill_grace = \"100ms\"\n[linger]\nkill_after = \"300ms\"\nexempt_users = [\"bob\", \"%d\"]\nexempt_programs = [%q]\n[exempt]\nprograms = []\n"
	h.configured(fmt.Sprintf(config, guestUID, keeper))
	w := h.newWorld(map[string]string{"svc": plainStack})
	daemon := built.lab + " daemon"
	spared := make(map[job.JID][]int32)
	for _, user := range []string{"root", "bob", "guest0"} {
		jid, pids := w.leaves(user, user, daemon, 1)
		spared[jid] = pids
	}
	kept, both := w.leaves("kept", "alice", keeper+" daemon; "+daemon, 2)
	spared[kept] = both
	open := h.newSurvivor("open")
	open.grow(t)
	for i := range 2 {
		first, _ := w.leaves(fmt.Sprint("killed", i), "alice", "trap '' TERM HUP; "+daemon, 1) // nothing but KILL
		if in := h.ended(first); in.EndReason != job.EndKilled {
			t.Errorf("end_reason %q", in.EndReason)
		}
		h.log.await(t, `killed a lingering job" jid=`+logged(first))
		h.stop(unix.SIGKILL) // those that lingered before it are found lingering
		h.start()
	}
	jid, _ := w.leaves("last", "alice", daemon, 1)
	h.ended(jid) // all of the others have waited for longer
	open.check(h)
	for jid, pids := range spared {
		for _, pid := range pids {
			if !alive(pid) || h.jobOf(pid) != jid {
				t.Errorf("process %d is gone, alive %v, in %s not %s", pid, alive(pid), h.jobOf(pid), jid)
			}
		}
	}
	for _, pid := range both { // the rest is nobody's to keep
		if exe := command(pid); exe == keeper+" daemon" {
			kill(t, pid)
		}
	}
	if in := h.ended(kept); in.EndReason != job.EndKilled {
		t.Errorf("end_reason %q", in.EndReason)
	}
}
