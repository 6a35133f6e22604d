package kernel

import (
	"errors"
	"fmt"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// Attach gives a process, as it is now, a label, in the kernel: what it forks from here on has it too.
func (c *BPF) Attach(id watch.ID, to Label, now int64) error {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	if to == 0 {
		return c.release(p, label.Label{}, now)
	}
	m, err := c.set(p, label.Label{In: uint64(to)})
	if err != nil {
		return err
	}
	if c.waiting[known{p.id.PID, m.Start}] != nil {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone) // a zombie, of whose exit was told
	}
	several := 0
	if p.stranger {
		several = 1
	}
	c.lin.enter(p, to, m.Start, now)
	if m.Tasks > several {
		c.findTasks(p)
	}
	c.limits.doubted = true // who was in another job has left that
	return c.recount(to)
}

// set has the kernel change a label.
func (c *BPF) set(p *proc, to label.Label) (m label.Marked, err error) {
	m, err = c.labels.kept.Set(p.id.PID, to, func() bool {
		st, err := c.FS.Stat(p.id.PID)
		return errors.Is(err, ErrBusy) || err == nil && !st.Dead() && p.isExactly(st.Start)
	})
	if errors.Is(err, label.ErrGone) {
		err = ErrGone
	}
	if err != nil {
		return m, fmt.Errorf("process %d: %w", p.id.PID, err)
	}
	return m, nil
}

// Detach takes the label off a process, which is out of that job from now on, with what it forks.
func (c *BPF) Detach(id watch.ID, now int64) error {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	return c.release(p, label.Label{Out: uint64(p.label)}, now)
}

// release makes a stranger of a process.
func (c *BPF) release(p *proc, to label.Label, now int64) error {
	if _, err := c.set(p, to); err != nil {
		return err
	}
	c.lin.abandon(p, now)
	p.out = to.Out != 0
	c.limits.doubted = true
	return nil
}

// Carries gives the job that the kernel has a living process in, though nothing has been told of it yet.
func (c *BPF) Carries(id watch.ID) Label {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id || !p.stranger {
		return c.Label(id)
	}
	has, err := c.labels.kept.Get(id.PID)
	if err != nil {
		return 0
	}
	return Label(has.In)
}

// Out reports whether root took the process, or what it descends from, out of a job.
func (c *BPF) Out(id watch.ID) bool {
	if !c.Alive(id) {
		return false
	}
	has, err := c.labels.kept.Get(id.PID)
	return err == nil && has.In == 0 && has.Out != 0
}

// Forget drops everything that is kept for a label: its job has ended.
func (c *BPF) Forget(of Label) error {
	c.bench.dismiss(of)
	delete(c.limits.most, of)
	return c.events.Forget(uint64(of))
}

// Unsettled reports whether Drain and SettleLate have to be called now and then, though nothing is told.
func (c *BPF) Unsettled() bool { return len(c.adrift) > 0 || len(c.waiting) > 0 }

// SettleLate gives those that are in a job of which nobody was on the books that they could inherit from: Claimed says which.
func (c *BPF) SettleLate() []watch.ID {
	out := c.adrift
	c.adrift = nil
	return out
}

// Claimed gives the open job that the kernel has a process in; 0: none. Drain before.
func (c *BPF) Claimed(pid int32) Label {
	if pid == c.self {
		return 0
	}
	if p := c.lin.of(pid); p != nil && !p.stranger {
		return p.label
	}
	if has, err := c.labels.kept.Get(pid); err == nil && c.bench.knows(Label(has.In)) {
		return Label(has.In)
	}
	return 0
}

// Relabel has the kernel keep what a process is, if it keeps something else. Drain before.
func (c *BPF) Relabel(id watch.ID) {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id || p.stranger {
		return
	}
	if has, err := c.labels.kept.Get(id.PID); err == nil && has.In != uint64(p.label) {
		if _, err := c.set(p, p.kernelLabel()); err != nil && !errors.Is(err, ErrGone) {
			c.Log.Error("cannot have the kernel keep what a process is", "error", err)
		}
	}
}

// Survey asks the kernel who has a label. It looks at nothing of the engine's, so it may run beside the loop.
func (c *BPF) Survey() (Survey, error) {
	listed, err := c.labels.kept.List()
	return Survey{listed: processes(listed)}, err
}

// Suspects compares a survey with the table, and gives the pids where they differ. Processes come and go meanwhile: Differs says, after
// a Drain, which of them still do.
func (c *BPF) Suspects(s Survey) []int32 {
	c.limits.doubted = true
	var out []int32
	for k, one := range s.listed {
		p := c.lin.of(k.pid)
		if follows := p != nil && !p.stranger && p.start == k.start; one.label.In != 0 && one.alive && (!follows || p.label != Label(one.label.In)) {
			out = append(out, k.pid)
		}
	}
	for p := range c.lin.all() {
		if _, there := s.listed[known{p.id.PID, p.start}]; !p.stranger && !there {
			out = append(out, p.id.PID)
		}
	}
	return out
}

// Differs says in what the table and the kernel disagree about one process; empty: in nothing.
func (c *BPF) Differs(pid int32) string {
	p, says := c.lin.of(pid), Label(0)
	if p != nil && !p.stranger {
		says = p.label
	}
	st, err := c.FS.Stat(pid)
	if errors.Is(err, ErrBusy) {
		return ""
	}
	alive := err == nil && !st.Dead()
	if !alive && says != 0 {
		return fmt.Sprintf("process %d is on the books and not alive", pid)
	}
	has, err := c.labels.kept.Get(pid)
	if !alive || err != nil || Label(has.In) == says {
		return ""
	}
	return fmt.Sprintf("process %d is in job %d, and the kernel has it in %d", pid, uint32(says), uint32(has.In))
}

// enter makes a process that began at a moment, as the kernel has it, a member.
func (l *lineage) enter(p *proc, in Label, start, now int64) {
	if p.stranger {
		l.follow(p)
		p.start = start
	}
	p.setLabel(in, now)
	p.out, p.adrift = false, false
}

// abandon makes a process one that is in no job. Nobody tells of it, unless somebody wants to hear.
func (l *lineage) abandon(p *proc, now int64) {
	p.setLabel(0, now)
	p.usage, p.leaving, p.adrift = nil, nil, false // what it uses from here on nobody tells
	if p.bits == 0 {
		l.unfollow(p)
	}
}

// unfollow makes a process a stranger.
func (l *lineage) unfollow(p *proc) {
	p.tids = nil
	if !p.stranger {
		p.stranger, p.scanned, p.start = true, true, p.start/nsPerTick*nsPerTick // as /proc has it
		l.strangers++
	}
}
