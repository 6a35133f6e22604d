package kernel

import (
	"errors"
	"fmt"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// SlotMost is the highest slot that Hear takes; the lowest is 1.
const SlotMost = 31

// everybody's bit is slot 0.
const allBit = uint32(1)

// Hear has the kernel tell of a process and of what descends from it from now on, whether it is in a job or not, for whoever has the
// slot. Drain before. The error is ErrGone, a slot that is none, or the kernel's: some of its threads may be heard of then, until Unhear.
func (c *BPF) Hear(id watch.ID, slot int) error {
	if slot < 1 || slot > SlotMost {
		return fmt.Errorf("cannot hear of process %d: there is no slot %d, only 1 to %d", id.PID, slot, SlotMost)
	}
	if !c.Alive(id) {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	p, bit := c.lin.of(id.PID), uint32(1)<<slot
	c.heard |= bit
	start, err := c.labels.kept.Hear(id.PID, bit, func() bool {
		st, err := c.FS.Stat(id.PID)
		return errors.Is(err, ErrBusy) || err == nil && !st.Dead() && p.isExactly(st.Start)
	})
	if errors.Is(err, label.ErrGone) {
		err = ErrGone
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", id.PID, err)
	}
	p.bits |= bit
	if p.stranger {
		c.lin.follow(p)
		p.start = start
		c.findTasks(p)
	}
	return nil
}

// Unhear ends that for all processes of a slot.
func (c *BPF) Unhear(slot int) error { return c.deafen(1 << slot) }

// HearAll has the kernel tell of every process, until off. Drain before. Nothing is emitted of those that are there already: Existing
// gives them.
func (c *BPF) HearAll(on bool) error {
	if !on {
		return c.deafen(allBit)
	}
	c.heard |= allBit
	if err := c.enlistAll(); err != nil {
		return errors.Join(err, c.deafen(allBit))
	}
	return nil
}

// enlistAll puts all processes that there are on the books.
func (c *BPF) enlistAll() error {
	if err := c.labels.kept.HearAll(allBit); err != nil {
		return err
	}
	tasks, err := c.labels.kept.List()
	if err != nil {
		return err
	}
	waits, err := c.queue()
	if err != nil {
		return err
	}
	there := waits.before(processes(tasks))
	for k, one := range there {
		if p := c.lin.of(k.pid); p.is(k) {
			c.lin.enlist(p, k, one)
			delete(there, k)
		}
	}
	c.takeIn(there)
	return nil
}

// is reports whether the table has a process as the kernel has it.
func (p *proc) is(k known) bool {
	return p != nil && (p.start == k.start || p.stranger && p.isExactly(uint64(k.start/nsPerTick)))
}

// enlist has a process of the table told of.
func (l *lineage) enlist(p *proc, k known, one listed) {
	if p.bits |= one.bits; p.stranger {
		l.follow(p)
		p.start = k.start
		p.consistsOf(one.tids)
	}
}

// deafen takes bits off all processes. Those that are in no job, and that nobody else hears of, are strangers from then on.
func (c *BPF) deafen(bits uint32) error {
	if bits &= c.heard; bits == 0 {
		return nil
	}
	c.heard &^= bits
	err := c.labels.kept.Unhear(bits)
	for p := range c.lin.all() {
		if p.bits &^= bits; p.bits == 0 && p.label == 0 {
			c.lin.unfollow(p)
		}
	}
	return err
}

// Hear does little more, since this engine hears of every process: from now on it says what those run that are in no job, too.
func (c *Connector) Hear(id watch.ID, slot int) error {
	if !c.Alive(id) {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	c.hearing |= 1 << slot
	return nil
}

// Unhear takes a Hear back.
func (c *Connector) Unhear(slot int) error {
	c.hearing &^= 1 << slot
	return nil
}

// HearAll says whether somebody hears of every process; see Hear.
func (c *Connector) HearAll(on bool) error {
	if c.hearing &^= allBit; on {
		c.hearing |= allBit
	}
	return nil
}
