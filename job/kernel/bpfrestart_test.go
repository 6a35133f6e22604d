package kernel

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// TestIntegrationBPFLoss: events for which there is no room are counted, and the table is made what the kernel has.
func TestIntegrationBPFLoss(t *testing.T) {
	const gone = 200
	c := newSmallBPFHost(t, 16<<10).engine()
	loop := fmt.Sprintf("i=0; while [ $i -lt %d ]; do (:); i=$((i+1)); done; ", gone)
	id, begin := shell(t, c, loop+"sleep 60 & (sleep 60 & wait) & sleep 60 & read x")
	c.attach7(t, id)
	begin()
	// Nobody reads meanwhile. A record comes a grace period after its exit: it is waited for until some find no room, either.
	full := func() bool {
		by, err := c.events.Lost()
		if err != nil {
			t.Fatal(err)
		}
		return by[label.Free] > 0
	}
	for start := time.Now(); len(Proc.Children(id.PID)) < 3 || !full(); time.Sleep(time.Millisecond) {
		if !c.Alive(id) || time.Since(start) > 20*time.Second {
			t.Fatal("it has gone, or nothing is lost")
		}
	}
	lost, inferred, vanished := int64(0), 0, uint64(0)
	until(t, c, func(e *watch.Event) error {
		switch {
		case e.Kind == watch.Lost:
			lost += e.Value
		case e.Kind == watch.Clone && e.Inferred:
			inferred++
			if c.Label(e.Parent) != 7 {
				t.Errorf("%v inherits from %v, who is in no job", e.Proc, e.Parent)
			}
		case e.Kind == watch.Free && e.Inferred:
			vanished++
		}
		return nil
	}, func() bool { return lost > 0 && c.Loss() == nil && c.Counts().Processes == 5 && agrees(t, c)() })
	n := c.Counts()
	if n.Resyncs == 0 || int64(n.Lost) != lost || inferred == 0 {
		t.Errorf("counts are %+v, %d lost, %d inferred", n, lost, inferred)
	}
	// How many vanish is how many births found room of which the exits found none: that can be nobody. Records that are still to come are in
	// neither count.
	if n.RecordsLost == 0 || n.Records+n.RecordsLost > gone || n.RecordsMissed != vanished {
		t.Errorf("counts are %+v, %d vanished of %d", n, vanished, gone)
	}
}

// outlived is a storm in job 7 that goes on while no engine is there, and then stops forking. It gives what its children were charged.
func (h *bpfHost) outlived(c *BPF, end func(), enough func(kept *label.Events) bool) (storm *helper, charged int64) {
	h.t.Helper()
	storm = newHelper(h.t, "testdata/storm.c", "0", "300000")
	storm.joins(c)
	before, _ := Proc.Runtime(storm.pid())
	storm.tell()
	born := 0
	until(h.t, c, func(e *watch.Event) error {
		if e.Kind == watch.Clone {
			born++
		}
		return nil
	}, func() bool { return born > 50 })
	end()
	for begin := time.Now(); !enough(h.kept.Events()); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			h.t.Fatal("that is never told")
		}
	}
	storm.tell()
	return storm, storm.next() - before
}

// TestIntegrationBPFKilled: what goes on while there is no engine is told to the next one: who is there, who has gone, and what all used.
func TestIntegrationBPFKilled(t *testing.T) {
	h := newBPFHost(t)
	c, end := h.open()
	stays, begin := shell(t, c, "sleep 60 & read x")
	until(t, c, ignore, func() bool { // it has begun to wait
		st, err := Proc.Stat(stays.PID)
		return err == nil && st.Comm == "sh" && st.State == 'S'
	})
	before, _ := Proc.Runtime(stays.PID)
	c.attach7(t, stays)
	storm, charged := h.outlived(c, end, func(e *label.Events) bool { return e.Waiting() > 256<<10 })
	begin()
	for len(Proc.Children(stays.PID)) == 0 {
		time.Sleep(time.Millisecond)
	}
	h.again()
	c = h.engine()
	found, err := c.Recover(lone())
	if err != nil || len(found[7].Members) < 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	all := make(lives)
	until(t, c, all.emit, func() bool { return c.Counts().Processes == 3 && len(c.waiting) == 0 })
	if !agrees(t, c)() || c.Loss() != nil {
		t.Errorf("the table is not what the kernel has: %v", c.Loss())
	}
	for who, l := range all {
		if l.frees != l.uses || l.inferred {
			t.Errorf("of %v: %+v", who, *l)
		}
	}
	untold := float64(all.estimated(t)) / float64(len(all))
	charges, err := c.Charges()
	for _, pid := range append(Proc.Children(stays.PID), storm.pid(), stays.PID) {
		own, _ := Proc.Runtime(pid)
		charged += own
	}
	charged -= before
	want := float64(charged)
	// One that the engine before saw exit, and of whose end the kernel then ran no program, is in neither's records.
	if got := float64(charges[7]); err != nil || got > 1.005*want || got < (1-2e-2-untold)*want {
		t.Errorf("the job was charged %.0f ns, its processes %.0f: %v", got, want, err)
	}
	if n := c.Counts(); n.Lost+n.RecordsMissed != 0 {
		t.Errorf("counts are %+v", n)
	}
}

// TestIntegrationBPFKilledAndLost: where there was no room for all that went on while there was no engine, the table is made good.
func TestIntegrationBPFKilledAndLost(t *testing.T) {
	h := newSmallBPFHost(t, 16<<10)
	c, end := h.open()
	_, _ = h.outlived(c, end, func(e *label.Events) bool {
		lost, err := e.Lost()
		if err != nil {
			t.Fatal(err)
		}
		return lost[label.Clone] > 50 && lost[label.Exit] > 50
	})
	h.again()
	c = h.engine()
	if _, err := c.Recover(lone()); err != nil {
		t.Fatal(err)
	}
	until(t, c, ignore, func() bool { return c.Loss() == nil && c.Counts().Processes == 1 && agrees(t, c)() })
	if n := c.Counts(); n.Lost != 0 {
		t.Errorf("%d are said to have been lost since", n.Lost)
	}
}

// TestIntegrationBPFHeadless: a process whose first thread had exited before it was put into a job is no member any more when its other
// threads are gone, though that one is there until somebody waits for it: for the next engine neither.
func TestIntegrationBPFHeadless(t *testing.T) {
	h := newBPFHost(t)
	c, end := h.open()
	p := newHelper(t, "testdata/headless.c")
	id := met(t, &c.engine, int32(p.next()))
	c.attach7(t, id)
	p.tell()
	until(t, c, ignore, func() bool { return c.lin.of(id.PID) == nil })
	if !agrees(t, c)() {
		t.Error("the table is not what the kernel has")
	}
	end()
	h.again()
	found, err := h.engine().Recover(lone())
	if st, gone := Proc.Stat(id.PID); err != nil || gone != nil || st.State != 'Z' || len(found[7].Members) > 0 {
		t.Errorf("found %+v, %v; it is %c, %v", found, err, st.State, gone)
	}
}

// TestIntegrationBPFFirstStart: where no labels were kept, the members of open jobs are found as on any host, and labelled.
func TestIntegrationBPFFirstStart(t *testing.T) {
	h := newBPFHost(t)
	c := h.engine()
	id, begin := shell(t, c, "sleep 60 & read x")
	begin()
	for len(Proc.Children(id.PID)) == 0 {
		time.Sleep(time.Millisecond)
	}
	st, err := Proc.Stat(id.PID)
	if err != nil {
		t.Fatal(err)
	}
	open := lone()
	open[0].POE, open[0].Placement.POEStart = id.PID, st.Start
	found, err := c.Recover(open)
	if err != nil || len(found[7].Members) != 2 || found[7].POE.PID != id.PID {
		t.Fatalf("found %+v, %v", found, err)
	}
	for _, id := range found[7].Members {
		if says := c.Differs(id.PID); says != "" || c.Label(id) != 7 {
			t.Errorf("process %d is in %d: %s", id.PID, c.Label(id), says)
		}
	}
}

// TestIntegrationBPFGoesOn: the next engine goes on as the first would have: the same identities, every fork, every exit with what was used.
func TestIntegrationBPFGoesOn(t *testing.T) {
	h := newBPFHost(t)
	c, end := h.open()
	id, begin := shell(t, c, "(exit 3); (exit 4); sleep 60 & wait")
	c.attach7(t, id)
	end()
	h.again() // only labels that were kept already are gone on from
	c, end = h.open()
	if _, err := c.Recover(lone()); err != nil {
		t.Fatal(err)
	}
	id = met(t, &c.engine, id.PID)
	state, err := c.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	end()
	begin()
	h.again()
	c = h.engine(Inherit(c.Sockets(), state))
	if got := c.Label(id); got != 7 {
		t.Fatalf("it is in %d", got)
	}
	all := make(lives)
	until(t, c, all.emit, func() bool { return len(all) == 3 && all.ended() == 2 })
	var status []int64
	for who, l := range all {
		if who != id && (l.births != 1 || l.parent != id || l.inferred) {
			t.Errorf("of %v: %+v", who, *l)
		}
		if l.uses > 0 {
			status = append(status, l.status)
		}
	}
	if slices.Sort(status); !slices.Equal(status, []int64{3, 4}) {
		t.Errorf("they exited with %v", status)
	}
	if n := c.Counts(); n.Resyncs+n.Lost != 0 {
		t.Errorf("counts are %+v", n)
	}
	if _, err := OpenBPF(Proc, &Cgroups{}, c.Log, h.kept, Inherit(c.Sockets(), state)); !errors.Is(err, ErrHandover) {
		t.Errorf("what others have read since is gone on from: %v", err)
	}
	_ = unix.Kill(int(id.PID), unix.SIGKILL) // this test's own
}
