package kernel

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

func sure() bool { return true }

// lists waits until a process has so many children, of which the engine need not know.
func lists(t *testing.T, pid int32, n int) []int32 {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		if children := Proc.Children(pid); len(children) >= n {
			return children
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("process %d never has %d children", pid, n)
		}
	}
}

// TestIntegrationBPFStrangers: who is in no job is known from /proc; who is taken out of one is a stranger, with what it forks from then on,
// and can be put back.
func TestIntegrationBPFStrangers(t *testing.T) {
	c := newBPFHost(t).engine()
	h := newHelper(t, "testdata/forker.c")
	id := met(t, &c.engine, h.pid())
	fork := func() watch.ID {
		h.tell()
		pid := int32(h.next())
		until(t, c, ignore, func() bool { return true })
		return met(t, &c.engine, pid)
	}
	first := fork()
	if c.Label(first) != 0 || c.Counts().Processes != 0 || c.Out(first) {
		t.Errorf("a stranger's child is in %d, out %v; %d members", c.Label(first), c.Out(first), c.Counts().Processes)
	}
	c.attach7(t, id)
	inside := fork()
	if c.Label(inside) != 7 || c.Label(first) != 0 || !slices.Contains(c.Children(id), inside) || c.Counts().Processes != 2 {
		t.Errorf("a member's child is in %d, one from before in %d; below it are %v", c.Label(inside), c.Label(first), c.Children(id))
	}
	if err := c.Detach(id, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	out := fork()
	if c.Label(id) != 0 || !c.Out(id) || c.Label(out) != 0 || !c.Out(out) || c.Label(inside) != 7 || c.Claimed(out.PID) != 0 {
		t.Errorf("one that was taken out is in %d, its child in %d, the one from before in %d", c.Label(id), c.Label(out), c.Label(inside))
	}
	if again := met(t, &c.engine, id.PID); again != id {
		t.Errorf("it is %v, was %v", again, id)
	}
	c.attach7(t, id)
	if last := fork(); c.Label(last) != 7 || c.Label(out) != 0 || c.Out(id) {
		t.Errorf("put back, its child is in %d, the one from before in %d", c.Label(last), c.Label(out))
	}
	all := make(lives)
	_ = unix.Kill(-h.cmd.Process.Pid, unix.SIGKILL) // this test's own, which is waited for
	until(t, c, all.emit, func() bool { return c.Counts().Processes == 0 && len(c.waiting) == 0 })
	if len(all) != 3 || c.Alive(id) || c.Alive(first) || c.Alive(out) {
		t.Errorf("told was of %d; alive %v, %v, %v", len(all), c.Alive(id), c.Alive(first), c.Alive(out))
	}
	if err := c.Attach(id, 7, 0); err == nil {
		t.Error("who has gone is put into a job")
	}
}

// TestIntegrationBPFFoundlings: a child that the kernel could not label is found, with what it has forked.
func TestIntegrationBPFFoundlings(t *testing.T) {
	c := newBPFHost(t).engine()
	id, begin := shell(t, c, "(sleep 60 & wait) & wait")
	c.attach7(t, id)
	kept := c.labels.kept
	if _, err := kept.Set(id.PID, label.Label{}, sure); err != nil {
		t.Fatal(err)
	}
	begin()
	child := lists(t, id.PID, 1)[0]
	lists(t, child, 1)
	if _, err := kept.Set(id.PID, label.Label{In: 7}, sure); err != nil {
		t.Fatal(err)
	}
	if err := kept.Doubt(); err != nil {
		t.Fatal(err)
	}
	all := make(lives)
	until(t, c, all.emit, func() bool { return c.Counts().Processes == 3 && agrees(t, c)() })
	for who, l := range all {
		if l.births != 1 || !l.inferred || c.Label(who) != 7 || c.Label(l.parent) != 7 {
			t.Errorf("of %v, in %d: %+v", who, c.Label(who), *l)
		}
	}
	if missed, err := kept.Missed(); missed != 0 || err != nil || c.Counts().Unlabelled != 1 {
		t.Errorf("%d are missed, %d were: %v", missed, c.Counts().Unlabelled, err)
	}
}

// TestIntegrationBPFBehindItsBack: who has a label that the engine did not give is found by comparing, and can be taken in.
func TestIntegrationBPFBehindItsBack(t *testing.T) {
	c := newBPFHost(t).engine()
	id, _ := shell(t, c, "read x")
	if _, err := c.labels.kept.Set(id.PID, label.Label{In: 7}, sure); err != nil {
		t.Fatal(err)
	}
	s, err := c.Survey()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Suspects(s); !slices.Equal(got, []int32{id.PID}) || c.Claimed(id.PID) != 7 || c.Differs(id.PID) == "" {
		t.Errorf("suspects are %v, it is claimed by %d: %s", got, c.Claimed(id.PID), c.Differs(id.PID))
	}
	c.attach7(t, id)
	if !agrees(t, c)() || c.Label(id) != 7 || c.Differs(id.PID) != "" {
		t.Errorf("taken in, it is in %d: %s", c.Label(id), c.Differs(id.PID))
	}
}

// TestIntegrationBPFJobIsOver: what the last member of a job forked, before it was taken out and after all had been read, is in no job: that
// one is over.
func TestIntegrationBPFJobIsOver(t *testing.T) {
	c := newBPFHost(t).engine()
	h := newHelper(t, "testdata/forker.c")
	id := h.joins(c)
	h.tell()
	child := int32(h.next())
	if err := c.Detach(id, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	if err := c.Forget(7); err != nil {
		t.Fatal(err)
	}
	until(t, c, ignore, func() bool { return true })
	has, err := c.labels.kept.Get(child)
	if err != nil || has != (label.Label{}) || c.Counts().Processes != 0 || c.Unsettled() {
		t.Errorf("it has %+v, %v; %d members", has, err, c.Counts().Processes)
	}
}

// TestIntegrationBPFTakesOffNobodyElse: who has the pid of somebody that is to lose a label keeps theirs.
func TestIntegrationBPFTakesOffNobodyElse(t *testing.T) {
	c := newBPFHost(t).engine()
	id, _ := shell(t, c, "read x")
	c.attach7(t, id)
	start := c.lin.of(id.PID).start
	c.takeIn(map[known]listed{{id.PID, start - 2*nsPerTick}: {label: label.Label{In: 9}}})
	if says := c.Differs(id.PID); says != "" || c.Label(id) != 7 {
		t.Errorf("it is in %d: %s", c.Label(id), says)
	}
	c.takeIn(map[known]listed{{id.PID, start}: {label: label.Label{In: 9}}})
	if has, err := c.labels.kept.Get(id.PID); err != nil || has != (label.Label{}) {
		t.Errorf("who was meant has %+v, %v", has, err)
	}
}
