package e2e

import (
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// inside starts a shell as alice by su, in root's ssh shell: what sh does from now on, alice's shell does.
func inside(sh *shell) (shellPID, suPID int32) {
	sh.t.Helper()
	shellPID = sh.number("exec su alice -c 'echo $$; exec /bin/sh'")
	return shellPID, parentOf(shellPID)
}

// su inside a login is a mark, and the same job.
func TestSuIsMark(t *testing.T) {
	needProgram(t, "su")
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack, "su": plainStack}).newSSHD()
	sh := s.login("root")
	jid := h.onlyJob().JID
	pid, su := inside(sh)
	in := h.onlyJob()
	if in.JID != jid || h.jobOf(pid) != jid || h.jobOf(su) != jid {
		t.Fatalf("su is not in the job: %+v", in)
	}
	if len(in.Marks) != 1 || in.Marks[0].Service != "su" || in.Marks[0].User != "alice" || in.Marks[0].PID != su || in.Marks[0].Closed {
		t.Errorf("marks: %+v, want su of alice by %d", in.Marks, su)
	}
	if in.User != "root" || sh.do("id -un") != "alice" || sh.do("echo $JOB_JID") != jid.String() {
		t.Errorf("the job is %s's, JOB_JID %q", in.User, sh.do("echo $JOB_JID"))
	}
	sh.logout()
	if in = h.ended(jid); len(in.Marks) != 1 || !in.Marks[0].Closed {
		t.Errorf("marks at the end: %+v", in.Marks)
	}
}

// With nested=new su makes a job of its own, below the login's, and its process goes back when it closes the session.
func TestSuNested(t *testing.T) {
	needProgram(t, "su")
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack, "su": plainStack + " nested=new"}).newSSHD()
	sh := s.login("root")
	outer := h.onlyJob().JID
	shellPID := sh.pid
	pid := sh.number("su alice -c 'setsid nohup sleep 900 >/dev/null 2>&1 & echo $$; exec /bin/sh'")
	su := parentOf(pid)
	inner := h.jobOf(pid)
	in := h.show(inner)
	if inner == outer || in.ParentJID == nil || *in.ParentJID != outer || in.LoginJID == nil || *in.LoginJID != outer {
		t.Fatalf("the inner job is %+v, the outer is %s", in, outer)
	}
	if in.User != "alice" || in.Service != "su" || in.POE != su || h.jobOf(su) != inner || h.jobOf(shellPID) != outer {
		t.Errorf("the inner job is %+v, su is %d in %s", in, su, h.jobOf(su))
	}
	if got := sh.do("echo $JOB_JID"); got != inner.String() {
		t.Errorf("JOB_JID %q, want %s", got, inner)
	}
	sh.say("exit")
	until(t, "the end of su", func() bool { return !alive(su) })
	if got := sh.do("echo out"); got != "out" || h.jobOf(shellPID) != outer {
		t.Errorf("the outer shell says %q in job %s", got, h.jobOf(shellPID))
	}
	until(t, "the inner job to linger", func() bool { return h.show(inner).State == job.Lingering })
	until(t, "sleep to be the inner job's only member", func() bool { // it may not have been executed yet
		m := h.members(inner)
		return len(m) == 1 && command(m[0]) == "sleep 900"
	})
	if in := h.show(outer); in.State != job.Open || len(in.Marks) != 0 {
		t.Errorf("the outer job is %+v", in)
	}
	if _, err := h.client.Kill(h.soon(), control.Request{Job: ref(outer), Now: true}); err != nil {
		t.Errorf("kill: %v", err)
	}
	if a, b := h.ended(outer), h.ended(inner); a.EndReason != job.EndKilled || b.EndReason != job.EndKilled {
		t.Errorf("end_reason %q and %q", a.EndReason, b.EndReason)
	}
}

// A kill with --only leaves the nested job alone, and wait waits for it unless told not to.
func TestNestedOnly(t *testing.T) {
	needProgram(t, "su")
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack, "su": plainStack + " nested=new"}).newSSHD()
	sh := s.login("root")
	outer := h.onlyJob().JID
	pid := sh.number("su alice -c 'trap : HUP; echo $$; while :; do sleep 1; done'")
	inner := h.jobOf(pid)
	ans, err := h.client.Kill(h.soon(), control.Request{Job: ref(outer), Only: true, Now: true})
	if err != nil || len(ans.Jobs) != 1 || len(ans.Left) != 0 {
		t.Errorf("kill --only: %+v, %v", ans, err)
	}
	h.ended(outer)
	if h.jobOf(pid) != inner || !alive(pid) {
		t.Fatalf("the nested job was hit: %d alive %v", pid, alive(pid))
	}
	if _, err := h.client.Wait(h.soon(), control.Request{Job: ref(outer), Timeout: 1}); control.ExitCode(err) != 1 {
		t.Errorf("wait for the outer job does not wait for the inner one: %v", err)
	}
	if _, err := h.client.Kill(h.soon(), control.Request{Job: ref(inner), Now: true}); err != nil {
		t.Errorf("kill: %v", err)
	}
	if _, err := h.client.Wait(h.soon(), control.Request{Job: ref(outer), Timeout: patience}); err != nil {
		t.Errorf("wait: %v", err)
	}
}
