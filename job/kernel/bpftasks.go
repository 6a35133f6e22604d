package kernel

import "slices"

// Of which tasks a process's use is still to be told is known by their numbers: what is told twice counts once, and what nobody told of
// changes nothing. An exec by a thread leaves two tasks with each other's number.

// joins adds a task that will be charged.
func (p *proc) joins(tid int32) {
	if p.tids == nil && tid != p.id.PID {
		p.tids = append(p.tids, p.id.PID)
	}
	if p.tids != nil && !slices.Contains(p.tids, tid) {
		p.tids = append(p.tids, tid)
	}
}

// loses takes a task off to which nothing will be charged any more. It reports whether no other is left.
func (p *proc) loses(tid int32) (last bool) {
	if p.tids == nil {
		return tid == p.id.PID
	}
	p.tids = slices.DeleteFunc(p.tids, func(t int32) bool { return t == tid })
	return len(p.tids) == 0
}

// consistsOf makes these a process's tasks.
func (p *proc) consistsOf(tids []int32) {
	p.tids = nil
	if len(tids) > 1 || len(tids) == 1 && tids[0] != p.id.PID {
		p.tids = slices.Clone(tids)
	}
}

// findTasks adds the threads that a process has now. What has changed since is told.
func (c *BPF) findTasks(p *proc) {
	tids, err := c.FS.Tasks(p.id.PID)
	if err != nil {
		return // it goes just now: with its first thread the books are closed
	}
	for _, tid := range tids {
		p.joins(tid)
	}
}

// isExactly reports whether a process, whose start the kernel told to the ns or /proc to the tick, is the one that /proc shows.
func (p *proc) isExactly(ticks uint64) bool {
	return p.start == 0 && p.began(ticks) || p.start/nsPerTick == int64(ticks)
}
