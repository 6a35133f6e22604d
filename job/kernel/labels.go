package kernel

import (
	"errors"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// KeepLabels has the engine keep its labels in the kernel too, as the first of the witnesses. They are not closed with it.
func KeepLabels(kept *label.Labels) Option {
	return func(c *engine) { c.labels = &labels{kept: kept} }
}

// labels are the engine's in the kernel.
type labels struct {
	kept   *label.Labels
	wrong  bool   // somebody may lack one, or have another than they should
	doubts uint64 // of one's own, among those that are to be made good
	looked time.Time
}

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

// takenOut makes a process one that is out of a job, as the kernel kept it. parent is nil where it is not known.
func (p *proc) takenOut(of Label, parent *proc) {
	p.label, p.out, p.prev = 0, true, of
	if parent != nil && parent.out && !p.counted {
		p.counted = true
		parent.kids++
	}
}

// labelled reads what a process had inherited when it was forked. An error: it has gone, or that is still to come, because its fork is
// told before its maker comes to the copy (kernel/fork.c: proc_fork_connector, then trace_task_newtask). Who has run has it.
func (c *engine) labelled(pid int32) (label.Label, error) {
	if c.labels == nil {
		return label.Label{}, nil
	}
	for end := time.Now().Add(bornMost); ; nap(bornLook) {
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

// write has the kernel keep what a process is now. One that has gone needs nothing. What it forked until then may have the label that it
// had before.
func (c *engine) write(p *proc) {
	if c.labels == nil {
		return
	}
	_, err := c.labels.kept.Set(p.id.PID, p.kernelLabel(), func() bool {
		st, err := c.FS.Stat(p.id.PID)
		return errors.Is(err, ErrBusy) || err == nil && p.began(st.Start)
	})
	p.wrote = readClocks().mono
	if err == nil || errors.Is(err, label.ErrGone) {
		return
	}
	if !c.labels.wrong {
		c.Log.Error("a process has no label in the kernel until that can be made good", "pid", p.id.PID, "error", err)
	}
	c.doubtLabels()
}

// doubtLabels notes that not everybody has the label that they ought to, for the next engine too.
func (c *engine) doubtLabels() {
	c.distrust()
	c.labels.doubts++
	if err := c.labels.kept.Doubt(); err != nil {
		c.Log.Error("cannot note that processes may lack their label", "error", err)
	}
}

func (c *engine) distrust() {
	c.labels.wrong = true
	c.bench.trust(false)
}

// mendEvery is how often it is tried to make labels good: that looks at every member.
const mendEvery = time.Second

// checkLabels looks whether the kernel had to leave out labels: then who has none can be anybody's.
func (c *engine) checkLabels() (missed uint64, err error) {
	if missed, err = c.labels.kept.Missed(); missed > 0 && !c.labels.wrong {
		c.distrust()
	}
	return missed, err
}

// mendLabels makes good what checkLabels found: the engine followed those processes all the same.
func (c *Connector) mendLabels() error {
	if c.labels == nil {
		return nil
	}
	n, err := c.checkLabels()
	if err != nil || !c.labels.wrong || !c.emptied || time.Since(c.labels.looked) < mendEvery {
		return err
	}
	c.labels.looked = time.Now()
	c.writeAll()
	if now, err := c.labels.kept.Missed(); err != nil || now != n {
		return err
	}
	if err := c.labels.kept.Mended(n); err != nil {
		return err
	}
	c.counts.Unlabelled += n - min(c.labels.doubts, n)
	c.labels.wrong, c.labels.doubts = false, 0
	c.bench.trust(true)
	return nil
}

// writeAll has the kernel keep what all are that are in a job, or out of one. Of one with several threads the first one's label says
// little.
func (c *engine) writeAll() {
	kept := c.keptLabels()
	for p := range c.lin.all() {
		want := p.kernelLabel()
		if l, ok := kept[p.id.PID]; want == (label.Label{}) || ok && p.tids == nil && l.label == want && p.began(l.start) {
			continue
		}
		if has, err := c.labels.kept.Get(p.id.PID); err == nil && (has != want || p.tids != nil) {
			c.write(p)
		}
	}
}

// keptLabel is a label as the kernel lists it, and whose it is.
type keptLabel struct {
	label label.Label
	start uint64 // clock ticks since boot, as in /proc
}

// keptLabels gives what the kernel keeps of processes, as their first threads have it, by pid: one look at all of them, where to ask
// for each takes as long as all else that is done for it. Who is not among them has none, or has to be asked.
func (c *engine) keptLabels() map[int32]keptLabel {
	if c.labels == nil {
		return nil
	}
	tasks, err := c.labels.kept.List()
	if err != nil {
		c.Log.Warn("cannot list the labels in the kernel, each is asked for", "error", err)
	}
	out := make(map[int32]keptLabel, len(tasks))
	for _, t := range tasks {
		if t.TID == t.PID {
			out[t.PID] = keptLabel{t.Label, uint64(t.Start / nsPerTick)}
		}
	}
	return out
}

// takeLabels begins with what the kernel kept while there was no engine: all of it, unless something was in doubt.
func (c *engine) takeLabels() error {
	switch {
	case c.labels == nil:
		return nil
	case !c.labels.kept.Found():
		c.doubtLabels()
		return nil
	}
	c.bench.trust(true)
	_, err := c.checkLabels()
	return err
}

// remembered is what the kernel kept of a process while there was no engine. told is false where that is nothing.
func (c *engine) remembered(p, parent *proc, heard said) (says Label, told bool) {
	if !heard.ok || heard.label == (label.Label{}) {
		return 0, false
	}
	if says, told = c.bench.read(heard.label); told && says == 0 {
		p.takenOut(Label(heard.label.Out), parent)
		p.roots = c.FS.RootsOwn(p.id.PID)
	}
	return says, told
}

// lacksLabel says what is wrong with a process's label in the kernel; empty: nothing, or nobody can say. Of which job somebody is out
// makes no difference: the events know whose child they seem to be, the kernel who made them.
func (c *engine) lacksLabel(p *proc, has label.Label) string {
	want := p.kernelLabel()
	if c.labels == nil || c.labels.wrong || want == (label.Label{}) || has.In == want.In && (want.In != 0 || has.Out != 0) {
		return ""
	}
	return fmt.Sprintf("process %d has label %d (out of %d) in the kernel, and should have %d (%d)", p.id.PID, uint32(has.In), uint32(has.Out), uint32(want.In), uint32(want.Out))
}

// Relabel has the kernel keep what a process is, if it keeps something else. Drain before.
func (c *engine) Relabel(id watch.ID) {
	p := c.lin.of(id.PID)
	if p == nil || p.id != id || c.labels == nil {
		return
	}
	if has, err := c.labels.kept.Get(id.PID); err == nil && c.lacksLabel(p, has) != "" {
		c.write(p)
	}
}
