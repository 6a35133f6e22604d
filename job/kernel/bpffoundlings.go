package kernel

import (
	"errors"
	"time"

	"github.com/jobd-project/jobd/job/label"
)

// mendLabels finds the children that the kernel had no memory to label: their parents are in a job and they in none.
func (c *BPF) mendLabels(emit Emit) error {
	missed, err := c.labels.kept.Missed()
	if err != nil || missed == 0 || !c.emptied || time.Since(c.mended) < mendEvery {
		return err
	}
	c.mended = time.Now()
	if err := errors.Join(c.findChildren(emit), c.findThreads()); err != nil {
		c.Log.Warn("processes may be without their label in the kernel until that can be made good", "error", err)
		return nil
	}
	c.counts.Unlabelled += missed
	return c.labels.kept.Mended(missed)
}

// findChildren takes in those that have no label, and what they have forked since.
func (c *BPF) findChildren(emit Emit) (err error) {
	for more := true; more; {
		more = false
		for _, id := range c.everybody() {
			p := c.lin.of(id.PID)
			if p == nil || p.label != 0 {
				continue
			}
			found, err2 := c.foundling(p)
			if err = errors.Join(err, err2); found {
				more = true
				c.welcome(p, emit)
			}
		}
	}
	return err
}

// findThreads labels the threads of members that have no label.
func (c *BPF) findThreads() (err error) {
	for p := range c.lin.all() {
		if p.label == 0 {
			continue
		}
		m, err2 := c.set(p, p.kernelLabel())
		if m.Tasks > 0 {
			c.findTasks(p)
		}
		err = errors.Join(err, notGone(err2))
	}
	return err
}

// foundling takes in a child without a label, of a parent that has one.
func (c *BPF) foundling(p *proc) (found bool, err error) {
	st, err := c.FS.Stat(p.id.PID)
	if err != nil || st.Dead() || p.id.PID == c.self {
		return false, notGone(err)
	}
	parent := c.lin.of(st.PPID)
	if parent == nil || parent.label == 0 || p.start/nsPerTick < c.clock.bootTime(parent.since)/nsPerTick { // /proc says no more than the tick
		return false, nil
	}
	if has, err := c.labels.kept.Get(p.id.PID); err != nil || has != (label.Label{}) {
		return false, notGone(err)
	}
	p.parent = parent.id
	err = c.Attach(p.id, parent.label, parent.since) // what it has forked is a member too
	return err == nil, notGone(err)
}

// notGone leaves out that a process is gone by now.
func notGone(err error) error {
	if errors.Is(err, ErrGone) || errors.Is(err, label.ErrGone) {
		return nil
	}
	return err
}
