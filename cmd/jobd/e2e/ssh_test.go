package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

const plainStack = "session required %m"

// sshStacks are the ones that are met with: pam_job alone, behind pam_loginuid as it should stand, and before it.
var sshStacks = map[string]string{
	"alone":            plainStack,
	"behind loginuid":  "session optional pam_loginuid.so\nsession required %m",
	"before loginuid":  "session required %m\nsession optional pam_loginuid.so",
	"with other notes": "session required %m debug timeout=5000",
}

func TestSSHLogin(t *testing.T) {
	for name, stack := range sshStacks {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			s := h.newWorld(map[string]string{"sshd": stack}).newSSHD()
			sh := s.login("alice")
			in := h.onlyJob()
			checkLogin(t, h, s, sh, in)
			if strings.Contains(name, "loginuid") {
				until(t, "an audit session", func() bool { return h.show(in.JID).AuditSession != nil })
				if in = h.show(in.JID); in.LoginUID == nil || *in.LoginUID != aliceUID {
					t.Errorf("login_uid %v", in.LoginUID)
				}
			}
			started := startAll(h, sh)
			for what, pid := range started {
				if got := h.jobOf(pid); got != in.JID {
					t.Errorf("what %s left is in job %s, want %s", what, got, in.JID)
				}
			}
			for _, pid := range started {
				kill(t, pid)
			}
			sh.logout()
			checkEnd(t, h, in.JID)
		})
	}
}

// checkLogin compares a job with what the login was.
func checkLogin(t *testing.T, h *host, s *sshd, sh *shell, in job.Info) {
	t.Helper()
	if in.User != "alice" || in.UID != aliceUID || in.Service != "sshd" || in.RHost != "127.0.0.1" || in.State != job.Open || in.TTY != "ssh" {
		t.Errorf("the job is %+v", in)
	}
	conn := strings.Fields(sh.do("echo $SSH_CONNECTION"))
	if in.RPort == nil || len(conn) != 4 || conn[1] != itoa(*in.RPort) {
		t.Errorf("rport %v, want that of %q", in.RPort, conn)
	}
	out, err := exec.Command("ssh-keygen", "-lf", s.key+".pub").Output()
	must(t, err)
	if f := strings.Fields(string(out)); len(f) < 2 || string(in.AuthKey) != f[1] {
		t.Errorf("auth_key %q, want that of %q", in.AuthKey, out)
	}
	if got := sh.do("echo $JOB_JID"); got != in.JID.String() {
		t.Errorf("JOB_JID %q, want %s", got, in.JID)
	}
	if h.jobOf(sh.pid) != in.JID {
		t.Errorf("the shell %d is not in the job", sh.pid)
	}
	// The monitor is the point of entry; as alice it has a child between itself and the shell.
	want := []int32{sh.pid, in.POE}
	if p := parentOf(sh.pid); p != in.POE {
		want = append(want, p)
	}
	if got := h.members(in.JID); !slices.Equal(got, sorted(want)) {
		t.Errorf("the members are:%s\nwant:%s", describe(got), describe(want))
	}
	if !strings.HasPrefix(command(in.POE), "sshd: alice") {
		t.Errorf("the point of entry is %q", command(in.POE))
	}
}

// startAll starts processes in every way that a shell has, and gives the pids of those that stay.
func startAll(h *host, sh *shell) map[string]int32 {
	h.t.Helper()
	dir := filepath.Join(h.dir, "pids")
	must(h.t, os.MkdirAll(dir, 0o777))
	must(h.t, os.Chmod(dir, 0o777))
	ways := map[string]string{
		"fork":        "sleep 900 >/dev/null 2>&1 & echo $! >%f",
		"setsid":      "setsid sh -c 'echo $$ >%f; exec sleep 900' >/dev/null 2>&1 &",
		"double fork": "(setsid sh -c '(sleep 900 >/dev/null 2>&1 & echo $! >%f)' &)",
		"nohup":       "nohup sleep 900 >/dev/null 2>&1 & echo $! >%f",
	}
	out := make(map[string]int32)
	for what, script := range ways {
		file := filepath.Join(dir, strings.ReplaceAll(what, " ", ""))
		out[what] = sh.number(strings.ReplaceAll(script, "%f", file) + "\nwhile [ ! -s " + file + " ]; do sleep 0.01; done; cat " + file)
	}
	return out
}

// checkEnd waits for a job that has been logged out of and looks at the books.
func checkEnd(t *testing.T, h *host, jid job.JID) {
	t.Helper()
	in := h.ended(jid)
	if in.EndReason != job.EndExit || h.guessed(in) {
		t.Errorf("it ended %+v", in)
	}
	if in.CPU == nil || *in.CPU <= 0 || in.CPUSource != h.measures() || in.CPUUnattributed == nil || *in.CPUUnattributed < 0 {
		t.Errorf("cpu %v from %q, unattributed %v", in.CPU, in.CPUSource, in.CPUUnattributed)
	}
	list, err := h.client.History(h.soon(), control.Request{User: "alice"})
	if err != nil || len(list) != 1 || list[0].JID != jid || list[0].TotalProcesses != in.TotalProcesses {
		t.Errorf("history: %+v, %v", list, err)
	}
	records, err := h.client.Procs(h.soon(), control.Request{Job: ref(jid)})
	if err != nil || len(records) != in.TotalProcesses || in.TotalProcesses < 7 {
		t.Errorf("%d records of %d processes, %v", len(records), in.TotalProcesses, err)
	}
}

// A logout that leaves a daemon: the job lingers, with exactly that process, and can be killed.
func TestLogoutLeavesDaemon(t *testing.T) {
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack}).newSSHD()
	sh := s.login("alice")
	jid := h.onlyJob().JID
	pid := sh.number("setsid nohup sleep 900 >/dev/null 2>&1 </dev/null & echo $!")
	sh.logout()
	until(t, "one member", func() bool { return len(h.members(jid)) == 1 })
	left := h.members(jid)
	until(t, "sleep runs", func() bool { return command(left[0]) == "sleep 900" })
	if left[0] != pid && parentOf(left[0]) != pid {
		t.Errorf("left is:%s", describe(left))
	}
	if in := h.show(jid); in.State != job.Lingering || in.Processes != 1 {
		t.Errorf("state %s with %d processes", in.State, in.Processes)
	}
	ans, err := h.client.Kill(h.soon(), control.Request{Job: ref(jid)})
	if err != nil || ans.Ended != 1 || len(ans.Left) != 0 || len(ans.Refused) != 0 {
		t.Errorf("kill: %+v, %v", ans, err)
	}
	if in := h.ended(jid); in.EndReason != job.EndKilled {
		t.Errorf("end_reason %q", in.EndReason)
	}
	if alive(left[0]) {
		t.Error("the daemon is alive")
	}
}

// The client's end without a word is a logout too.
func TestClientDies(t *testing.T) {
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack}).newSSHD()
	sh := s.login("bob")
	jid := h.onlyJob().JID
	sh.hangUp()
	if in := h.ended(jid); in.EndReason != job.EndExit {
		t.Errorf("end_reason %q", in.EndReason)
	}
}

// One connection is one job, however many shells, sftp and scp run over it.
func TestOneConnectionOneJob(t *testing.T) {
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack}).newSSHD()
	master := filepath.Join(h.dir, "mux")
	first := s.login("alice", "-M", "-S", master)
	jid := h.onlyJob().JID
	second := s.login("alice", "-S", master)
	if got := h.onlyJob(); got.JID != jid {
		t.Fatalf("another job: %s", got.JID)
	}
	for _, sh := range []*shell{first, second} {
		if h.jobOf(sh.pid) != jid || sh.do("echo $JOB_JID") != jid.String() {
			t.Errorf("shell %d is not in the job", sh.pid)
		}
	}
	before := h.show(jid).TotalProcesses
	target := filepath.Join(s.w.dir, "home/alice/copied")
	scp := exec.Command("scp", append(s.options(), "-P", s.port, "-o", "ControlPath="+master, "/etc/hostname", "alice@127.0.0.1:"+target)...)
	out, err := scp.CombinedOutput()
	if _, serr := os.Stat(target); err != nil || serr != nil {
		t.Fatalf("scp: %v, %v\n%s", err, serr, out)
	}
	if in := h.onlyJob(); in.JID != jid || in.TotalProcesses <= before {
		t.Errorf("scp's server is not in the job: %d processes before, %d after", before, in.TotalProcesses)
	}
	second.logout()
	if h.show(jid).State != job.Open || h.jobOf(first.pid) != jid {
		t.Error("the job did not outlive the second shell")
	}
	first.logout()
	h.ended(jid)
}

// The process that opens a login is that login's, though it runs the program that lets others in: also after a restart of
// jobd, which finds it as it is.
func TestSSHLoginOverRestart(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		h := newHost(t)
		s := h.newWorld(map[string]string{"sshd": plainStack}).newSSHD()
		sh := s.login("alice")
		before := h.onlyJob()
		members := h.members(before.JID)
		h.stop(sig)
		h.start()
		if in := h.onlyJob(); in.State != job.Open || !slices.Equal(h.members(in.JID), members) {
			t.Errorf("after %v the job is %s with%s\nwant open with%s", sig, in.State, describe(h.members(in.JID)), describe(members))
		}
		sh.logout()
		if in := h.ended(before.JID); in.EndReason != job.EndExit {
			t.Errorf("the job ended by %s", in.EndReason)
		}
	}
}

// What a root login's sshd forks after a restart of jobd is that login's too, though for a moment it runs what an exempt daemon runs.
func TestChannelsOfARootLoginOverRestart(t *testing.T) {
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": plainStack}).newSSHD()
	master := filepath.Join(h.dir, "mux")
	first := s.login("root", "-M", "-S", master)
	jid := h.onlyJob().JID
	h.stop(unix.SIGKILL)
	h.start()
	for range 20 {
		sh := s.login("root", "-S", master)
		if in := h.jobOf(sh.pid); in != jid {
			t.Fatalf("a shell of the same connection is in job %s, not %s\n%s", in, jid, h.log)
		}
		sh.logout()
	}
	first.logout()
	h.ended(jid)
}
