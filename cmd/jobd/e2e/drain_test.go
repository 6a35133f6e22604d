package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// A drain outlives jobd, however that ends, and not the boot; create and logins are told; nothing else is changed by it.
func TestDrainOutlivesJobd(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": openStack})
	s := h.newSurvivor("out")
	s.pids = pidsIn(t, s.out, 1)
	refused := func(want bool) {
		t.Helper()
		if st, err := h.client.Status(h.soon()); err != nil || st.Drained != want {
			t.Errorf("drained %v, want %v; %v", st.Drained, want, err)
		}
		in, err := h.client.Create(h.soon(), control.Request{Hold: true})
		if !want && err == nil {
			must(t, h.client.Release(h.soon(), ref(in.JID)))
			return
		}
		if e, ok := err.(*control.Error); !want || !ok || e.Code != control.Disabled || !strings.Contains(e.Message, "jobctl resume") {
			t.Errorf("create: %+v, %v", in, err)
		}
	}
	refused(false)
	must(t, h.client.Drain(h.soon()))
	must(t, h.client.Drain(h.soon())) // again
	refused(true)
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		h.stop(sig)
		h.start()
		refused(true)
		s.grow(t) // who is in a job stays in it, with what it starts
		s.check(h)
	}
	if l := w.login("svc", "bob", nil, "true"); l.rc != 0 || l.jid != 0 {
		t.Errorf("a login: result %d, job %s", l.rc, l.jid)
	}
	until(t, "jobd's log says so", func() bool {
		log := h.log.String()
		return strings.Contains(log, "drained: no new jobs are made") && strings.Contains(log, "no new jobs are made now: jobctl resume")
	})
	until(t, "the login's own line", func() bool {
		return strings.Contains(w.syslog.String(), "jobd says disabled: no new jobs are made now")
	})
	must(t, h.client.Resume(h.soon()))
	must(t, h.client.Resume(h.soon()))
	refused(false)
	h.stop(unix.SIGKILL)
	h.start()
	refused(false)
	h.stop(unix.SIGTERM)
	must(t, os.WriteFile(filepath.Join(h.runDir(), "drained"), []byte("of another boot\n"), 0o600))
	h.start()
	refused(false)
}

// To attach a process again to the job that it is in is no error, and says that it was there; what came since comes too.
func TestAttachAgain(t *testing.T) {
	h := newHost(t)
	c := h.libjob(0)
	pid, _ := c.spawn("spawn 0")
	jid := h.hold()
	for i, already := range []int{0, 1, 1} {
		ans, err := h.client.Attach(h.soon(), control.Request{Job: ref(jid), PID: pid})
		if err != nil || len(ans.Processes) != 1 || ans.Processes[0] != pid || len(ans.Already) != already {
			t.Errorf("attach %d: %+v, %v", i, ans, err)
		}
	}
	if in := h.show(jid); in.TotalProcesses != 1 {
		t.Errorf("it has had %d processes", in.TotalProcesses)
	}
	ans, err := h.client.Attach(h.soon(), control.Request{Job: ref(jid), PID: c.pid, Tree: true})
	if err != nil || len(ans.Processes) != 2 || len(ans.Already) != 1 || ans.Already[0] != pid {
		t.Errorf("a tree: %+v, %v", ans, err)
	}
	kill(t, pid)
	c.end()
	must(t, h.client.Release(h.soon(), ref(jid)))
	until(t, "the log says that the job was released", func() bool { return strings.Contains(h.log.String(), "verb=release") })
	if n := strings.Count(h.settled(), " how=attach "); n != 2 {
		t.Errorf("%d lines in the log, want one for each of the two that were put in", n)
	}
}
