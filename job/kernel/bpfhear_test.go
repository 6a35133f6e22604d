package kernel

import (
	"errors"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// whole counts those that were told of from their first moment to their end, whole.
func (l lives) whole() (n int) {
	for _, p := range l {
		if p.births == 1 && p.frees == 1 && !p.inferred {
			n++
		}
	}
	return n
}

// Of whom somebody wants to hear is told, and of what descends from them, though they are in no job, until nobody wants to any more.
func TestIntegrationHear(t *testing.T) {
	c := newBPFHost(t).engine()
	h := newHelper(t, "testdata/family.c")
	id := met(t, &c.engine, h.pid())
	if err := c.Hear(id, 3); err != nil {
		t.Fatal(err)
	}
	if c.Label(id) != 0 || c.Counts().Processes != 1 {
		t.Errorf("it is in job %d; %+v", c.Label(id), c.Counts())
	}
	h.tell()
	all := make(lives)
	until(t, c, all.emit, func() bool { return len(all) == 5 && all[id].frees == 1 && all.whole() == 4 })
	for who, l := range all {
		if l.uses != 0 || who != id && all[l.parent] == nil {
			t.Errorf("of %v: %+v", who, *l)
		}
	}
	if n := c.Counts(); n.Processes != 0 || n.RecordsMissed+n.Lost+n.RecordsStray != 0 || c.Unsettled() {
		t.Errorf("counts are %+v", n)
	}
	if err := c.Hear(id, 3); !errors.Is(err, ErrGone) {
		t.Errorf("to hear of who has gone: %v", err)
	}
	for _, slot := range []int{0, -1, SlotMost + 1} {
		if err := c.Hear(id, slot); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("slot %d: %v", slot, err)
		}
	}
}

// Who is heard of may come into a job, and leave it again; and nobody hears when the last has stopped to.
func TestIntegrationHearThroughJob(t *testing.T) {
	c := newBPFHost(t).engine()
	h := newHelper(t, "testdata/forker.c")
	id := met(t, &c.engine, h.pid())
	for _, slot := range []int{1, 2} {
		if err := c.Hear(id, slot); err != nil {
			t.Fatal(err)
		}
	}
	c.attach7(t, id)
	if err := c.Unhear(1); err != nil || c.Label(id) != 7 {
		t.Fatal(err, c.Label(id))
	}
	if err := c.Detach(id, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	if n := c.Counts(); n.Processes != 1 || c.Label(id) != 0 || !c.Out(id) {
		t.Errorf("out of the job: %+v, label %d, out %v", n, c.Label(id), c.Out(id))
	}
	if err := c.Unhear(2); err != nil || c.Counts().Processes != 0 || !c.Alive(id) {
		t.Error(err, c.Counts(), c.Alive(id))
	}
}

// All are heard of, and those that were there already are on the books; what members use is as exact as ever. Another engine hears of
// members only.
func TestIntegrationHearAll(t *testing.T) {
	const children = 300
	h := newBPFHost(t)
	c, end := h.open()
	in, out := newHelper(t, "testdata/storm.c", "300", "1000"), newHelper(t, "testdata/storm.c", "300", "1000")
	member := in.joins(c)
	if err := c.HearAll(true); err != nil {
		t.Fatal(err)
	}
	stranger, _ := c.Identify(out.pid())
	if p := c.lin.of(out.pid()); p == nil || p.stranger || p.label != 0 || c.Label(member) != 7 {
		t.Fatalf("%+v", p)
	}
	in.tell()
	out.tell()
	all := make(lives)
	childrenOf := func(id watch.ID) (n, uses int) {
		for _, l := range all {
			if l.parent == id && l.births == 1 && l.frees == 1 && !l.inferred {
				n, uses = n+1, uses+l.uses
			}
		}
		return n, uses
	}
	until(t, c, all.emit, func() bool {
		n, uses := childrenOf(member)
		m, none := childrenOf(stranger)
		return n == children && uses == children && m == children && none == 0
	})
	if err := c.HearAll(false); err != nil || c.Counts().Processes != 1 || c.Label(member) != 7 {
		t.Error(err, c.Counts())
	}
	if err := c.HearAll(true); err != nil {
		t.Fatal(err)
	}
	end()
	h.again()
	if listed, err := h.kept.List(); err != nil || len(listed) != 1 || listed[0].PID != in.pid() {
		t.Error(listed, err)
	}
}

// Who is in no job leaves room in the ring to those who are.
func TestIntegrationHearLeavesRoom(t *testing.T) {
	c := newSmallBPFHost(t, 64<<10).engine()
	out, in := newHelper(t, "testdata/storm.c", "2000", "1000"), newHelper(t, "testdata/storm.c", "20", "1000")
	id := met(t, &c.engine, out.pid())
	if err := c.Hear(id, 1); err != nil {
		t.Fatal(err)
	}
	member := in.joins(c)
	out.tell()
	out.next()
	in.tell()
	in.next()
	all := make(lives)
	members := func() (n int) {
		for _, l := range all {
			if l.parent == member && l.births == 1 && l.frees == 1 && !l.inferred {
				n += l.uses
			}
		}
		return n
	}
	until(t, c, all.emit, func() bool { return members() == 20 })
	if n := c.Counts(); n.Lost == 0 || n.Resyncs == 0 {
		t.Errorf("what had no room was not counted: %+v", n)
	}
}
