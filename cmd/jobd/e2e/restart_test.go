package e2e

import (
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
)

// survivor is a login whose point of entry is lab stay itself.
type survivor struct {
	jid  job.JID
	pids []int32
	out  string
}

func (h *host) newSurvivor(name string) *survivor {
	h.t.Helper()
	s := &survivor{out: h.world.labOut(name)}
	s.jid = h.world.loginEnv([]string{"LAB_OUT=" + s.out}, "svc", "alice", []string{"-x"}, built.lab, "stay").jid
	return s
}

// grow has the oldest process fork.
func (s *survivor) grow(t *testing.T) {
	t.Helper()
	s.pids = pidsIn(t, s.out, max(len(s.pids), 1))
	must(t, signal(s.pids[0], unix.SIGUSR1))
	s.pids = pidsIn(t, s.out, len(s.pids)+1)
}

func (s *survivor) check(h *host) {
	h.t.Helper()
	if got := h.members(s.jid); !slices.Equal(got, sorted(s.pids)) {
		h.t.Fatalf("the members of %s are:%s\nwant:%s", s.jid, describe(got), describe(s.pids))
	}
}

// restartStacks: the members are found again by their cgroup, and where there is none by their audit session or by their labels in
// the kernel.
var restartStacks = []struct {
	name, stack string
	args        []string
}{
	{"cgroup", plainStack, nil},
	{"audit session", auditStack, []string{"--cgroup", "off"}},
	{"label", plainStack, []string{"--cgroup", "off", keepsLabels}},
}

// A jobd that is killed right after a login was answered knows that job when it comes back: the same JID, the same
// members, and what they fork later.
func TestKilledAfterLogin(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.args...)
			h.newWorld(map[string]string{"svc": tt.stack})
			last := job.JID(0)
			for i := range 20 {
				s := h.newSurvivor("out" + itoa(i))
				if s.jid <= last {
					t.Fatalf("JID %s after %s", s.jid, last)
				}
				last = s.jid
				h.stop(unix.SIGKILL)
				s.grow(t) // while nobody looks
				h.start()
				s.check(h)
				s.grow(t)
				s.check(h)
				if in := h.onlyJob(); in.User != "alice" || in.State != job.Open || in.POE != s.pids[0] {
					t.Errorf("the job is %+v", in)
				}
				h.checkBooks()
				for _, pid := range s.pids {
					kill(t, pid)
				}
				if in := h.ended(s.jid); in.EndReason != job.EndExit || in.TotalProcesses != 3 {
					t.Errorf("the job ended %q with %d processes", in.EndReason, in.TotalProcesses)
				}
			}
		})
	}
}

// The same over an orderly end.
func TestRestart(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.args...)
			h.newWorld(map[string]string{"svc": tt.stack})
			a, b := h.newSurvivor("a"), h.newSurvivor("b")
			a.grow(t)
			b.grow(t)
			b.grow(t)
			if code := h.stop(unix.SIGTERM); code != 0 {
				t.Errorf("jobd ended with %d", code)
			}
			a.grow(t)
			h.start()
			a.grow(t)
			a.check(h)
			b.check(h)
			for _, pid := range append(a.pids, b.pids...) {
				kill(t, pid)
			}
			if in := h.ended(b.jid); in.EndReason != job.EndExit || in.TotalProcesses != 3 || in.CPU == nil {
				t.Errorf("the job is %+v", in)
			}
			h.ended(a.jid)
		})
	}
}

// A job whose last process left while jobd was down is closed as lost, unless the kernel tells how it ended; its JID stays its own.
func TestLostWhileDown(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	gone, left := h.newSurvivor("gone"), h.newSurvivor("left")
	gone.grow(t)
	left.grow(t)
	h.stop(unix.SIGKILL)
	for _, pid := range gone.pids {
		kill(t, pid)
	}
	h.start()
	left.check(h)
	why := job.Text(job.EndLost)
	if h.kept() {
		why = job.EndExit
	}
	if in := h.ended(gone.jid); in.EndReason != why || why == job.EndLost && !in.Estimated || in.Ended == nil {
		t.Errorf("the job is %+v", in)
	}
	if in := h.onlyJob(); in.JID != left.jid {
		t.Errorf("open is %s, want %s", in.JID, left.jid)
	}
	if again := h.newSurvivor("again"); again.jid == gone.jid || again.jid <= left.jid {
		t.Errorf("JID %s after %s and %s", again.jid, gone.jid, left.jid)
	}
}

// A jobd that is told to stop as a job ends, or is killed then, leaves no cgroup behind: not after the next start.
func TestStopLeavesNoCgroup(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	for i := range 20 {
		s := h.newSurvivor("out" + itoa(i))
		s.grow(t)
		must(t, signal(s.pids[0], unix.SIGKILL))
		must(t, signal(s.pids[1], unix.SIGKILL))
		h.ended(s.jid)
		h.stop([]unix.Signal{unix.SIGTERM, unix.SIGKILL}[i%2])
		h.start()
	}
	h.awaitCgroups()
	h.checkCgroups()
}

// What was put into a job is in it after a restart, without any witness, and what it had used before is not the job's.
func TestEntrantsAfterRestart(t *testing.T) {
	h := newHost(t, "--cgroup", "off")
	a, b := h.hold(), h.hold()
	busy := exec.Command(built.lab, "thread-burn", "300")
	must(t, busy.Start())
	defer func() { _ = busy.Wait() }()
	defer func() { _ = busy.Process.Kill() }()
	pid := int32(busy.Process.Pid)
	until(t, "the process has used CPU", func() bool { // its thread may be gone by then, and what that used is the process's still
		u, _, err := kernel.Proc.LiveUsage(pid)
		return err == nil && u.CPU >= 290e6
	})
	_, err := h.client.Attach(h.soon(), control.Request{Job: ref(a), PID: pid})
	must(t, err)
	for i, jid := range []job.JID{a, a, b} {
		if i == 2 {
			_, err := h.client.Move(h.soon(), control.Request{Job: ref(b), PID: pid})
			must(t, err)
		}
		h.stop(unix.SIGKILL)
		h.start()
		if got := h.jobOf(pid); got != jid {
			t.Fatalf("after restart %d the process is in job %v, not %v", i+1, got, jid)
		}
	}
	must(t, busy.Process.Kill())
	for _, jid := range []job.JID{a, b} {
		must(t, h.client.Release(h.soon(), ref(jid)))
		if in := h.ended(jid); in.CPU == nil || *in.CPU > 200e6 {
			t.Errorf("job %v is charged what the process had used before: %+v", jid, in)
		}
	}
}

// What a thread used in one job, and is gone, is not charged to the job that its process is moved to.
func TestMovedWithoutAThread(t *testing.T) {
	h := newHost(t, "--cgroup", "off")
	a, b := h.hold(), h.hold()
	busy := exec.Command("sh", "-c", "read go; exec "+built.lab+" thread-burn 300")
	in, err := busy.StdinPipe()
	must(t, err)
	must(t, busy.Start())
	defer func() { _ = busy.Process.Kill(); _ = busy.Wait() }()
	pid := int32(busy.Process.Pid)
	_, err = h.client.Attach(h.soon(), control.Request{Job: ref(a), PID: pid})
	must(t, err)
	_, err = in.Write([]byte("go\n"))
	must(t, err)
	until(t, "the thread has used CPU and is gone", func() bool {
		st, err := kernel.Proc.Stat(pid)
		return err == nil && st.Utime+st.Stime >= 25 && st.Threads == 1
	})
	until(t, "its figures are there", func() bool {
		in := h.show(a)
		return in.CPU != nil && *in.CPU >= 250e6
	})
	_, err = h.client.Move(h.soon(), control.Request{Job: ref(b), PID: pid})
	must(t, err)
	must(t, busy.Process.Kill())
	_ = busy.Wait()
	must(t, h.client.Release(h.soon(), ref(b)))
	if in := h.ended(b); in.CPU == nil || *in.CPU > 100e6 {
		t.Errorf("the job that it was moved to is charged %d ns: %+v", number(in.CPU), in)
	}
	must(t, h.client.Release(h.soon(), ref(a)))
}

func number(p *int64) int64 {
	if p == nil {
		return -1
	}
	return *p
}
