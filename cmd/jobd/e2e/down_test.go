package e2e

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slack is what a login may take beside the module's timeout on a busy machine.
const slack = 10 * time.Second

const openStack, closedStack = "session required %m timeout=500", "session required %m timeout=500 fail=closed"

// A login while jobd is down passes, and says so in the system log; with fail=closed it is refused.
func TestLoginWhileDown(t *testing.T) {
	h := plainHost(t)
	w := h.newWorld(map[string]string{"open": openStack, "closed": closedStack})
	start := time.Now()
	l := w.login("open", "alice", nil, "true")
	if l.rc != 0 || l.jid != 0 || l.wait() != 0 || time.Since(start) > 500*time.Millisecond+slack {
		t.Errorf("fail=open: result %d, job %s, %v", l.rc, l.jid, time.Since(start))
	}
	w.syslog.await(t, "cannot open a job for alice: .*the login goes on without a job")
	if l = w.login("closed", "alice", nil, "true"); l.rc == 0 || l.wait() == 0 {
		t.Errorf("fail=closed: result %d", l.rc)
	}
	w.syslog.await(t, "cannot open a job for alice: .*the login is refused")
}

// The same through sshd, and back to jobs as soon as jobd is there.
func TestSSHWhileDown(t *testing.T) {
	h := plainHost(t)
	s := h.newWorld(map[string]string{"sshd": openStack}).newSSHD()
	if out, err := s.run("alice", "echo in${JOB_JID}"); err != nil || out != "in" {
		t.Errorf("fail=open: %q, %v", out, err)
	}
	s.w.stack("sshd", closedStack)
	if out, err := s.run("alice", "echo in"); err == nil || out == "in" {
		t.Errorf("fail=closed: %q, %v", out, err)
	}
	h.start()
	if out, err := s.run("alice", "echo in${JOB_JID}"); err != nil || len(out) != len("in0x0123456789abcdef") {
		t.Errorf("with jobd: %q, %v", out, err)
	}
}

// A jobd that hangs holds a login up for the timeout and no longer.
func TestLoginWhileHung(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"open": openStack, "closed": closedStack})
	must(t, h.cmd.Process.Signal(unix.SIGSTOP))
	start := time.Now()
	l := w.login("open", "alice", nil, "true")
	took := time.Since(start)
	if l.rc != 0 || l.wait() != 0 || took < 500*time.Millisecond || took > 500*time.Millisecond+slack {
		t.Errorf("fail=open: result %d after %v", l.rc, took)
	}
	if l = w.login("closed", "alice", nil, "true"); l.rc == 0 {
		t.Error("fail=closed: the login passed")
	}
	l.wait()
	must(t, h.cmd.Process.Signal(unix.SIGCONT))
	if l = w.login("closed", "alice", nil, "true"); l.rc != 0 || l.jid == 0 {
		t.Errorf("after it: result %d, job %s", l.rc, l.jid)
	}
	h.ended(l.jid)
}
