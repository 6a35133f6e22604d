package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// An exempt program that a user may run as root takes that user's processes nowhere: neither those that were there before, nor
// what they fork in its name (CLONE_PARENT).
func TestBecomeExempt(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := plainHost(t, tt.args...)
			service, suid := exempted(h), filepath.Join(h.dir, "suid")
			must(t, tool("cp", built.ways, suid))
			must(t, os.Chmod(suid, 0o755|os.ModeSetuid))
			h.configured(fmt.Sprintf("[exempt]\nprograms = [%q]\n", service))
			w := h.newWorld(map[string]string{"svc": tt.stack})
			out := w.labOut("out")
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", []string{"-x"}, built.ways, "under", built.ways, "become", suid, service, "stay")
			pids := pidsIn(t, out, 9)
			h.log.await(t, "left its job: root runs an exempt program")
			check := func(when string) {
				t.Helper()
				for _, pid := range pids {
					exe, _ := os.Readlink(procFile(pid, "exe"))
					if in := h.jobOf(pid); (in != l.jid) != (exe == service) {
						t.Errorf("%s: process %d, which runs %s, is in job %s", when, pid, exe, in)
					}
				}
			}
			check("at once")
			h.selfcheck()
			if tt.args != nil {
				return // nothing that is on file tells them apart
			}
			h.stop(9)
			h.start()
			check("after a restart")
			h.selfcheck()
		})
	}
}
