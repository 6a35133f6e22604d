package kernel

import "github.com/jobd-project/jobd/job/watch"

// account finds the exit record of one task and adds it to its process. The record of a process that nobody is
// interested in is read past.
func (c *Connector) account(p *proc, tid int32, wanted bool) {
	ok := c.record(tid, wanted)
	if !ok && p != nil && tid != p.id.PID { // it was the first thread, which gave its number to the one that called exec (exchange_tids)
		ok = c.record(p.id.PID, wanted)
	}
	switch {
	case !wanted:
	case !ok:
		p.missed = true
		c.missedOne()
		c.Log.Debug("an exit came without its record", "pid", p.id.PID, "tid", tid)
		return
	case p.usage == nil:
		p.usage = c.lin.takeUsage()
		*p.usage = c.exited
	default:
		p.usage.Add(&c.exited)
	}
	if wanted {
		c.row = 0
	}
}

// record finds the exit record of a task, and when it is wanted decodes it to c.exited. It is sent before the EXIT event
// (kernel/exit.c), so it is in the queue, or was read past on the way to another's.
func (c *Connector) record(tid int32, wanted bool) (ok bool) {
	if len(c.stash) > 0 {
		if u, there := c.stash.take(tid); there {
			c.exited = u
			return true
		}
	}
	err := c.stats.each(func(b []byte) bool {
		r, found := findExitRecord(b)
		if !found {
			return true
		}
		c.counts.Records++
		if r.tid != tid {
			var u watch.Usage
			decodeTaskstats(&u, r.stats, c.groups)
			c.stash.put(r.tid, u, c.clock.mono)
			return true
		}
		if wanted {
			decodeTaskstats(&c.exited, r.stats, c.groups)
		}
		ok = true
		return false
	})
	if err != nil {
		c.counts.Malformed++
	}
	return ok
}

// stashAll reads every record that is queued, so that those of processes whose EXIT was lost are not.
func (c *Connector) stashAll() {
	err := c.stats.each(func(b []byte) bool {
		if r, ok := findExitRecord(b); ok {
			c.counts.Records++
			decodeTaskstats(&c.exited, r.stats, c.groups)
			c.stash.put(r.tid, c.exited, c.clock.mono)
		}
		return true
	})
	if err != nil {
		c.counts.Malformed++
	}
}

// stashed adds the records of a process whose exits were lost, as far as they came through.
func (c *Connector) stashed(p *proc) {
	tids := p.tids
	if tids == nil {
		tids = []int32{p.id.PID}
	}
	for _, tid := range tids {
		c.account(p, tid, true)
	}
}

// Exited gives the CPU of a living process's threads that have exited, ns, as their exit records have it: it is in /proc with
// ticks only, and will be on the process's own record.
func (c *engine) Exited(id watch.ID) int64 {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id || p.usage == nil || !p.usage.Groups.Has(watch.GroupCPU) {
		return 0
	}
	return p.usage.CPU
}
