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
	tasks  int32
	alive  bool // one of its tasks has not begun to exit
	parent int32
	gone   label.Used // by its threads that are gone
}

func processes(tasks []label.Listed) map[known]listed {
	out := make(map[known]listed)
	for _, t := range tasks {
		k := known{t.PID, t.Start}
		one := out[k]
		one.tasks++
		one.alive = one.alive || !t.Exiting
		if t.TID == t.PID || one.label == (label.Label{}) {
			one.label, one.parent, one.gone = t.Label, t.Parent, t.Gone
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
	waits := c.queue
	if !c.labels.kept.Found() || missed > 0 || !c.events.Found() {
		if err := c.settleAll(open); err != nil {
			return nil, err
		}
		c.forgetQueue()
		waits = func() queued { return queued{} }
	}
	tasks, err := c.labels.kept.List()
	if err != nil {
		return nil, err
	}
	found := make(map[job.JID]Found)
	for _, p := range c.takeIn(waits().before(processes(tasks))) {
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
	c.findExempt()
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

// queued is what waits to be read, as far as it says who was there before.
type queued struct {
	born map[known]bool
	died map[known]Label
	used map[known]*label.Used // by tasks that are gone
}

// queue looks what waits. Whoever was there at its first event is in a list that was made before, or exits in the queue.
func (c *BPF) queue() queued {
	q := queued{make(map[known]bool), make(map[known]Label), make(map[known]*label.Used)}
	c.events.Peek(func(ev *label.Event) {
		switch k := (known{ev.PID, ev.Start}); {
		case ev.Kind == label.Clone && ev.TID == ev.PID:
			q.born[k] = true
		case ev.Kind == label.Exit && ev.Real != 0:
			q.died[k] = Label(ev.Job)
		case ev.Kind == label.Free && q.used[k] == nil:
			used := ev.Used
			q.used[k] = &used
		case ev.Kind == label.Free:
			q.used[k].Add(&ev.Used)
		}
	})
	return q
}

// forgetQueue drops what waits: it is about a time in which nothing was sure.
func (c *BPF) forgetQueue() { c.events.Each(func(*label.Event) bool { return true }) }

// before gives who was in a job when the first event of the queue came, of those that are listed by now.
func (q queued) before(now map[known]listed) map[known]listed {
	out := make(map[known]listed)
	for k, one := range now {
		_, dies := q.died[k]
		if one.label.In != 0 && !q.born[k] && (one.alive || dies) {
			if used := q.used[k]; used != nil {
				one.gone.Less(used) // it will be told of
			}
			out[k] = one
		}
	}
	for k, in := range q.died {
		if _, there := now[k]; !there && !q.born[k] {
			out[k] = listed{label: label.Label{In: uint64(in)}, tasks: 1}
		}
	}
	return out
}

// takeIn puts processes on the books, the oldest first. Those of jobs that nobody knows any more lose their label.
func (c *BPF) takeIn(there map[known]listed) (members []*proc) {
	order := slices.SortedFunc(maps.Keys(there), func(a, b known) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid)) })
	for _, k := range order {
		one := there[k]
		if !c.bench.knows(Label(one.label.In)) {
			if _, err := c.labels.kept.Set(k.pid, label.Label{}, func() bool { return true }); err != nil && !errors.Is(err, label.ErrGone) {
				c.Log.Error("cannot take the label of a job that is over off a process", "pid", k.pid, "error", err)
			}
			continue
		}
		p := c.lin.add(k.pid, k.start)
		p.label, p.tasks, p.scanned = Label(one.label.In), one.tasks, true
		if parent := c.lin.of(one.parent); parent != nil {
			p.parent = parent.id
		}
		if one.gone != (label.Used{}) {
			c.charge(p, &one.gone)
			p.usage.Threads-- // nobody knows of how many
		}
		members = append(members, p)
	}
	return members
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
	c.lost = false
	c.counts.Resyncs++
	e := watch.Event{Kind: watch.Lost, Mono: c.clock.mono, Value: int64(c.counts.Lost - c.reported), Valid: true, Inferred: true}
	c.reported = c.counts.Lost
	c.emit(&e, emit)
	tasks, err := c.labels.kept.List()
	if err != nil {
		c.lost = true // try again with the next burst
		c.Log.Error("cannot make good a loss of events", "error", err)
		return
	}
	there := processes(tasks)
	var gone []*proc
	for p := range c.lin.all() {
		if one := there[known{p.id.PID, p.start}]; !p.stranger && !one.alive {
			gone = append(gone, p)
		}
	}
	for k, one := range there {
		if old := c.lin.of(k.pid); one.label.In == 0 || !one.alive || old != nil && !old.stranger && old.start == k.start {
			continue
		}
		for _, p := range c.takeIn(map[known]listed{k: one}) {
			c.welcome(p, emit)
		}
	}
	for _, p := range gone { // last: a job whose other members have gone is not over
		c.vanish(p, emit)
	}
	c.findExempt()
}

// welcome tells of a member that nobody told of.
func (c *BPF) welcome(p *proc, emit Emit) {
	maker := c.lin.of(p.parent.PID)
	if maker == nil || maker.id != p.parent || maker.label != p.label {
		maker = c.lin.creator(p, p.label)
	}
	if maker == nil {
		c.adrift = append(c.adrift, p.id)
		return
	}
	e := watch.Event{Kind: watch.Clone, Proc: p.id, TID: p.id.PID, Mono: c.clock.mono, Parent: maker.id, Inferred: true}
	if err := emit(&e); err != nil {
		c.refuse(p, err)
	}
}

// mendLabels finds the children that the kernel had no memory to label: their parents are in a job and they in none.
func (c *BPF) mendLabels(emit Emit) error {
	missed, err := c.labels.kept.Missed()
	if err != nil || missed == 0 || !c.emptied || time.Since(c.mended) < mendEvery {
		return err
	}
	c.mended = time.Now()
	for more := true; more; {
		more = false
		for _, id := range c.everybody() {
			if p := c.lin.of(id.PID); p != nil && p.stranger && c.foundling(p) {
				more = true
				c.welcome(p, emit)
			}
		}
	}
	for p := range c.lin.all() { // their threads
		if !p.stranger {
			if m, err := c.set(p, p.kernelLabel()); err == nil {
				p.tasks += int32(m.Tasks)
			}
		}
	}
	c.counts.Unlabelled += missed
	return c.labels.kept.Mended(missed)
}

// foundling takes in a child without a label, of a parent that has one.
func (c *BPF) foundling(p *proc) bool {
	st, err := c.FS.Stat(p.id.PID)
	if err != nil || st.Dead() || p.id.PID == c.self {
		return false
	}
	parent := c.lin.of(st.PPID)
	if parent == nil || parent.stranger || p.start < c.clock.bootTime(parent.since) {
		return false
	}
	if has, err := c.labels.kept.Get(p.id.PID); err != nil || has != (label.Label{}) {
		return false
	}
	p.parent = parent.id
	return c.Attach(p.id, parent.label, c.clock.mono) == nil
}
