package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// roller builds the program.
func (w *world) roller() string {
	w.h.t.Helper()
	path := filepath.Join(w.dir, "roller")
	must(w.h.t, cc(path, helperFlags, "testdata/roller.c"))
	return path
}

// A job without a cgroup whose processes fork and exit faster than anybody can look at them is ended by its owner. A
// thousand of them rest between two forks, or the host would have time for nothing else.
func TestKillRollingBomb(t *testing.T) {
	for _, mode := range []string{"1 0", "1 0 setsid", "5 0", "5 0 setsid", "1000 200", "1000 200 setsid"} {
		t.Run(mode, func(t *testing.T) {
			h := newHost(t, "--cgroup", "off")
			h.mayLose = true
			w := h.newWorld(map[string]string{"svc": plainStack})
			out := w.labOut("out")
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", []string{"-x"}, append([]string{w.roller()}, strings.Fields(mode)...)...)
			if l.jid == 0 {
				t.Fatal("the login has no job")
			}
			pidsIn(t, out, 1)
			text, errs, code := h.jobctl(aliceUID, "kill", "--now", itoa(int(l.jid.Seq())))
			if code != 0 {
				t.Fatalf("kill ends with %d: %s%s", code, text, errs)
			}
			if in := h.ended(l.jid); in.EndReason != job.EndKilled {
				t.Errorf("end_reason %q", in.EndReason)
			}
			if left := withToken("LAB_OUT=" + out); len(left) > 0 {
				t.Errorf("left:%s", describe(left))
			}
		})
	}
}

// What KILL does not end is named, with its state and where in the kernel it is, and jobctl says that it has failed. Here it
// is a process that a cgroup (v1) has frozen.
func TestKillSaysWhoIsLeft(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	frozen := freeze(t, s.pids[0])
	text, errs, code := h.jobctl(aliceUID, "kill", "--now", "--json", itoa(int(s.jid.Seq())))
	var ans control.KillAnswer
	if err := json.Unmarshal([]byte(text), &ans); err != nil || code != 1 {
		t.Fatalf("kill ends with %d: %s%s, %v", code, text, errs, err)
	}
	if len(ans.Left) != 1 || ans.Left[0].PID != s.pids[0] || ans.Left[0].State != "D" || ans.Left[0].Why == "" || ans.Ended != 1 {
		t.Errorf("kill: %+v", ans)
	}
	if text, _, code = h.jobctl(aliceUID, "kill", "--now", itoa(int(s.jid.Seq()))); code != 1 || !strings.Contains(text, fmt.Sprintf("1 left: %d D state, ", s.pids[0])) {
		t.Errorf("kill ends with %d: %s", code, text)
	}
	frozen.thaw()
	if in := h.ended(s.jid); in.EndReason != job.EndKilled {
		t.Errorf("end_reason %q", in.EndReason)
	}
}

// icebox is a cgroup of the freezer hierarchy (cgroup v1).
type icebox struct {
	t    *testing.T
	path string
}

// freeze puts a process into a new one and freezes it.
func freeze(t *testing.T, pid int32) *icebox {
	t.Helper()
	root := "/sys/fs/cgroup/freezer"
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
		lacking(t, "cgroup v1 with its freezer at "+root)
	}
	path, err := os.MkdirTemp(root, "jobd-e2e")
	must(t, err)
	b := &icebox{t: t, path: path}
	t.Cleanup(b.remove)
	must(t, os.WriteFile(path+"/cgroup.procs", []byte(itoa(int(pid))), 0))
	must(t, os.WriteFile(path+"/freezer.state", []byte("FROZEN"), 0))
	until(t, "the cgroup to be frozen", func() bool {
		state, err := os.ReadFile(path + "/freezer.state")
		return err == nil && string(state) == "FROZEN\n"
	})
	return b
}

func (b *icebox) thaw() { must(b.t, os.WriteFile(b.path+"/freezer.state", []byte("THAWED"), 0)) }

func (b *icebox) remove() {
	b.thaw()
	until(b.t, "the frozen cgroup to be empty", func() bool { return os.Remove(b.path) == nil })
}

// A cgroup that somebody else made for a login, as logind does, is killed at once when it holds this job alone, and left when
// it holds somebody else.
func TestKillBorrowedCgroup(t *testing.T) {
	h := plainHost(t)
	config := filepath.Join(h.dir, "jobd.toml")
	must(t, os.WriteFile(config, []byte("debug = true\n"), 0o600))
	h.args = []string{"--config", config}
	h.start()
	w := h.newWorld(nil)
	for i, alone := range []bool{true, false} {
		place := newScope(t)
		member, other := w.stayer("member"+itoa(i)), w.stayer("other"+itoa(i))
		enter(t, place, member)
		ans, err := h.client.Adopt(h.soon(), control.Request{Scope: strings.TrimPrefix(place, cgroupMount(t)), User: "alice", UID: new(uint32(aliceUID))})
		if err != nil || len(ans.Jobs) != 1 || h.jobOf(member) != ans.Jobs[0].JID {
			t.Fatalf("adopt: %+v, %v", ans, err)
		}
		jid := ans.Jobs[0].JID
		if !alone {
			enter(t, place, other)
		}
		frozen := freeze(t, member) // else it is gone before
		_, err = h.client.Kill(h.soon(), control.Request{Job: ref(jid), Now: true})
		must(t, err)
		frozen.thaw()
		h.ended(jid)
		if !alive(other) {
			t.Error("a process that is no member was killed")
		}
		if used := strings.Contains(h.settled(), "killed a cgroup at once\" jid="+logged(jid)); used != alone {
			t.Errorf("alone %v, killed at once %v", alone, used)
		}
		kill(t, other)
	}
}

// stayer starts lab stay in no job.
func (w *world) stayer(name string) int32 {
	w.h.t.Helper()
	cmd := w.command(built.lab, "stay")
	cmd.Env = append(cmd.Env, "LAB_OUT="+w.labOut(name))
	must(w.h.t, cmd.Start())
	w.logins = append(w.logins, cmd)
	return pidsIn(w.h.t, filepath.Join(w.dir, name), 1)[0]
}

// newScope makes a cgroup that is not jobd's.
func newScope(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp(cgroupMount(t), "e2e")
	must(t, err)
	t.Cleanup(func() { until(t, "the cgroup to be empty", func() bool { return os.Remove(path) == nil }) })
	return path
}

func enter(t *testing.T, place string, pid int32) {
	t.Helper()
	must(t, os.WriteFile(place+"/cgroup.procs", []byte(itoa(int(pid))), 0))
}
