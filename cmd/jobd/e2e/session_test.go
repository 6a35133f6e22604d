package e2e

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// A session that is older than jobd, or whose login made no job, is no witness for what is opened in it, however that is done:
// who else is in there belongs to no job.
func TestJobsInASessionOfNobodys(t *testing.T) {
	needProgram(t, "su")
	for _, tt := range []struct{ name, script string }{
		{"su", "su bob -c 'exec %s stay'"},
		{"su in su", `su alice -c "su bob -c 'exec %s stay'"`},
		{"su by an orphan", "(setsid su bob -c 'exec %s stay' &)"},
	} {
		for _, witness := range restartStacks {
			t.Run(tt.name+", "+witness.name, func(t *testing.T) {
				h := newHost(t, witness.args...)
				w := h.newWorld(map[string]string{"none": "session required pam_loginuid.so", "su": plainStack + " nested=new"})
				inner, outer := w.labOut("inner"), w.labOut("outer")
				su := fmt.Sprintf(tt.script, built.lab)
				script := fmt.Sprintf("LAB_OUT=%s %s & LAB_OUT=%s; export LAB_OUT; %s; exec sleep 900", outer, built.lab+" stay", inner, su)
				w.loginEnv(nil, "none", "root", []string{"-x"}, "sh", "-c", script)
				pid, stranger := pidsIn(t, inner, 1)[0], pidsIn(t, outer, 1)[0]
				until(t, "the job", func() bool { return h.jobOf(pid) != 0 })
				h.selfcheck()
				h.stop(unix.SIGKILL)
				h.start()
				if in := h.jobOf(stranger); in != 0 || h.jobOf(pid) == 0 {
					t.Errorf("the session's own process is in job %s, the other in %s", in, h.jobOf(pid))
				}
				h.selfcheck()
			})
		}
	}
}

// What was taken out of a login stays out when that login's job has ended and one that was nested in it goes on, with the
// audit session that both had.
func TestDetachedOutlivesItsJob(t *testing.T) {
	needProgram(t, "su")
	for _, witness := range restartStacks {
		t.Run(witness.name, func(t *testing.T) {
			h := newHost(t, witness.args...)
			w := h.newWorld(map[string]string{"svc": auditStack, "nested": plainStack + " nested=new"})
			inner, outer := w.labOut("inner"), w.labOut("outer")
			script := fmt.Sprintf("%[1]s stay & (LAB_OUT=%[2]s setsid %[3]s -x nested alice %[1]s stay &); exec sleep 900", built.lab, inner, built.login)
			l := w.loginEnv([]string{"LAB_OUT=" + outer}, "svc", "root", []string{"-x"}, "sh", "-c", script)
			out, pid := pidsIn(t, outer, 1)[0], pidsIn(t, inner, 1)[0]
			nested := h.jobOf(pid)
			if nested == 0 || nested == l.jid {
				t.Fatalf("the nested job is %s, the outer %s", nested, l.jid)
			}
			_, err := h.client.Detach(h.soon(), control.Request{PID: out})
			must(t, err)
			_, err = h.client.Kill(h.soon(), control.Request{Job: ref(l.jid), Only: true, Now: true})
			must(t, err)
			h.ended(l.jid)
			for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGKILL} {
				h.stop(sig)
				h.start()
				if in := h.jobOf(out); in != 0 {
					t.Fatalf("after a restart what was taken out is in job %s (nested %s)", in, nested)
				}
				h.selfcheck()
			}
		})
	}
}
