package e2e

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// Several wait for one job and all hear of its end; one who can't wait gives up; for what has ended nobody waits.
func TestWait(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.pids = pidsIn(t, s.out, 1)
	start := time.Now()
	if _, err := h.client.Wait(h.soon(), control.Request{Job: ref(s.jid), Timeout: 200 * time.Millisecond}); control.ExitCode(err) != 1 || time.Since(start) < 200*time.Millisecond {
		t.Errorf("wait gives %v after %v", err, time.Since(start))
	}
	var all sync.WaitGroup
	var asked sync.WaitGroup
	for range 5 {
		asked.Add(1)
		all.Go(func() {
			asked.Done()
			if in, err := h.client.Wait(h.soon(), control.Request{Job: ref(s.jid)}); err != nil || in.JID != s.jid || in.State != job.Ended || in.Ended == nil {
				t.Errorf("wait: %+v, %v", in, err)
			}
		})
	}
	asked.Wait()
	kill(t, s.pids[0])
	all.Wait()
	if in, err := h.client.Wait(h.soon(), control.Request{Job: ref(s.jid)}); err != nil || in.EndReason != job.EndExit {
		t.Errorf("wait for what has ended: %+v, %v", in, err)
	}
	for _, name := range []control.JobRef{"4000000000", "0x1"} {
		if _, err := h.client.Wait(h.soon(), control.Request{Job: name, Timeout: time.Second}); control.ExitCode(err) != 3 {
			t.Errorf("wait for %s: %v", name, err)
		}
	}
}

// A process goes into a held job, on to another and out again, and its children with it.
func TestAttachMoveDetach(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"none": "session required pam_permit.so"})
	s := &survivor{out: w.labOut("out")}
	w.loginEnv([]string{"LAB_OUT=" + s.out}, "none", "alice", []string{"-x"}, built.lab, "stay")
	s.grow(t)
	old := slices.Clone(s.pids)
	a, b := h.hold(), h.hold()
	change := func(do func() (control.ChangeAnswer, error)) {
		t.Helper()
		if ans, err := do(); err != nil || !slices.Equal(sorted(ans.Processes), sorted(s.pids)) {
			t.Fatalf("changed %+v, %v; want:%s", ans, err, describe(s.pids))
		}
	}
	change(func() (control.ChangeAnswer, error) {
		return h.client.Attach(h.soon(), control.Request{Job: ref(a), PID: s.pids[0], Tree: true})
	})
	s.grow(t)
	s.jid = a
	s.check(h)
	if _, err := h.client.Attach(h.soon(), control.Request{Job: ref(b), PID: s.pids[0]}); control.ExitCode(err) != 1 {
		t.Errorf("attach of what is in another job: %v", err)
	}
	change(func() (control.ChangeAnswer, error) {
		return h.client.Move(h.soon(), control.Request{Job: ref(b), PID: s.pids[0], Tree: true})
	})
	s.grow(t)
	s.jid = b
	s.check(h)
	change(func() (control.ChangeAnswer, error) {
		return h.client.Detach(h.soon(), control.Request{PID: s.pids[0], Tree: true})
	})
	s.grow(t)
	for _, pid := range append(s.pids, old...) {
		if jid := h.jobOf(pid); jid != 0 {
			t.Errorf("process %d is in job %s", pid, jid)
		}
	}
	for _, jid := range []job.JID{a, b} {
		if in := h.show(jid); in.State == job.Ended || !in.Held {
			t.Errorf("a held job ended: %+v", in)
		}
		must(t, h.client.Release(h.soon(), ref(jid)))
		if in := h.ended(jid); in.EndReason != job.EndReleased {
			t.Errorf("end_reason %q", in.EndReason)
		}
	}
}

func (h *host) hold() job.JID {
	h.t.Helper()
	in, err := h.client.Create(h.soon(), control.Request{Hold: true, User: "alice"})
	if err != nil || !in.Held || in.Processes != 0 {
		h.t.Fatalf("create: %+v, %v", in, err)
	}
	return in.JID
}

// What was taken out stays out over a restart, whatever its witnesses say.
func TestDetachedStaysOut(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.args...)
			h.newWorld(map[string]string{"svc": tt.stack})
			s := h.newSurvivor("out")
			s.grow(t)
			out := s.pids[1]
			if _, err := h.client.Detach(h.soon(), control.Request{PID: out}); err != nil {
				t.Fatal(err)
			}
			must(t, signal(out, 10))
			all := pidsIn(t, s.out, 3)
			check := func() {
				t.Helper()
				for _, pid := range []int32{out, all[2]} {
					if jid := h.jobOf(pid); jid != 0 {
						t.Errorf("process %d is in job %s again", pid, jid)
					}
				}
				if h.jobOf(s.pids[0]) != s.jid {
					t.Error("the other is not in the job")
				}
			}
			check()
			h.stop(9)
			h.start()
			check()
		})
	}
}

// While drained no login gets a job, and the open ones go on.
func TestDrainAndTag(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": openStack})
	s := h.newSurvivor("out")
	s.pids = pidsIn(t, s.out, 1)
	must(t, h.client.Drain(h.soon()))
	if l := w.login("svc", "bob", nil, "true"); l.rc != 0 || l.jid != 0 {
		t.Errorf("drained: result %d, job %s", l.rc, l.jid)
	}
	s.grow(t)
	s.check(h)
	must(t, h.client.Resume(h.soon()))
	l := w.login("svc", "bob", nil, "true")
	if l.jid == 0 {
		t.Error("resumed: no job")
	}
	in, err := h.client.Tag(h.soon(), ref(s.jid), map[string]string{"project": "x", "to go": "y"})
	if err != nil || in.Tags["project"] != "x" {
		t.Errorf("tag: %+v, %v", in, err)
	}
	if in, err = h.client.Tag(h.soon(), ref(s.jid), map[string]string{"to go": ""}); err != nil || len(in.Tags) != 1 {
		t.Errorf("tag: %+v, %v", in, err)
	}
	for _, pid := range s.pids {
		kill(t, pid)
	}
	if in = h.ended(s.jid); in.Tags["project"] != "x" || len(in.Tags) != 1 {
		t.Errorf("tags at the end: %v", in.Tags)
	}
}

// A process whose first thread has exited is moved with those that it has left, and its witness is where they are.
func TestAttachWithoutAFirstThread(t *testing.T) {
	h := newHost(t)
	s := h.newStage()
	key := s.key()
	pid, err := s.first.number("fork", key, "-")
	must(t, err)
	leader, err := s.await(key)
	must(t, err)
	key = s.key()
	_, err = leader.tell("thread", key)
	must(t, err)
	other, err := s.await(key)
	must(t, err)
	defer other.close() // until then it lives: it ends with its connection, which nobody else holds
	must(t, leader.order("leave", 0))
	until(t, "the end of the first thread", func() bool { return threadGone(pid, pid) })
	jid := h.hold()
	for range 2 {
		_, err = h.client.Attach(h.soon(), control.Request{Job: ref(jid), PID: pid})
		must(t, err)
		h.checkBooks()
		h.stop(9)
		h.start()
		if got := h.jobOf(pid); got != jid {
			t.Errorf("after a restart it is in %v, want %v", got, jid)
		}
		h.checkBooks()
		_, err = h.client.Detach(h.soon(), control.Request{PID: pid})
		must(t, err)
	}
	if got := h.jobOf(pid); got != 0 {
		t.Errorf("taken out it is in %v", got)
	}
	must(t, h.client.Release(h.soon(), ref(jid)))
}
