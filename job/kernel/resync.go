package kernel

import "github.com/jobd-project/jobd/job/watch"

// resync makes the table true again after a loss: it compares it with /proc. What is gone from there is freed, with the
// exit records that came through; what is new there is settled by its witnesses, else by its parent. All of it is marked
// as inferred.
func (c *Connector) resync(emit Emit) {
	c.lost, c.replays = false, false
	c.counts.Resyncs++
	e := watch.Event{Kind: watch.Lost, Mono: c.clock.mono, Value: int64(c.counts.Lost - c.reported), Valid: true, Inferred: true}
	c.reported = c.counts.Lost
	c.emit(&e, emit)
	list, err := c.scan()
	if err != nil {
		c.lost = true // try again with the next burst
		c.Log.Error("cannot make good a loss of events", "error", err)
		return
	}
	c.stashAll()
	c.scanned = readClocks().mono
	alive := make(map[int32]*seen, len(list))
	for i := range list {
		alive[list[i].PID] = &list[i]
	}
	gone := c.missing(alive)
	for i := range list { // before anybody is freed: a job whose other members have gone is not over
		if p := c.lin.of(list[i].PID); p == nil || !p.seenAs(&list[i]) {
			c.welcome(list[i], emit)
		}
	}
	for _, p := range gone {
		c.stashed(p)
		c.free(p, c.clock.mono, 0, false, true, emit)
	}
	c.findExempt()
}

// missing gives what the scan did not find, and brings the rest's threads up to date.
func (c *Connector) missing(alive map[int32]*seen) (gone []*proc) {
	for _, ghosts := range c.lin.ghosts {
		gone = append(gone, ghosts...)
	}
	for id, p := range c.lin.live.All() {
		s := alive[id.PID]
		if s == nil || !p.seenAs(s) {
			gone = append(gone, p)
			continue
		}
		p.tids = s.tids
	}
	return gone
}

// welcome takes in a process whose fork was lost.
func (c *Connector) welcome(s seen, emit Emit) {
	p := c.found(s)
	e := watch.Event{Kind: watch.Clone, Proc: p.id, TID: s.PID, Mono: c.clock.mono, Inferred: true, Admitted: true}
	parent := c.lin.of(s.PPID)
	heard, ok := c.hear(s.PID, startedAt(s.Start))
	known := Label(0)
	switch said, told := c.bench.read(heard.label); {
	case ok && told && said == 0:
		p.takenOut(Label(heard.label.Out), parent)
	case parent != nil:
		known = parent.label
		if !ok || !told && !c.holds(heard) {
			p.descend(parent)
			e.Parent, _ = c.impostor(p, parent, ok, startedAt(s.Start))
		}
	}
	switch label := c.bench.verdict(heard, known); {
	case p.out || p.label != 0:
	case ok && label != 0:
		p.label = label
		if creator := c.lin.creator(p, label); creator != nil {
			e.Parent = creator.id
		}
	case parent == nil:
	case c.lin.ambiguous(parent) && !c.bench.reliable(c.lin.marks[parent.id]):
		p.undecided = true
		c.counts.Unwitnessed++
	case parent.label != 0 && !c.bench.reliable(map[Label]int{parent.label: 1}):
		p.label, e.Parent = parent.label, parent.id
	}
	if err := emit(&e); err != nil {
		c.refuse(p, e.Parent, err, emit)
	}
}
