package kernel

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/jobd-project/jobd/job/watch"
)

// take handles one datagram.
func (c *Connector) take(b []byte, emit Emit) {
	ev, err := decodeProcEvent(b)
	if err != nil {
		c.counts.Malformed++
		return
	}
	c.upTo = ev.time
	if c.gaps.see(&ev) > 0 { // acknowledgements count: everybody gets those of others
		c.lost = true
	}
	switch ev.what {
	case procEventFork:
		c.fork(&ev, emit)
	case procEventExec:
		c.lin.exec(ev.b, ev.time)
		c.exec(ev.b, ev.a, ev.time, nil, emit)
	case procEventUID:
		c.plain(watch.UID, &ev, emit)
	case procEventGID:
		c.plain(watch.GID, &ev, emit)
	case procEventExit:
		c.exit(&ev, emit)
	default:
		return
	}
	c.counts.Events++
}

// event gives the scratch event, cleared. Events are only valid during the dispatch, so that one is enough.
func (c *engine) event(kind watch.Kind, p *proc, tid int32, at int64) *watch.Event {
	c.scratch = watch.Event{Kind: kind, Proc: p.id, TID: tid, Mono: at}
	return &c.scratch
}

// plain: other ids.
func (c *Connector) plain(kind watch.Kind, ev *procEvent, emit Emit) {
	p := c.lin.of(ev.b)
	if p == nil {
		return
	}
	e := c.event(kind, p, ev.a, ev.time)
	e.Real, e.Value, e.Valid = int64(uint32(ev.c)), int64(uint32(ev.d)), true
	c.emit(e, emit)
}

func (c *engine) emit(e *watch.Event, emit Emit) {
	if err := emit(e); err != nil {
		c.Log.Warn("a watcher failed", "event", e.Kind.String(), "pid", e.Proc.PID, "error", err)
	}
}

// fork: a new process, or a new thread of one.
func (c *Connector) fork(ev *procEvent, emit Emit) {
	parentTGID, tid, tgid := ev.b, ev.c, ev.d
	found := c.foundSince(tgid, ev.time)
	if found == older {
		return
	}
	if tid != tgid {
		if p := c.lin.thread(tgid, tid, ev.time > c.scanned); p != nil {
			e := c.event(watch.Clone, p, tid, ev.time)
			e.Thread, e.Parent = true, p.parent
			c.emit(e, emit)
		}
		return
	}
	if found == itself {
		c.lin.of(tid).scanned = false // the scan was faster than the queue
		return
	}
	child, parent := c.lin.fork(parentTGID, tid, c.clock.bootTime(ev.time), ev.time)
	e := watch.Event{Kind: watch.Clone, Proc: child.id, TID: tid, Mono: ev.time}
	if parent != nil {
		e.Parent = parent.id
	}
	switch {
	case parent == nil && parentTGID != 0:
		e.Parent, e.Inferred = c.settleOrphan(child, ev.time)
	case c.lin.ambiguous(parent):
		e.Parent, e.Inferred = c.settle(child, parent, ev.time)
	case parent != nil && child.label != parent.label:
		e.Parent = c.bornBefore(child, parent)
	}
	if parent != nil && ev.time <= parent.wrote {
		c.write(child)
	}
	if parent != nil && parent.suspect {
		c.lookExempt(child, ev.time)
	}
	c.scratch = e
	if err := emit(&c.scratch); err != nil {
		c.refuse(child, e.Parent, err, emit)
	}
}

// Whom an event from before the last scan is about.
type since uint8

const (
	unknown since = iota // the scan says nothing of it, or the event is from after the scan
	itself               // the process that the scan found
	older                // somebody who had its pid before, and whose other events are in the queue too
)

// foundSince places an event that may have been in the queue when /proc was scanned. A start time from /proc is cut to a
// tick: an event of that very tick is taken for the process's own. Should it be its predecessor's exit, then its own fork
// follows in the queue and puts that right.
func (c *Connector) foundSince(tgid int32, at int64) since {
	p := c.lin.of(tgid)
	switch {
	case p == nil || !p.scanned || at > c.scanned:
		return unknown
	case c.clock.bootTime(at) < p.start:
		return older
	default:
		return itself
	}
}

// settleOrphan asks the witness about the child of a parent that the table does not know.
func (c *Connector) settleOrphan(child *proc, at int64) (watch.ID, bool) {
	heard, ok := c.hear(child.id.PID, bornAt(at, c.clock))
	if label := c.bench.verdict(heard, 0); ok && label != 0 {
		if creator := c.lin.creator(child, label); creator != nil {
			c.counts.Witnessed++
			child.label = label
			return creator.id, true
		}
	}
	if !ok {
		c.counts.Unwitnessed++
		child.undecided = true
	}
	return watch.ID{}, false
}

// bornBefore is for a fork that was stamped before its parent was given another label: whom the child inherits from is
// whoever still has the old one. From here on the parent has a child of another label, so its forks are ambiguous.
func (c *Connector) bornBefore(child, parent *proc) watch.ID {
	c.lin.bound(cmp.Or(child.label, parent.label), []watch.ID{parent.id})
	if err := c.sentinel.watch(c.lin.markedPIDs()); err != nil {
		c.Log.Error("cannot widen the watch for ambiguous forks", "error", err)
	}
	if child.label == 0 {
		return watch.ID{}
	}
	if holder := c.lin.creator(child, child.label); holder != nil {
		return holder.id
	}
	child.label = 0 // its job has ended meanwhile
	return watch.ID{}
}

// settle asks the witness whose an ambiguous child is. It gives whom the child inherits from, and whether that is
// another than the event named.
func (c *Connector) settle(child, parent *proc, at int64) (watch.ID, bool) {
	heard, ok := c.sentinel.take(child.id.PID, at)
	if !ok {
		heard, ok = c.hear(child.id.PID, bornAt(at, c.clock))
	}
	switch says, told := c.bench.read(heard.label); {
	case !ok:
		c.unsettled.put(child.id)
	case told && says == 0:
		child.takenOut(Label(heard.label.Out), parent)
		return watch.ID{}, false
	case !told && c.labels != nil:
		if _, err := c.checkLabels(); err != nil { // before it is believed that there is none
			c.distrust()
		}
	}
	if child.out { // what was detached still carries every mark but jobd's own cgroup
		heard.audit = nil
		if !c.Cgroups.Mine(heard.cgroup) {
			heard.cgroup = ""
		}
	}
	label := c.bench.verdict(heard, child.label)
	sure := heard.label.In == 0 && c.bench.reliable(c.lin.marks[parent.id]) && c.bench.reliable(map[Label]int{child.label: 1})
	if c.Log.Enabled(context.Background(), slog.LevelDebug) {
		c.Log.Debug("ambiguous fork", "pid", child.id.PID, "named", parent.id.PID, "inherits", child.label, "asked", ok,
			"cgroup", heard.cgroup, "verdict", label, "sure", sure)
	}
	if label == 0 {
		if creator, done := c.impostor(child, parent, ok, bornAt(at, c.clock)); done {
			return creator, creator != watch.ID{}
		}
	}
	switch {
	case ok && (label == child.label && (label != 0 || sure) || child.overruled(label)):
		return parent.id, false
	case ok && label != 0:
		if creator := c.lin.creator(child, label); creator != nil {
			c.counts.Witnessed++
			child.label, child.out = label, false
			return creator.id, true
		}
	case ok && sure:
		child.label = 0 // every job here has a witness, and none of them was heard
		return watch.ID{}, false
	}
	c.counts.Unwitnessed++
	if child.label != 0 && ok {
		return parent.id, false // nobody can say more than the event did
	}
	child.label, child.undecided = 0, true
	return watch.ID{}, false
}

// exit: one task has exited; with the last one the process is gone.
func (c *Connector) exit(ev *procEvent, emit Emit) {
	tid, tgid, status := ev.a, ev.b, int64(uint32(ev.c))
	if c.foundSince(tgid, ev.time) == older {
		c.record(tid, false)
		return
	}
	p := c.lin.owner(tgid, tid)
	if p == nil && c.replays && tid == tgid {
		c.exitUnseen(ev, emit)
		return
	}
	c.account(p, tid, p != nil && (p.label != 0 || p.undecided))
	if p == nil {
		return
	}
	gone := c.lin.exit(p, tid, ev.time)
	e := c.event(watch.Exit, p, tid, ev.time)
	e.Value, e.Valid = status, true
	c.emit(e, emit)
	if gone && ev.time <= c.scanned && c.lives(p) {
		p.tids = nil // a first thread's that an exec took the place of: the scan found what came out of it
		return
	}
	if gone { // with what its last thread said (synchronize_group_exit: Linux 6.0)
		c.free(p, ev.time, status, true, false, emit)
	}
}

// exitUnseen: a process has exited that was forked before the queue begins, and was gone when /proc was looked at. Its record
// names its parent: where that is a member, and does not stand where labels meet, so was this.
func (c *Connector) exitUnseen(ev *procEvent, emit Emit) {
	if !c.record(ev.a, true) {
		return
	}
	parent := c.lin.of(c.exited.PPID)
	if parent == nil || parent.label == 0 || c.lin.ambiguous(parent) {
		return
	}
	p := c.lin.add(ev.b, c.clock.bootTime(ev.time)-c.exited.Elapsed)
	p.label, p.parent, p.usage = parent.label, parent.id, c.lin.takeUsage()
	*p.usage = c.exited
	e := watch.Event{Kind: watch.Clone, Proc: p.id, TID: ev.a, Mono: ev.time, Parent: parent.id, Inferred: true, Admitted: true}
	c.emit(&e, emit)
	c.free(p, ev.time, int64(uint32(ev.c)), true, true, emit)
}

// free: a process is gone. Its usage is handed over for good.
func (c *engine) free(p *proc, at, status int64, valid, inferred bool, emit Emit) {
	c.lin.remove(p)
	c.leaveBehind(p)
	e := c.event(watch.Free, p, p.id.PID, at)
	e.Value, e.Valid, e.Inferred = status, valid, inferred
	switch {
	case !p.missed:
		e.Usage = p.usage
	case p.label != 0:
		c.counts.RecordsMissed++
	}
	c.emit(e, emit)
	c.lin.release(p)
}
