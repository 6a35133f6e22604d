package kernel

import (
	"errors"
	"fmt"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Attach gives a process, as it is now, a label: its forks from here on inherit it. The ancestors are marked, because
// labels meet below them.
func (c *Connector) Attach(id watch.ID, label Label, now int64) error {
	if err := c.attach(id, label, now); err != nil {
		return err
	}
	c.markAncestors(id, label)
	return c.sentinel.watch(c.lin.markedPIDs())
}

// attach gives a process that is alive a label.
func (c *engine) attach(id watch.ID, label Label, now int64) error {
	p := c.lin.of(id.PID)
	if !c.Alive(id) {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	c.lin.follow(p)
	p.setLabel(label, now)
	p.out = false
	c.write(p)
	c.confront(p)
	return nil
}

// confront notes whether a process is where it is against its witnesses: an audit session cannot be changed, and a cgroup that
// somebody else made is left alone.
func (c *engine) confront(p *proc) {
	heard, ok := c.hear(p.id.PID, func(st Stat) bool { return p.began(st.Start) })
	c.weigh(p, heard, ok)
}

// weigh is confront by a testimony that was heard already.
func (c *engine) weigh(p *proc, heard testimony, ok bool) {
	p.claim = c.bench.judge(heard)
	if p.against = ok && p.claim != p.label; !p.against {
		p.claim = 0
	}
}

// overruled reports whether a testimony is one that somebody's word stands against. The job that it was for may have ended.
func (p *proc) overruled(says Label) bool {
	return p.against && p.label != 0 && (says == p.claim || says == 0)
}

// Detach takes the label off a process.
func (c *Connector) Detach(id watch.ID, now int64) error {
	old := c.Label(id)
	if err := c.detach(id, now); err != nil {
		return err
	}
	c.markOutcast(id, c.markAncestors(id, old))
	return c.sentinel.watch(c.lin.markedPIDs())
}

// detach takes the label off a process that is alive, and notes that this is root's word.
func (c *engine) detach(id watch.ID, now int64) error {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	p.setLabel(0, now)
	p.roots = c.FS.RootsOwn(id.PID) // now: later it may have gone
	p.out = true
	c.write(p)
	return nil
}

// markAncestors marks those above a process where labels meet, and the process itself when it has children that stay
// what they were. It gives whom it has marked.
func (c *Connector) markAncestors(id watch.ID, label Label) []watch.ID {
	above := c.above(id, c.FS.Ancestors(id.PID))
	if p := c.lin.of(id.PID); p != nil && (c.lin.hasOtherChild(id, p.label, c.lives) || c.hasOrphan(p)) {
		above = append(above, id)
	}
	c.lin.bound(label, above)
	return above
}

// markOutcast marks where one that is in no job any more meets others: with the members above it, and with those of its children, by their
// births and by what it was left, for as long as their jobs last. The marks of the job that it has left go with that.
func (c *Connector) markOutcast(id watch.ID, above []watch.ID) {
	for _, a := range above {
		if label := c.Label(a); c.lin.wants(label, a) {
			c.lin.bound(label, []watch.ID{a})
		}
	}
	meets := func(p *proc) {
		if p != nil && c.lin.wants(p.label, id) && c.lives(p) { // one look for each label: there may be many children
			c.lin.bound(p.label, []watch.ID{id})
		}
	}
	for p := range c.lin.all() {
		if p.parent == id {
			meets(p)
		}
	}
	for _, pid := range c.FS.Children(id.PID) {
		meets(c.lin.of(pid))
	}
}

// above gives those of a process's ancestors below which its label meets others.
func (c *Connector) above(id watch.ID, ancestors []int32) (out []watch.ID) {
	label, inside := c.Label(id), true // up to here all have the same label: nothing meets
	for _, pid := range ancestors {
		p := c.lin.of(pid)
		if p == nil {
			continue
		}
		if inside = inside && p.label == label; !inside {
			out = append(out, p.id)
		}
	}
	return out
}

// hasOrphan reports whether a process got a child with another label than its own, as a subreaper does: the table knows parents as
// they were at the fork. Where the kernel does not list children (CONFIG_PROC_CHILDREN) nobody can say.
func (c *Connector) hasOrphan(p *proc) bool {
	for _, pid := range c.FS.Children(p.id.PID) {
		if child := c.lin.of(pid); child != nil && child.label != p.label && c.lives(child) {
			return true
		}
	}
	return false
}

// lives reports whether a process of the table is still there.
func (c *engine) lives(p *proc) bool {
	st, err := c.FS.Stat(p.id.PID)
	return errors.Is(err, ErrBusy) || err == nil && !st.Dead() && p.began(st.Start)
}

// Carries is Label: the table is all that there is.
func (c *Connector) Carries(id watch.ID) Label { return c.Label(id) }

// Forget drops everything that is kept for a label: its job has ended.
func (c *Connector) Forget(label Label) error {
	c.lin.unbound(label)
	c.bench.dismiss(label)
	return c.sentinel.watch(c.lin.markedPIDs())
}

// Testify makes a job's placement a witness for it, and names the witnesses: "label", "cgroup", "audit", some of them or none.
// session is what the job's processes have, also where that is no witness.
func (c *engine) Testify(label Label, p job.Placement, session *uint32) string {
	said := c.bench.call(label, p)
	if session != nil {
		c.bench.share(label, *session)
	}
	return said
}

// Identify gives the identity of a living process by its pid.
func (c *engine) Identify(pid int32) (watch.ID, bool) {
	p := c.lin.of(pid)
	if c.partial && (p == nil || p.stranger) {
		p = c.meet(pid)
	}
	if p == nil {
		return watch.ID{}, false
	}
	return p.id, true
}

// Alive reports whether the process is still on the books, and, where nobody tells of its end, in /proc.
func (c *engine) Alive(id watch.ID) bool {
	p := c.lin.of(id.PID)
	return p != nil && p.id == id && (!p.stranger || c.stands(p))
}

// Children gives the living processes below one, itself first, as far as the engine saw them born or found them.
func (c *engine) Children(id watch.ID) []watch.ID {
	if c.partial {
		return c.descendants(id)
	}
	below := make(map[watch.ID][]watch.ID)
	for p := range c.lin.all() {
		below[p.parent] = append(below[p.parent], p.id)
	}
	out := []watch.ID{id}
	for i := 0; i < len(out); i++ {
		out = append(out, below[out[i]]...)
	}
	return out
}

// Out reports whether root took the process, or what it descends from, out of a job.
func (c *engine) Out(id watch.ID) bool {
	p := c.lin.of(id.PID)
	return p != nil && p.id == id && p.out
}

// Label gives the label of a living process; 0 for none, and for one that is not alive.
func (c *engine) Label(id watch.ID) Label {
	if p := c.lin.of(id.PID); p != nil && p.id == id {
		return p.label
	}
	return 0
}
