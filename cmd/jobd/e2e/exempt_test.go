package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// configured starts a jobd with a configuration file.
func (h *host) configured(text string) *host {
	h.t.Helper()
	h.configure(text)
	h.start()
	return h
}

// exempted is a copy of lab that is in the list.
func exempted(h *host) string {
	h.t.Helper()
	path := filepath.Join(h.dir, "service")
	b, err := os.ReadFile(built.lab)
	must(h.t, err)
	must(h.t, os.WriteFile(path, b, 0o755))
	return path
}

// A login daemon that root restarts in a login is in no job, whatever becomes of that login, and its logins have no parent.
func TestLoginDaemonRestartedInAJob(t *testing.T) {
	for _, exec := range []string{"exe", "off"} {
		t.Run(exec, func(t *testing.T) {
			h := plainHost(t).configured("[record]\nexec = \"" + exec + "\"\n")
			w := h.newWorld(map[string]string{"svc": plainStack, "sshd": plainStack})
			s, command := w.prepareSSHD()
			out := w.labOut("out")
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "root", []string{"-x"}, "sh", "-c", strings.Join(command, " ")+" && exec "+built.lab+" stay")
			shell := pidsIn(t, out, 1)
			until(t, "sshd to listen", func() bool {
				c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
				return err == nil && c.Close() == nil
			})
			check := func() {
				t.Helper()
				sh := s.login("alice")
				jid := h.jobOf(sh.pid)
				if in := h.show(jid); in.ParentJID != nil || in.LoginJID != nil || in.Service != "sshd" {
					t.Errorf("the login's job is %+v", in)
				}
				sh.logout()
				h.ended(jid)
			}
			h.log.await(t, `left its job: root runs an exempt program" jid=`+logged(l.jid)+` .* program=`+command[0])
			check()
			if got := h.members(l.jid); !slices.Equal(got, shell) {
				t.Errorf("the members are:%s", describe(got))
			}
			h.stop(unix.SIGKILL)
			h.start()
			check()
			if got := h.members(l.jid); !slices.Equal(got, shell) {
				t.Errorf("after a restart the members are:%s", describe(got))
			}
			_, err := h.client.Kill(h.soon(), control.Request{Job: ref(l.jid), Now: true})
			must(t, err)
			h.ended(l.jid)
			check()
		})
	}
}

// What leaves is what root runs, by its own right: not what a user runs, nor what makes a user root.
func TestExemptPrograms(t *testing.T) {
	for _, exec := range []string{"exe", "off"} {
		t.Run(exec, func(t *testing.T) {
			h := plainHost(t)
			service, suid := exempted(h), filepath.Join(h.dir, "suid")
			must(t, tool("cp", service, suid))
			h.configured(fmt.Sprintf("[exempt]\nprograms = [%q, %q]\n[record]\nexec = %q\n", service, suid, exec))
			must(t, os.Chmod(suid, 0o755|os.ModeSetuid)) // jobd would not have started
			w := h.newWorld(map[string]string{"svc": plainStack})
			for i, tt := range []struct {
				user    string
				command string
				out     bool
			}{
				{"alice", service + " stay", false},
				{"alice", suid + " root", false},
				{"root", service + " stay", true},
				{"root", "exec " + service + " stay", true},
				{"root", service + " daemon", true},
				{"root", "sh -c '" + service + " daemon & exit'", true},
			} {
				name := fmt.Sprint("out", i)
				out := w.labOut(name)
				script := tt.command + " & exec " + built.lab + " stay"
				if strings.HasPrefix(tt.command, "exec") {
					script = built.lab + " stay & " + tt.command
				}
				l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", tt.user, []string{"-x"}, "sh", "-c", script)
				h.checkExempt(l.jid, tt.user+" "+tt.command, pidsIn(t, out, 2), tt.out)
			}
		})
	}
}

// checkExempt: of two processes one runs the service. It has one more child.
func (h *host) checkExempt(jid job.JID, what string, pids []int32, out bool) {
	h.t.Helper()
	member, service := pids[0], pids[1]
	if exe, _ := os.Readlink(procFile(member, "exe")); exe != built.lab {
		member, service = service, member
	}
	must(h.t, signal(service, unix.SIGUSR1))
	var child int32
	until(h.t, "a child", func() bool {
		for _, pid := range h.world.processes() {
			if parentOf(pid) == service && pid != member {
				child = pid
			}
		}
		return child != 0
	})
	if out {
		h.log.await(h.t, fmt.Sprintf(`left its job: root runs an exempt program" jid=%s `, logged(jid)))
	}
	for _, pid := range []int32{service, child} {
		if in := h.jobOf(pid); (in == 0) != out || in != 0 && in != jid {
			h.t.Errorf("%s: process %d is in job %s, the login's is %s", what, pid, in, jid)
		}
	}
	if h.jobOf(member) != jid {
		h.t.Errorf("%s: the other process is in job %s", what, h.jobOf(member))
	}
	for _, pid := range []int32{child, service, member} {
		kill(h.t, pid)
	}
	h.ended(jid)
}

// A service that was restarted while jobd was down is left out when jobd finds the job's members, with all below it.
func TestExemptWhileDown(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := plainHost(t, tt.args...)
			service := exempted(h)
			h.configured(fmt.Sprintf("[exempt]\nprograms = [%q]\n", service))
			w := h.newWorld(map[string]string{"svc": tt.stack})
			out := w.labOut("out")
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "root", []string{"-x"}, "sh", "-c", w.waitFor("go")+service+" daemon; exec "+built.lab+" stay")
			h.stop(unix.SIGKILL)
			w.write("go", "", 0o644)
			pids := pidsIn(t, out, 2)
			h.start()
			h.checkExempt(l.jid, "while down", pids, true)
		})
	}
}

// waitFor is a shell's wait for a file.
func (w *world) waitFor(name string) string {
	return "until [ -e " + filepath.Join(w.dir, name) + " ]; do sleep 0.02; done; "
}

// jobd that is started again out of a login is no member of that login's job, leaves its cgroup, and outlives its kill.
func TestJobdRestartedInAJob(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.args...)
			w := h.newWorld(map[string]string{"svc": tt.stack})
			out := w.labOut("out")
			script := "( " + w.waitFor("go") + "exec " + built.jobd + " " + strings.Join(h.flags(), " ") + " ) & exec " + built.lab + " stay"
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "root", []string{"-x"}, "sh", "-c", script)
			shell := pidsIn(t, out, 1)
			if code := h.stop(unix.SIGTERM); code != 0 {
				t.Errorf("jobd ended with %d", code)
			}
			w.write("go", "", 0o644)
			var self int32
			until(t, "the jobd that was started in the login", func() bool {
				st, err := h.client.Status(h.soon())
				self = int32(st.PID)
				return err == nil
			})
			if got := h.members(l.jid); !slices.Equal(got, shell) || h.jobOf(self) != 0 {
				t.Errorf("the members are:%s\njobd is %d in job %s", describe(got), self, h.jobOf(self))
			}
			if place := cgroupOf(self); place != "/" {
				t.Errorf("jobd is in cgroup %s", place)
			}
			h.selfcheck()
			_, err := h.client.Kill(h.soon(), control.Request{Job: ref(l.jid), Now: true})
			must(t, err)
			if in := h.ended(l.jid); in.EndReason != job.EndKilled {
				t.Errorf("end_reason %q", in.EndReason)
			}
			next := h.newSurvivor("next")
			if in := h.show(next.jid); in.ParentJID != nil {
				t.Errorf("a later login's job is %+v", in)
			}
			must(t, signal(self, unix.SIGTERM))
			until(t, "its end", func() bool { return !alive(self) })
			h.start()
		})
	}
}
