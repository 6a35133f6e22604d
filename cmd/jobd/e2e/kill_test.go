package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// hard are jobs that are hard to kill: what runs in them, and how many say that they are there.
var hard = []struct {
	name, cmd string
	stay      int
	stop      bool // all of them are stopped before
	least     int  // so many processes there have been in the end
}{
	{name: "a bomb", cmd: "bomb forks 1000", stay: 1, least: 1000},
	{name: "runners", cmd: "bomb runners 50", stay: 50},
	{name: "members that ignore signals", cmd: "bomb deaf 20", stay: 20},
	{name: "stopped members", cmd: "lab clone-parent 20", stay: 21, stop: true},
	{name: "stopped members that ignore signals", cmd: "bomb deaf 20", stay: 20, stop: true},
}

// Kill means empty: it comes back when nothing of the job lives, found by what its processes inherited. Root has cgroup.kill
// for a job's own cgroup; an owner has not, and where there is no cgroup root has none either.
func TestKillMeansEmpty(t *testing.T) {
	for k, witness := range restartStacks {
		h := newHost(t, witness.args...)
		h.newWorld(map[string]string{"svc": witness.stack + patient})
		for i, by := range []string{"root", "owner"} {
			user, uid := fmt.Sprintf("guest%d", 2*k+i), guestUID+2*k+i // the bomb goes as far as its user's limit, and zombies count
			for _, c := range hard {
				t.Run(witness.name+": "+by+": "+c.name, func(t *testing.T) {
					h.use(t)
					l := h.world.leave(way{cmd: c.cmd, stay: c.stay}, "svc", user, []string{"-x", "-r", "-s"})
					defer l.login.killGroup(t) // nothing else stops what is a new process all the time
					for _, pid := range pidsIn(t, l.out, c.stay) {
						if c.stop {
							must(t, signal(pid, unix.SIGSTOP))
						}
					}
					h.killNow(l.jid, by == "owner", uid)
					if left := h.survivors(l); len(left) > 0 {
						t.Errorf("%d are left, in job %s", len(left), h.jobOf(left[0]))
					}
					if in := h.ended(l.jid); in.EndReason != job.EndKilled || in.TotalProcesses < c.least {
						t.Errorf("end_reason %q, %d processes", in.EndReason, in.TotalProcesses)
					}
					l.login.wait()
				})
			}
		}
	}
}

// killGroup kills what a login that has failed has left of its process group.
func (l *login) killGroup(t *testing.T) {
	if t.Failed() && l.cmd.ProcessState == nil {
		_ = unix.Kill(-l.cmd.Process.Pid, unix.SIGKILL)
	}
}

// killNow kills a job at once, as root or as its owner. Who is left by what it says has to be dead all the same.
func (h *host) killNow(jid job.JID, owner bool, uid int) {
	h.t.Helper()
	ans, err := control.KillAnswer{}, error(nil)
	if owner {
		text, errs, _ := h.jobctl(uid, "kill", "--now", "--json", itoa(int(jid.Seq())))
		if err := json.Unmarshal([]byte(text), &ans); err != nil {
			h.t.Fatalf("kill: %v\n%s%s", err, text, errs)
		}
	} else {
		ans, err = h.client.Kill(h.soon(), control.Request{Job: ref(jid), Now: true})
	}
	if err != nil || len(ans.Refused) != 0 {
		h.t.Errorf("kill: %d refused, %v", len(ans.Refused), err)
	}
	for _, l := range ans.Left {
		if alive(l.PID) {
			h.t.Fatalf("kill: %d are left, one is %+v", len(ans.Left), l)
		}
	}
}
