package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// A second program that listens to the kernel, or stops listening, is no loss of events.
func TestOtherListeners(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	for range 5 {
		other := newHost(t)
		other.stop(unix.SIGTERM)
	}
	s := h.newSurvivor("out")
	s.grow(t) // an event on some CPU shows the gap
	s.grow(t)
	st, err := h.client.Status(h.soon())
	if err != nil || st.EventsLost != 0 || st.Resyncs != 0 {
		t.Errorf("%d events lost, %d resyncs, %v", st.EventsLost, st.Resyncs, err)
	}
}

// A jobd that is kept from reading until its buffers overflow says so, and is right again afterwards. What it did not see
// is marked.
func TestEventsLost(t *testing.T) {
	const noise = 250000            // the buffer holds about 100,000 events
	h := newHost(t, ofConnector...) // the other hears nothing of noise outside of jobs
	h.mayLose = true
	w := h.newWorld(map[string]string{"svc": plainStack})
	s, gone := h.newSurvivor("out"), h.newSurvivor("gone")
	s.grow(t)
	gone.pids = pidsIn(t, gone.out, 1)
	must(t, h.cmd.Process.Signal(unix.SIGSTOP))
	noisy := w.command(built.lab, "noise", strconv.Itoa(noise))
	must(t, noisy.Run())
	s.grow(t)
	kill(t, s.pids[1])
	kill(t, gone.pids[0])
	must(t, h.cmd.Process.Signal(unix.SIGCONT))
	h.awaitHealing()
	dead := s.pids[1]
	s.pids = slices.Delete(s.pids, 1, 2)
	s.check(h)
	in := h.ended(gone.jid)
	if !in.Estimated || in.EndReason == "killed" {
		t.Errorf("the job that ended unseen is %+v", in)
	}
	h.checkBooks()
	st := h.awaitWhole()
	records, err := h.client.Procs(h.soon(), control.Request{Job: ref(s.jid)})
	if err != nil || len(records) != 1 || records[0].PID != dead || !records[0].Estimated {
		t.Errorf("%d records, %v; want one, of %d, estimated", len(records), err, dead)
		for _, r := range records {
			t.Logf("record of %d: estimated %v, ended %v, status %v, flags %v", r.PID, r.Estimated, r.Ended, r.ExitStatus, r.Flags)
		}
	}
	s.pids = append(s.pids, dead) // grow counts what has been written down
	must(t, signal(s.pids[0], unix.SIGUSR1))
	all := pidsIn(t, s.out, 4)
	if h.jobOf(all[3]) != s.jid {
		t.Error("what is forked afterwards is not in the job")
	}
	t.Logf("%d events of noise, %d events lost, %d resyncs", noise, st.EventsLost, st.Resyncs)
}

// A storm of forks larger than the buffers, during which nobody reads: who stays of it is a member, whenever it was forked,
// and jobd says since when it is not whole until it is.
func TestStormUnread(t *testing.T) {
	forks, noise := 3_000, 50_000 // three times that is more than the buffer holds
	h := newHost(t)
	if h.kept() {
		forks, noise = 12_000, 1 // which is not told of noise
	}
	h.mayLose = true
	w := h.newWorld(map[string]string{"svc": plainStack})
	out, begin := w.labOut("out"), filepath.Join(w.dir, "go")
	must(t, unix.Mkfifo(begin, 0o666))
	must(t, os.Chmod(begin, 0o666))
	script := "read x <" + begin + "; for i in 1 2 3; do " + built.lab + " stay & " + built.lab + " noise " + itoa(noise) +
		"; " + built.lab + " storm " + itoa(forks) + "; done; " + built.lab + " stay & wait"
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, "sh", "-c", script)
	must(t, h.cmd.Process.Signal(unix.SIGSTOP))
	must(t, os.WriteFile(begin, []byte("go\n"), 0))
	pidsIn(t, out, 4)
	must(t, h.cmd.Process.Signal(unix.SIGCONT))
	st := h.awaitHealing()
	truth := slices.DeleteFunc(withToken("LAB_OUT="+out), func(pid int32) bool { return int(pid) == l.cmd.Process.Pid })
	if got := h.members(l.jid); len(truth) != 6 || !slices.Equal(got, sorted(truth)) {
		t.Errorf("the members are:%s\nwant:%s", describe(got), describe(truth))
	}
	h.awaitWhole()
	if in := h.show(l.jid); !in.Estimated {
		t.Error("the job is not marked")
	}
	h.checkBooks()
	t.Logf("%d events lost in a storm of %d forks, %d resyncs", st.EventsLost, 3*forks, st.Resyncs)
	h.endLogin(l)
	if m := h.moments(); !slices.ContainsFunc(m, func(m job.Moment) bool { return m.Kind == job.MomentGap && *m.Events == st.EventsLost }) {
		t.Errorf("no gap of %d events in %+v", st.EventsLost, m)
	}
}

// A job goes on by a process of which jobd heard nothing, neither its birth nor the end of all the others.
func TestLostBirth(t *testing.T) {
	h := newHost(t, ofConnector...)
	h.mayLose = true
	w := h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.pids = pidsIn(t, s.out, 1)
	must(t, h.cmd.Process.Signal(unix.SIGSTOP))
	must(t, w.command(built.lab, "noise", "250000").Run())
	s.grow(t)
	kill(t, s.pids[0])
	s.pids = s.pids[1:]
	must(t, h.cmd.Process.Signal(unix.SIGCONT))
	h.awaitHealing()
	s.check(h)
	if in := h.show(s.jid); in.State != job.Lingering || !in.Estimated {
		t.Errorf("the job is %+v", in)
	}
}

// awaitWhole waits until jobd is not degraded any more.
func (h *host) awaitWhole() (st control.StatusAnswer) {
	h.t.Helper()
	for _, word := range []string{`msg=degraded why="events were lost" since=`, `msg=healed why="events were lost" after=`} {
		until(h.t, word, func() bool { return strings.Contains(h.log.String(), word) })
	}
	until(h.t, "jobd is whole again", func() bool {
		var err error
		st, err = h.client.Status(h.soon())
		must(h.t, err)
		return st.DegradedSince == nil
	})
	return st
}

func (h *host) awaitHealing() (st control.StatusAnswer) {
	h.t.Helper()
	defer func() {
		if h.t.Failed() {
			h.t.Logf("%d events lost, %d resyncs, events %v", st.EventsLost, st.Resyncs, st.Events)
		}
	}()
	until(h.t, "a loss and its healing", func() bool {
		var err error
		st, err = h.client.Status(h.soon())
		must(h.t, err)
		return st.EventsLost > 0 && st.Resyncs > 0
	})
	return st
}
