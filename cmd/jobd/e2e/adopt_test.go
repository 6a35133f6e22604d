package e2e

import (
	"slices"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// auditStack gives a session an audit session id, by which it can be found later.
const auditStack = "session required pam_loginuid.so\nsession required %m"

// A login that is older than jobd is adopted by its monitor's pid: what it started is in, and what it starts later.
func TestAdoptLogin(t *testing.T) {
	h := plainHost(t)
	s := h.newWorld(map[string]string{"sshd": auditStack}).newSSHD()
	sh := s.login("alice")
	old := sh.number("setsid sleep 900 >/dev/null 2>&1 & echo $!")
	h.start()
	monitor := parentOf(parentOf(sh.pid))
	ans, err := h.client.Adopt(h.soon(), control.Request{PID: monitor})
	if err != nil || len(ans.Jobs) != 1 {
		t.Fatalf("adopt: %+v, %v", ans, err)
	}
	jid := ans.Jobs[0].JID
	in := h.onlyJob()
	if in.JID != jid || in.UID != aliceUID || in.POE != monitor || !in.Estimated {
		t.Errorf("the job is %+v", in)
	}
	later := sh.number("setsid sleep 900 >/dev/null 2>&1 & echo $!")
	for _, pid := range []int32{monitor, sh.pid, old, later} {
		if h.jobOf(pid) != jid {
			t.Errorf("process %d (%s) is not in the job", pid, command(pid))
		}
	}
	if _, err := h.client.Kill(h.soon(), control.Request{Job: ref(jid), Now: true}); err != nil {
		t.Errorf("kill: %v", err)
	}
	if in := h.ended(jid); in.EndReason != job.EndKilled {
		t.Errorf("end_reason %q", in.EndReason)
	}
}

// With one of its processes in a job already, nothing of a session is adopted.
func TestAdoptAllOrNothing(t *testing.T) {
	h := plainHost(t)
	s := h.newWorld(map[string]string{"sshd": auditStack}).newSSHD()
	sh := s.login("bob")
	child := sh.number("sleep 900 >/dev/null 2>&1 & echo $!")
	h.start()
	held, err := h.client.Create(h.soon(), control.Request{Hold: true})
	must(t, err)
	_, err = h.client.Attach(h.soon(), control.Request{Job: ref(held.JID), PID: child})
	must(t, err)
	monitor := parentOf(parentOf(sh.pid))
	if ans, err := h.client.Adopt(h.soon(), control.Request{PID: monitor}); control.ExitCode(err) != 1 {
		t.Errorf("adopt: %+v, %v", ans, err)
	}
	for _, pid := range []int32{monitor, parentOf(sh.pid), sh.pid} {
		if jid := h.jobOf(pid); jid != 0 {
			t.Errorf("process %d is in job %s", pid, jid)
		}
	}
	if got := h.members(held.JID); !slices.Equal(got, []int32{child}) {
		t.Errorf("the held job's members are:%s", describe(got))
	}
	if in := h.onlyJob(); in.JID != held.JID {
		t.Errorf("a job is left: %+v", in)
	}
	must(t, h.client.Release(h.soon(), ref(held.JID)))
	kill(t, child)
	h.ended(held.JID)
}

// Every session that is older than jobd becomes a job of its own. cgroups are only read: other people's sessions, which
// this host may have, stay where they are.
func TestAdoptAllSessions(t *testing.T) {
	h := plainHost(t, "--cgroup", "read")
	s := h.newWorld(map[string]string{"sshd": auditStack}).newSSHD()
	alice, bob := s.login("alice"), s.login("bob")
	child := alice.number("setsid sleep 900 >/dev/null 2>&1 & echo $!")
	h.start()
	if _, err := h.client.Adopt(h.soon(), control.Request{AllSessions: true}); err != nil {
		t.Fatalf("adopt: %v", err)
	}
	a, b := h.jobOf(alice.pid), h.jobOf(bob.pid)
	if a == 0 || b == 0 || a == b || h.jobOf(child) != a || h.jobOf(parentOf(parentOf(bob.pid))) != b {
		t.Fatalf("alice's is job %s, her child's %s, bob's %s", a, h.jobOf(child), b)
	}
	if in := h.show(a); in.UID != aliceUID || in.AuditSession == nil {
		t.Errorf("alice's job is %+v", in)
	}
	if h.jobOf(int32(s.cmd.Process.Pid)) != 0 {
		t.Error("sshd itself was adopted")
	}
	kill(t, child)
	alice.logout()
	bob.logout()
	h.ended(a)
	h.ended(b)
	h.disown()
}

// disown takes other people's sessions out again.
func (h *host) disown() {
	h.t.Helper()
	jobs, err := h.client.List(h.soon(), control.Request{})
	must(h.t, err)
	for _, in := range jobs {
		if _, err := h.client.Detach(h.soon(), control.Request{Job: ref(in.JID)}); err != nil {
			h.t.Errorf("detach: %v", err)
		}
	}
}
