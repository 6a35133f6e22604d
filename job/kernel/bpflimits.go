package kernel

import (
	"errors"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// limits are those of jobs beyond which the kernel has forks fail. It counts who is born into a job and who exits in it; how many there were
// besides is found by comparing its count with the table's, at a moment at which nothing waits to be read.
type limits struct {
	inForce bool
	most    map[Label]int
	doubted bool // the kernel may count otherwise than the table
}

// Refusal says how forks beyond a job's limit are refused, and why not better.
func (c *BPF) Refusal() (how string, why error) {
	by, why := c.events.Refusal()
	if by == label.NoRefusal {
		return RefusalKill, why
	}
	return string(by), why
}

// Limit has the kernel let forks fail beyond so many processes of a job; nil: no more. Where it cannot, who is to be killed a subscriber says.
func (c *BPF) Limit(of Label, most *int) error {
	switch {
	case !c.limits.inForce:
		return nil
	case most == nil:
		delete(c.limits.most, of)
		return c.events.Unlimit(uint64(of))
	}
	if err := c.events.Account(uint64(of)); err != nil {
		return err
	}
	c.limits.most[of] = *most
	return c.recount(of)
}

// recount tells the kernel how many processes a job has, if that has a limit.
func (c *BPF) recount(of Label) error {
	most, limited := c.limits.most[of]
	if !limited {
		return nil
	}
	total, ok, err := c.events.Total(uint64(of))
	if err == nil && !ok {
		err = errors.New("the kernel does not count the processes of a job that has a limit")
	}
	if err != nil {
		return err
	}
	waits := ahead{of: of, there: make(map[known]bool)}
	if err := c.events.Peek(func(ev *label.Event) { waits.see(c, ev) }); err != nil {
		return err
	}
	more := waits.more - int64(total.Processes)
	for p := range c.lin.all() {
		if !p.stranger && p.label == of {
			more++
		}
	}
	c.limits.doubted = c.limits.doubted || c.events.Waiting() > 0
	return c.events.Limit(uint64(of), most, more)
}

// ahead counts how many more processes a job has than the table says, by what waits to be read. Whom the table has not, and who was not
// born in the queue either, was taken out or is gone by a list that is newer.
type ahead struct {
	of    Label
	there map[known]bool // of whom something waits; false: whose exit does
	more  int64
}

func (a *ahead) see(c *BPF, ev *label.Event) {
	k := known{ev.PID, ev.Start}
	there, told := a.there[k]
	there = there || !told && c.of(ev) != nil
	switch {
	case Label(ev.Job) != a.of:
	case ev.Kind == label.Clone && ev.TID == ev.PID && !told && !there:
		a.there[k] = true
		a.more++
	case ev.Kind == label.Exit && ev.Real != 0 && there:
		a.there[k] = false
		a.more--
	}
}

// recountAll does it for all jobs with a limit, if there is a doubt about them.
func (c *BPF) recountAll() {
	if !c.limits.doubted || !c.emptied {
		return
	}
	c.limits.doubted = false
	for of := range c.limits.most {
		if err := c.recount(of); err != nil {
			c.limits.doubted = true
			c.Log.Error("the kernel may refuse too early or too late", "error", err)
		}
	}
}

// failed: a fork was made to fail.
func (c *BPF) failed(ev *label.Event, emit Emit) {
	c.counts.Refused++
	if p := c.of(ev); p != nil {
		e := c.event(watch.Refuse, p, ev.TID, ev.Time)
		e.Value, e.Valid = watch.RefusedFailed, true
		c.emit(e, emit)
	}
}
