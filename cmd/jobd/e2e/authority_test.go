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

// jobctl runs it in the world as a user, and gives what it says and its exit code.
func (h *host) jobctl(uid int, args ...string) (stdout, stderr string, code int) {
	h.t.Helper()
	if built.jobctl == "" {
		lacking(h.t, "jobctl, which does not build")
	}
	id := itoa(uid)
	user := []string{needProgram(h.t, "setpriv"), "--reuid=" + id, "--regid=" + id, "--clear-groups", "--"}
	cmd := h.world.command(append(append(user, built.jobctl, "--run-dir", h.runDir()), args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// An ordinary user sees and acts on their own jobs only, and what they may not do is logged.
func TestAuthority(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	out := w.labOut("out")
	env := []string{"LAB_OUT=" + out}
	a := w.loginEnv(env, "svc", "alice", []string{"-x"}, built.lab, "stay")
	b := w.loginEnv(env, "svc", "bob", []string{"-x"}, built.lab, "stay")
	pids := pidsIn(t, out, 2)
	mine, theirs := itoa(int(a.jid.Seq())), itoa(int(b.jid.Seq()))
	own := pids[0]
	if h.jobOf(own) != a.jid {
		own = pids[1]
	}
	text, _, code := h.jobctl(aliceUID, "list", "--json")
	var jobs []job.Info
	if err := json.Unmarshal([]byte(text), &jobs); err != nil || code != 0 || len(jobs) != 1 || jobs[0].JID != a.jid {
		t.Errorf("list: %d, %v\n%s", code, err, text)
	}
	t.Run("denied", func(t *testing.T) { h.use(t); checkDenied(t, h, theirs, mine, fmt.Sprint(own)) })
	if len(h.members(a.jid)) != 1 || len(h.members(b.jid)) != 1 {
		t.Error("something was done nevertheless")
	}
	if text, errs, code := h.jobctl(aliceUID, "kill", "--now", mine); code != 0 {
		t.Errorf("her own kill: %d\n%s%s", code, text, errs)
	}
	h.ended(a.jid)
	if _, errs, code := h.jobctl(aliceUID, "kill", "4000000000"); code != 3 {
		t.Errorf("no such job: %d\n%s", code, errs)
	}
}

// checkDenied has a user of their own try each, because jobd logs but a few denials of one user in a while.
func checkDenied(t *testing.T, h *host, theirs, mine, pid string) {
	t.Helper()
	for i, args := range [][]string{
		{"kill", theirs}, {"kill", "--now", theirs}, {"kill", "-s", "CONT", theirs}, {"show", theirs}, {"ps", theirs},
		{"wait", "--timeout", "1s", theirs}, {"tag", theirs, "k=v"}, {"procs", theirs}, {"tree", theirs},
		{"create"}, {"create", "--hold"}, {"attach", pid, theirs}, {"attach", "1", mine}, {"detach", pid},
		{"detach", "--job", mine}, {"move", pid, theirs}, {"adopt", pid}, {"adopt", "--all-sessions"}, {"drain"}, {"resume"},
		{"release", mine}, {"run", "--user", "root", "--", "true"},
	} {
		uid, want := guestUID+i, 1
		if args[0] == "run" {
			want = 125
		}
		text, errs, code := h.jobctl(uid, args...)
		if code != want || text != "" || !strings.Contains(errs, "only") && !strings.Contains(errs, "not yours") {
			t.Errorf("%v: exit code %d, says %q and %q", args, code, text, errs)
		}
		if args[0] != "run" && !strings.Contains(h.settled(), "uid="+itoa(uid)) {
			t.Errorf("%v: nothing was logged", args)
		}
	}
}

// A user who asks for what is denied over and over does not fill the log.
func TestDeniedFlood(t *testing.T) {
	const many = 60
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	name := itoa(int(s.jid.Seq()))
	for range many {
		if _, _, code := h.jobctl(bobUID, "kill", "-s", "CONT", name); code != 1 {
			t.Fatalf("exit code %d", code)
		}
	}
	if n := strings.Count(h.settled(), "uid="+itoa(bobUID)); n == 0 || n > many/4 {
		t.Errorf("%d lines for %d denials", n, many)
	}
}

// A member that runs as root by its file's mode is not the user's to signal: it is listed as refused, and the rest goes.
func TestSetuidMember(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	b, err := os.ReadFile(built.lab)
	must(t, err)
	root := filepath.Join(w.dir, "rootlab")
	must(t, os.WriteFile(root, b, 0o755))
	must(t, os.Chmod(root, 0o755|os.ModeSetuid))
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", []string{"-x"}, "sh", "-c", root+" root & exec "+built.lab+" stay")
	pids := pidsIn(t, out, 2)
	text, errs, code := h.jobctl(aliceUID, "kill", "--now", "--json", itoa(int(l.jid.Seq())))
	var ans []control.KillAnswer
	if err := json.Unmarshal([]byte(text), &ans); err != nil || len(ans) != 1 {
		var one control.KillAnswer
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Fatalf("kill: %d, %v\n%s%s", code, err, text, errs)
		}
		ans = []control.KillAnswer{one}
	}
	left := h.members(l.jid)
	if code != 1 || len(ans[0].Refused) != 1 || len(left) != 1 || ans[0].Refused[0].PID != left[0] || ans[0].Ended != 1 {
		t.Errorf("kill: %d, %+v; left:%s of %v", code, ans, describe(left), pids)
	}
	if len(left) == 1 && !strings.HasSuffix(command(left[0]), "rootlab root") {
		t.Errorf("left is:%s", describe(left))
	}
}
