package kernel

import (
	"errors"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job/label"
)

// KeepLabels has the engine keep its labels in the kernel too, as the first of the witnesses. They are not closed with it.
func KeepLabels(kept *label.Labels) Option { return func(c *Connector) { c.labels = newLabels(kept) } }

// labels are the engine's in the kernel.
type labels struct {
	kept   *label.Labels
	missed uint64 // children without one, as it was read last and not made good
	wrong  bool   // somebody may lack one
	looked time.Time
}

func newLabels(kept *label.Labels) *labels { return &labels{kept: kept} }

// kernelLabel is what the kernel is to keep of a process.
func (p *proc) kernelLabel() label.Label {
	switch {
	case p.label != 0:
		return label.Label{In: uint64(p.label)}
	case p.out:
		return label.Label{Out: uint64(p.prev)}
	}
	return label.Label{}
}

// takenOut makes a process one that is out of a job, as the kernel kept it.
func (p *proc) takenOut(l label.Label) { p.label, p.out, p.prev = 0, true, Label(l.Out) }

// labelled reads what a process had inherited when it was forked, also when its fork was heard of just now: that is told before its
// maker comes to the copy (kernel/fork.c: proc_fork_connector, then trace_task_newtask). Who has run has it.
func (c *Connector) labelled(most time.Duration, pid int32) (label.Label, error) {
	if c.labels == nil {
		return label.Label{}, nil
	}
	for end := time.Now().Add(most); ; nap(bornLook) {
		ran := c.FS.hasRun(pid) || !c.FS.hasRun(c.self) // that of a kernel that does not count it
		l, err := c.labels.kept.Get(pid)
		if err != nil || l != (label.Label{}) || ran {
			return l, err
		}
		if time.Now().After(end) {
			return l, fmt.Errorf("process %d has inherited nothing yet", pid)
		}
	}
}

// write has the kernel keep what a process is now. One that has gone needs nothing.
func (c *Connector) write(p *proc) {
	if c.labels == nil {
		return
	}
	err := c.labels.kept.Set(p.id.PID, p.kernelLabel())
	if err == nil || errors.Is(err, label.ErrGone) {
		return
	}
	if !c.labels.wrong {
		c.Log.Error("a process has no label in the kernel until that can be made good", "pid", p.id.PID, "error", err)
	}
	c.doubtLabels()
}

// remembered is what the kernel kept of a process while there was no engine, which is at least as new as what is on file. told is false
// where that is nothing.
func (c *Connector) remembered(p *proc) (said Label, told bool) {
	l, err := c.labelled(bornMost, p.id.PID)
	if st, err2 := c.FS.Stat(p.id.PID); err != nil || !errors.Is(err2, ErrBusy) && (err2 != nil || !p.began(st.Start)) {
		return 0, false
	}
	if said, told = c.bench.read(l); told && said == 0 {
		p.takenOut(l)
	}
	return said, told
}

// doubtLabels notes that not everybody has the label that they ought to.
func (c *Connector) doubtLabels() {
	c.labels.wrong = true
	c.bench.trust(false)
}

// mendEvery is how often it is tried to make labels good: that looks at every member.
const mendEvery = time.Second

// checkLabels looks whether the kernel had to leave out labels, and makes that good: the engine followed those children all the same.
func (c *Connector) checkLabels() error {
	if c.labels == nil {
		return nil
	}
	n, err := c.labels.kept.Missed()
	if err != nil {
		return err
	}
	if n != c.labels.missed {
		c.counts.Unlabelled += n - c.labels.missed
		c.labels.missed = n
		c.doubtLabels()
	}
	if !c.labels.wrong || !c.emptied || time.Since(c.labels.looked) < mendEvery {
		return nil
	}
	c.labels.looked, c.labels.wrong = time.Now(), false
	c.writeAll()
	if c.labels.wrong {
		return nil
	}
	c.labels.missed = 0
	c.bench.trust(true)
	return c.labels.kept.Mended(n)
}

// writeAll has the kernel keep what all are that are in a job, or out of one.
func (c *Connector) writeAll() {
	for p := range c.lin.all() {
		if want := p.kernelLabel(); want != (label.Label{}) {
			if has, err := c.labels.kept.Get(p.id.PID); err == nil && has != want {
				c.write(p)
			}
		}
	}
}

// takeLabels begins with what the kernel kept while there was no engine: all of it, if it was kept all the while.
func (c *Connector) takeLabels() error {
	if c.labels == nil {
		return nil
	}
	n, err := c.labels.kept.Missed()
	if err != nil {
		return fmt.Errorf("cannot tell whether processes lack their label in the kernel: %w", err)
	}
	if c.labels.missed = n; n == 0 && c.labels.kept.Found() {
		c.bench.trust(true)
	} else {
		c.doubtLabels()
	}
	return nil
}

// lacksLabel says what is wrong with a process's label in the kernel; empty: nothing, or nobody can say. Of which job somebody is out
// makes no difference: the events know whose child they seem to be, the kernel who made them.
func (c *Connector) lacksLabel(p *proc, has label.Label) string {
	want := p.kernelLabel()
	if c.labels == nil || c.labels.wrong || want == (label.Label{}) || has.In == want.In && (has.Out != 0) == (want.Out != 0) {
		return ""
	}
	return fmt.Sprintf("process %d has label %d (out of %d) in the kernel, and should have %d (%d)", p.id.PID, uint32(has.In), uint32(has.Out), uint32(want.In), uint32(want.Out))
}
