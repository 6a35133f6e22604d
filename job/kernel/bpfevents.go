package kernel

import (
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// take handles one event. Each says which process it is of by its start: what is told twice, because the table was read from the kernel
// meanwhile, counts once.
func (c *BPF) take(ev *label.Event, emit Emit) {
	c.upTo = ev.Time
	if ev.PID == c.self && ev.Job != 0 || !hears(c.heard, ev) {
		return // from before it lost its label, or from before nobody wanted to hear of it any more
	}
	c.counts.Events++
	switch {
	case ev.Kind == label.Clone && ev.TID == ev.PID:
		c.born(ev, emit)
	case ev.Kind == label.Clone:
		c.thread(ev, emit)
	case ev.Kind == label.Exec:
		if p := c.of(ev); p != nil {
			c.exec(ev.PID, ev.TID, ev.Time, ev.Path, emit)
		}
	case ev.Kind == label.UID:
		c.ids(watch.UID, ev, emit)
	case ev.Kind == label.GID:
		c.ids(watch.GID, ev, emit)
	case ev.Kind == label.Exit:
		c.exits(ev, emit)
	case ev.Kind == label.Free:
		c.freed(ev, emit)
	case ev.Kind == label.Refused:
		c.failed(ev, emit)
	}
}

// of gives the member that an event is of; nil: there is none any more, or it has left its job.
func (c *BPF) of(ev *label.Event) *proc {
	if p := c.lin.of(ev.PID); p != nil && !p.stranger && p.start == ev.Start {
		return p
	}
	return nil
}

// born: a new process, in the job of whoever made it.
func (c *BPF) born(ev *label.Event, emit Emit) {
	old := c.lin.of(ev.PID)
	if old.outlives(ev) {
		return
	}
	in := Label(ev.Job)
	if in != 0 && !c.bench.knows(in) { // it is over: whoever made it was its last member, and has left since
		c.takeOff(known{ev.PID, ev.Start})
		if in = 0; ev.Bits&c.heard == 0 {
			return
		}
	}
	if old != nil && !old.stranger {
		c.vanish(old, emit) // the end of who had the pid was lost
	}
	maker := c.lin.of(ev.Other)
	p := c.lin.bear(old, ev)
	p.label, p.bits = in, ev.Bits&c.heard
	switch {
	case maker.passesOn(in):
	case in == 0: // it has come into a job since: the child has not
		maker = nil
	default:
		maker = c.lin.creator(p, in) // it has left since: the child has not
	}
	if parent := c.lin.of(int32(ev.Real)); parent != nil {
		p.parent = parent.id
	}
	e := watch.Event{Kind: watch.Clone, Proc: p.id, TID: p.id.PID, Mono: ev.Time, Value: int64(ev.Value), Valid: true,
		Admitted: c.limits.inForce}
	switch {
	case maker != nil:
		e.Parent = maker.id
		if maker.suspect {
			c.lookExempt(p, ev.Time)
		}
	case in != 0:
		c.setAdrift(p)
	}
	c.scratch = e
	if err := emit(&c.scratch); err != nil {
		c.refuse(p, e.Parent, err, emit)
	}
}

// bear puts a new process on the books. One that somebody asked for before its birth was read stays who it is.
func (l *lineage) bear(old *proc, ev *label.Event) *proc {
	if old == nil || !old.stranger || !old.isExactly(uint64(ev.Start/nsPerTick)) {
		return l.add(ev.PID, ev.Start)
	}
	l.follow(old)
	old.start, old.scanned, old.tids = ev.Start, false, nil
	return old
}

// outlives reports whether the table is ahead of the birth of whoever has a pid: that one is known, was taken out of the job since, or is
// gone, and the pid another's.
func (p *proc) outlives(born *label.Event) bool {
	switch {
	case p == nil:
		return false
	case p.stranger:
		return p.isExactly(uint64(born.Start/nsPerTick)) && born.Time < p.since
	}
	return p.start >= born.Start
}

// passesOn reports whether what a process makes inherits a job from it, as far as those know who were told of it.
func (p *proc) passesOn(in Label) bool { return p != nil && !p.stranger && p.label == in && !p.adrift }

// setAdrift has SettleLate give a member that inherits from nobody. What it makes inherits from nobody either until it was put where it is.
func (c *BPF) setAdrift(p *proc) {
	p.adrift = true
	c.adrift = append(c.adrift, p.id)
}

// thread: a process has one more.
func (c *BPF) thread(ev *label.Event, emit Emit) {
	p := c.of(ev)
	if p == nil {
		return
	}
	p.joins(ev.TID)
	e := c.event(watch.Clone, p, ev.TID, ev.Time)
	e.Thread, e.Parent, e.Value, e.Valid = true, p.parent, int64(ev.Value), true
	c.emit(e, emit)
}

func (c *BPF) ids(kind watch.Kind, ev *label.Event, emit Emit) {
	p := c.of(ev)
	if p == nil {
		return
	}
	e := c.event(kind, p, ev.TID, ev.Time)
	e.Real, e.Value, e.Valid, e.Inferred = int64(ev.Real), int64(ev.Value), true, ev.Other != 0
	c.emit(e, emit)
}

// exits: a task exits; with the last one the process is gone. What it used the kernel says when nothing is charged to it any more.
func (c *BPF) exits(ev *label.Event, emit Emit) {
	p := c.of(ev)
	if p == nil {
		return
	}
	if p.label != 0 {
		c.note(p, ev)
		c.leaves(p, &ev.Left.Used)
	}
	e := c.event(watch.Exit, p, ev.TID, ev.Time)
	e.Value, e.Valid = int64(ev.Value), true
	c.emit(e, emit)
	if ev.Real == 0 {
		return
	}
	c.lin.remove(p)
	if p.label == 0 {
		e = c.event(watch.Free, p, p.id.PID, ev.Time)
		e.Value, e.Valid = int64(ev.Value), true
		c.emit(e, emit)
		c.lin.release(p)
		return
	}
	p.since = ev.Time
	c.waiting[known{ev.PID, ev.Start}] = p
	e = c.event(watch.Free, p, p.id.PID, ev.Time)
	e.Value, e.Valid, e.Later = int64(ev.Value), true, true
	c.emit(e, emit)
}

// freed: nothing is charged to a task any more.
func (c *BPF) freed(ev *label.Event, emit Emit) {
	c.counts.Records++
	p, gone := c.waiting[known{ev.PID, ev.Start}]
	if !gone {
		p = c.of(ev)
	}
	if p == nil {
		c.counts.RecordsStray++
		return
	}
	c.charge(p, &ev.Used)
	if p.leaving != nil { // else nobody told of its exit
		p.leaving.Less(&ev.Used)
	}
	if last := p.loses(ev.TID); gone && last {
		c.used(p, false, emit)
	}
}

// used closes a process's books.
func (c *BPF) used(p *proc, estimated bool, emit Emit) {
	delete(c.waiting, known{p.id.PID, p.start})
	e := c.event(watch.Used, p, p.id.PID, c.clock.mono)
	e.Usage, e.Inferred = p.usage, estimated
	c.emit(e, emit)
	if p.leaving != nil && len(c.spareUsed) < spareMost {
		c.spareUsed = append(c.spareUsed, p.leaving)
	}
	c.lin.release(p)
}

// vanish takes a member off the books of whose end nothing was told.
func (c *BPF) vanish(p *proc, emit Emit) {
	c.lin.remove(p)
	e := c.event(watch.Free, p, p.id.PID, c.clock.mono)
	e.Inferred = true
	if p.label != 0 {
		c.counts.RecordsMissed++
	}
	c.emit(e, emit)
	c.lin.release(p)
}
