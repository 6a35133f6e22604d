package kernel

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// listed is a process as the kernel lists those that have a label.
type listed struct {
	label  label.Label
	bits   uint32
	tids   []int32
	alive  bool // there is a task of whose exit nothing was told
	parent int32
	gone   label.Used // by its threads that are gone
}

func processes(tasks []label.Listed) map[known]listed {
	out := make(map[known]listed)
	for _, t := range tasks {
		k := known{t.PID, t.Start}
		one := out[k]
		one.tids = append(one.tids, t.TID)
		one.alive = one.alive || !t.Exiting
		if t.TID == t.PID || one.label == (label.Label{}) {
			one.label, one.bits, one.parent, one.gone = t.Label, t.Bits, t.Parent, t.Gone
		}
		out[k] = one
	}
	return out
}

// Recover takes up the members of jobs that were open before jobd was started, as the kernel has them, each as it was at the first event
// that waits to be read. Where there is a doubt about the labels they are found as the other engine finds them, and labelled.
func (c *BPF) Recover(open []job.Saved) (map[job.JID]Found, error) {
	c.clock = readClocks()
	for _, s := range open {
		c.Testify(Label(s.JID), s.Placement, s.AuditSession)
	}
	missed, err := c.labels.kept.Missed()
	if err != nil {
		return nil, err
	}
	doubtful := !c.labels.kept.Found() || missed > 0 || !c.events.Found()
	if doubtful {
		if err := c.settleAll(open); err != nil {
			return nil, err
		}
		if err := c.forgetQueue(); err != nil {
			return nil, err
		}
	}
	tasks, err := c.labels.kept.List()
	if err != nil {
		return nil, err
	}
	waits := queued{}
	if !doubtful {
		if waits, err = c.queue(); err != nil {
			return nil, err
		}
	}
	found := make(map[job.JID]Found)
	for _, p := range c.takeIn(waits.before(processes(tasks))) {
		f := found[job.JID(p.label)]
		f.Members = append(f.Members, p.id)
		found[job.JID(p.label)] = f
	}
	for _, s := range open {
		if p := c.lin.of(s.POE); p != nil && p.label == Label(s.JID) && sameStart(p.start, s.Placement.POEStart) {
			f := found[s.JID]
			f.POE = p.id
			found[s.JID] = f
		}
	}
	c.runs = c.findExempt()
	c.unsure = c.lostBy != lostEvents{}
	return found, nil
}

// settleAll has the other engine find the members of jobs and label them.
func (c *BPF) settleAll(open []job.Saved) error {
	if len(open) == 0 {
		return nil
	}
	other, err := OpenConnector(c.FS, c.Cgroups, c.Log, KeepLabels(c.labels.kept), KeepExecs(ExecOff))
	if err != nil {
		return err
	}
	defer other.Close()
	if _, err := other.Recover(open); err != nil {
		return err
	}
	ignore := func(*watch.Event) error { return nil }
	for end := time.Now().Add(settleMost); other.labels.wrong; time.Sleep(time.Millisecond) {
		if err := other.Drain(ignore); err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("cannot label the members of open jobs: too much goes on")
		}
	}
	return nil
}

// settleMost is how long a first start may take to label all members.
const settleMost = 20 * time.Second

// takeIn puts processes on the books, the oldest first. Those of jobs that nobody knows any more lose their label.
func (c *BPF) takeIn(there map[known]listed) (members []*proc) {
	order := slices.SortedFunc(maps.Keys(there), func(a, b known) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid)) })
	for _, k := range order {
		one := there[k]
		in := Label(one.label.In)
		if in != 0 && !c.bench.knows(in) {
			c.takeOff(k)
			in = 0
		}
		if in == 0 && one.bits == 0 || in != 0 && k.pid == c.self {
			continue
		}
		p := c.lin.add(k.pid, k.start)
		p.label, p.bits, p.scanned = in, one.bits, true
		p.consistsOf(one.tids)
		if parent := c.lin.of(one.parent); parent != nil {
			p.parent = parent.id
		}
		if in != 0 && one.gone != (label.Used{}) {
			c.charge(p, &one.gone)
			p.usage.Threads-- // nobody knows of how many
		}
		members = append(members, p)
	}
	return members
}

// takeOff takes the label of a job that is over off a process.
func (c *BPF) takeOff(k known) {
	if _, err := c.set(&proc{id: watch.ID{PID: k.pid}, start: k.start}, label.Label{}); err != nil && !errors.Is(err, ErrGone) {
		c.Log.Error("cannot take the label of a job that is over off a process", "error", err)
	}
}

// knows reports whether a label is of an open job.
func (b *bench) knows(l Label) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, open := b.places[l]
	return open
}

// compare makes the table true again after a loss: it takes over what the kernel has. What is gone from there is freed, what is new there
// inherits from whoever is in its job.
func (c *BPF) compare(emit Emit) {
	c.limits.doubted = true
	if c.lost {
		c.lost, c.unsure = false, true
		c.counts.Resyncs++
		e := watch.Event{Kind: watch.Lost, Mono: c.clock.mono, Value: int64(c.counts.Lost - c.reported), Valid: true, Inferred: true}
		c.reported = c.counts.Lost
		c.emit(&e, emit)
	}
	tasks, err := c.labels.kept.List()
	var waits queued
	if err == nil {
		waits, err = c.queue()
	}
	if err != nil { // try again with the next burst
		c.Log.Error("cannot make good a loss of events", "error", err)
		return
	}
	c.unsure = false
	c.correct(waits.before(processes(tasks)), emit)
	c.findExempt()
}

// correct makes the table what there was at the first event that is still to be read.
func (c *BPF) correct(there map[known]listed, emit Emit) {
	var gone []*proc
	for p := range c.lin.all() {
		if p.stranger {
			continue
		}
		k := known{p.id.PID, p.start}
		if one, is := there[k]; is {
			p.consistsOf(one.tids)
			delete(there, k)
		} else {
			gone = append(gone, p)
		}
	}
	fresh := c.takeIn(there)
	for _, p := range fresh {
		p.adrift = p.label != 0 // until it has been told of
	}
	for _, p := range fresh {
		c.welcome(p, emit)
	}
	for _, p := range gone { // last: a job whose other members have gone is not over
		c.vanish(p, emit)
	}
}

// welcome tells of a member that nobody told of.
func (c *BPF) welcome(p *proc, emit Emit) {
	maker := c.lin.of(p.parent.PID)
	if !maker.passesOn(p.label) || maker.id != p.parent {
		if maker = nil; p.label != 0 {
			maker = c.lin.creator(p, p.label)
		}
	}
	if maker == nil && p.label != 0 {
		c.setAdrift(p)
		return
	}
	p.adrift = false
	e := watch.Event{Kind: watch.Clone, Proc: p.id, TID: p.id.PID, Mono: c.clock.mono, Inferred: true, Admitted: true}
	if maker != nil {
		e.Parent = maker.id
	}
	if err := emit(&e); err != nil {
		c.refuse(p, e.Parent, err, emit)
	}
}
