package kernel

import (
	"errors"

	"github.com/jobd-project/jobd/job/watch"
)

// An engine that is partial hears of members only. Everybody else is a stranger to it: known from /proc, from the moment at which
// somebody asks, and until somebody asks again and finds them gone. Nobody tells of their forks, nor of their exits.

// strangersLeast is how many strangers may be known before it is looked which of them have gone.
const strangersLeast = 64

// meet gives the stranger that has a pid now; nil where there is nobody, or somebody who has exited.
func (c *engine) meet(pid int32) *proc {
	if known := c.lin.of(pid); known != nil {
		if c.stands(known) {
			return known
		}
		c.lin.remove(known)
	}
	st, err := c.FS.Stat(pid)
	if errors.Is(err, ErrBusy) { // its start is not known before it is looked at again
		st, err = c.FS.Status(pid)
	}
	if err != nil || st.Dead() {
		return nil
	}
	c.thin()
	return c.lin.addStranger(pid, int64(st.Start)*nsPerTick)
}

// stands looks in /proc whether a stranger is there still. A pid does not go round within a tick, unless root sees to it.
func (c *engine) stands(p *proc) bool {
	st, err := c.FS.Stat(p.id.PID)
	if err != nil {
		return errors.Is(err, ErrBusy)
	}
	if p.start == 0 { // it was in the middle of an exec
		p.start = int64(st.Start) * nsPerTick
	}
	return !st.Dead() && p.start == int64(st.Start)*nsPerTick
}

// thin forgets the strangers that have gone, once there are twice as many as stayed the last time.
func (c *engine) thin() {
	if c.lin.strangers < max(strangersLeast, 2*c.stayed) {
		return
	}
	var gone []*proc
	for p := range c.lin.all() {
		if p.stranger && !c.stands(p) {
			gone = append(gone, p)
		}
	}
	for _, p := range gone {
		c.lin.remove(p)
	}
	c.stayed = c.lin.strangers
}

// everybody gives all living processes: those that are followed as they are on the books, strangers as /proc lists them.
func (c *engine) everybody() []watch.ID {
	var out []watch.ID
	for p := range c.lin.all() {
		if !p.stranger {
			out = append(out, p.id)
		}
	}
	pids, err := c.FS.PIDs()
	if err != nil {
		c.Log.Error("cannot list processes: only those in jobs are known", "error", err)
	}
	for _, pid := range pids {
		if p := c.lin.of(pid); p != nil && !p.stranger {
			continue
		}
		if id, ok := c.Identify(pid); ok {
			out = append(out, id)
		}
	}
	return out
}

// descendants gives the living processes below one, itself first: as /proc has them, and those that are followed as they were forked.
func (c *engine) descendants(id watch.ID) []watch.ID {
	below := c.below(c.Alive(id)) // else its pid may be another's
	out, in := []watch.ID{id}, map[watch.ID]bool{id: true}
	add := func(child watch.ID) {
		if !in[child] {
			in[child], out = true, append(out, child)
		}
	}
	for i, more := 0, true; more; {
		for ; i < len(out); i++ {
			for _, pid := range below(out[i].PID) {
				if p := c.lin.of(pid); p != nil && !p.stranger && p.parent != (watch.ID{}) {
					continue // it may have been given to it, as an orphan
				}
				if child, ok := c.Identify(pid); ok {
					add(child)
				}
			}
		}
		for p := range c.lin.all() {
			if !p.stranger && in[p.parent] {
				add(p.id)
			}
		}
		more = i < len(out)
	}
	return out
}

// below gives who says whose children are, by pid: the kernel, where it lists them (CONFIG_PROC_CHILDREN), because a login waits for it;
// else all processes are asked for their parents.
func (c *engine) below(alive bool) func(pid int32) []int32 {
	switch {
	case !alive:
		return func(int32) []int32 { return nil }
	case c.FS.listsChildren(c.self):
		return c.FS.Children
	}
	listed := c.byParent()
	return func(pid int32) []int32 { return listed[pid] }
}

// byParent reads who is whose child, from the status of every process, which nobody can hold up.
func (c *engine) byParent() map[int32][]int32 {
	pids, err := c.FS.PIDs()
	if err != nil {
		c.Log.Error("cannot list processes: only those in jobs are known", "error", err)
	}
	out := make(map[int32][]int32)
	for _, pid := range pids {
		if st, err := c.FS.Status(pid); err == nil {
			out[st.PPID] = append(out[st.PPID], pid)
		}
	}
	return out
}

// addStranger makes a process that nobody tells of.
func (l *lineage) addStranger(pid int32, start int64) *proc {
	p := l.add(pid, start)
	p.scanned, p.stranger = true, true
	l.strangers++
	return p
}

// follow makes a stranger a process that is told of. What is known of its threads, and whom it descends from, is nothing.
func (l *lineage) follow(p *proc) {
	if p.stranger {
		p.stranger = false
		l.strangers--
	}
}
