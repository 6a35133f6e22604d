package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// What a server starts that already ran belongs to the login that started the server: a window of tmux that is opened from a
// second login is in the first one's job, and is linked to the second by its user alone.
func TestServerOfAnotherLogin(t *testing.T) {
	tmux := needProgram(t, "tmux")
	h := newHost(t)
	w := h.newWorld(map[string]string{"sshd": plainStack + patient})
	w.run("mount -t devpts -o ptmxmode=666 world /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx") // terminals of its own
	s := w.newSSHD()
	first := s.login("alice")
	one := h.jobOf(first.pid)
	socket := filepath.Join(w.dir, "home/alice/tmux")
	out := w.labOut("out")
	tell := func(what string) string {
		return "LC_ALL=C.UTF-8 " + tmux + " -S " + socket + " " + what + " </dev/null 2>&1"
	}
	stays := " -d -e LAB_OUT=" + out + " " + built.lab + " stay"
	if text := first.do(tell("-f /dev/null new-session"+stays) + "; echo"); text != "" {
		t.Fatalf("tmux: %s", text)
	}
	server := first.number(tell("display-message -p '#{pid}'"))
	window := pidsIn(t, out, 1)[0]
	second := s.login("alice")
	two := h.jobOf(second.pid)
	second.do(tell("new-window"+stays) + "; echo")
	pids := pidsIn(t, out, 2)
	if one == 0 || two == 0 || one == two {
		t.Fatalf("the logins are %s and %s", one, two)
	}
	for _, pid := range append(pids, server, window) {
		if h.jobOf(pid) != one {
			t.Errorf("%s is in %s, want %s:%s", command(pid), h.jobOf(pid), one, describe([]int32{pid}))
		}
	}
	if a, b := h.show(one), h.show(two); a.UID != b.UID {
		t.Errorf("uids %d and %d", a.UID, b.UID)
	}
	second.logout()
	h.ended(two)
	first.logout()
	until(t, "the first login's job lingers", func() bool { return h.show(one).State == job.Lingering })
	kill(t, server)
	for _, pid := range pids {
		kill(t, pid)
	}
	h.ended(one)
}

// What at runs is a job of its own, whoever's login it was handed over in. atd carries it out as soon as it is there.
func TestAt(t *testing.T) {
	atd := needProgram(t, "atd")
	h := newHost(t)
	w := h.newWorld(map[string]string{"sshd": plainStack + patient, "atd": plainStack + patient})
	w.ownAtSpool()
	out := w.labOut("out")
	sh := w.newSSHD().login("alice")
	login := h.jobOf(sh.pid)
	sh.do(fmt.Sprintf("echo 'LAB_OUT=%s exec %s stay' | %s now >/dev/null 2>&1; echo", out, built.lab, needProgram(t, "at")))
	sh.logout()
	h.ended(login)
	daemon := w.command(atd, "-f", "-b", "1")
	daemon.Stderr = h.log
	must(t, daemon.Start())
	defer func() { _ = daemon.Process.Kill(); _ = daemon.Wait() }()
	pid := pidsIn(t, out, 1)[0]
	in := h.onlyJob()
	if in.JID == login || in.Service != "atd" || in.UID != aliceUID || h.jobOf(pid) != in.JID || h.jobOf(int32(daemon.Process.Pid)) != 0 {
		t.Errorf("the job is %+v", in)
	}
	kill(t, pid)
	h.ended(in.JID)
}

// ownAtSpool gives the world a spool of at's own.
func (w *world) ownAtSpool() {
	w.h.t.Helper()
	const spool = "/var/spool/cron"
	if _, err := os.Stat(spool + "/atjobs"); err != nil {
		lacking(w.h.t, spool+"/atjobs")
	}
	w.run(fmt.Sprintf("cp -a %[1]s %[2]s/spool && rm -f %[2]s/spool/atjobs/[a-z=]* && mount --bind %[2]s/spool %[1]s", spool, w.dir))
}
