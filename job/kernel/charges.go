package kernel

import "github.com/jobd-project/jobd/job"

// Charges is what the scheduler has charged to jobs, ns, by their labels: those of which the kernel itself adds it up. A job that is
// missing is not one of them.
type Charges map[Label]int64

// Charges gives none: the kernel adds up nothing for this engine.
func (c *Connector) Charges() (Charges, error) { return nil, nil }

// Charges gives what all jobs have used so far. It looks at nothing of the engine's, so it may run beside the loop. What tasks used since
// they exited is missing until they are gone, which takes a while where many do.
func (c *BPF) Charges() (Charges, error) {
	totals, err := c.events.Totals() // first: who goes meanwhile is not counted twice
	if err != nil || len(totals) == 0 {
		return nil, err
	}
	tasks, err := c.labels.kept.List()
	if err != nil {
		return nil, err
	}
	out := make(Charges, len(totals))
	for in, t := range totals {
		out[Label(in)] = int64(t.CPU + t.Leaving)
	}
	for _, t := range tasks {
		if _, adds := out[Label(t.Label.In)]; adds && !t.Exiting {
			out[Label(t.Label.In)] += int64(t.CPU - t.Base)
		}
	}
	return out, nil
}

// Charge gives what a job without members has used in all, ns. ok is false where the kernel adds nothing up.
func (c *Connector) Charge(Label) (ns int64, ok bool) { return 0, false }

// Charge gives what a job without members has used in all, ns. ok is false where the kernel has not added it up from the beginning.
func (c *BPF) Charge(of Label) (ns int64, ok bool) {
	t, ok, err := c.events.Total(uint64(of))
	if err != nil {
		c.Log.Error("cannot read what a job has used", "error", err)
	}
	return int64(t.CPU + t.Leaving), ok // who left and of whose end nothing was told
}

// Place is engine.Place, and has the kernel add up what the job uses.
func (c *BPF) Place(pid int32, jid job.JID) (job.Placement, error) {
	if err := c.events.Account(uint64(jid)); err != nil {
		return job.Placement{}, err
	}
	return c.engine.Place(pid, jid)
}

// PlaceHeld is engine.PlaceHeld, and has the kernel add up what the job uses.
func (c *BPF) PlaceHeld(jid job.JID) (job.Placement, error) {
	if err := c.events.Account(uint64(jid)); err != nil {
		return job.Placement{}, err
	}
	return c.engine.PlaceHeld(jid)
}
