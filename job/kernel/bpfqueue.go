package kernel

import (
	"slices"

	"github.com/jobd-project/jobd/job/label"
)

// queued is what waits to be read, as far as it says who was there before.
type queued struct {
	heard uint32 // bits of those who hear of processes that are in no job
	born  map[known]bool
	died  map[known]listed      // as what
	came  map[task]bool         // threads that are born in there
	there map[known][]int32     // tasks that exit in there, or are gone, and are not born in there
	used  map[known]*label.Used // by tasks that are gone
}

// hears reports whether an event is of a member, or of whom somebody hears.
func hears(heard uint32, ev *label.Event) bool { return ev.Job != 0 || ev.Bits&heard != 0 }

// task is one of a process's.
type task struct {
	of  known
	tid int32
}

func newQueued(heard uint32) queued {
	return queued{
		heard: heard, born: make(map[known]bool), died: make(map[known]listed), came: make(map[task]bool), there: make(map[known][]int32),
		used: make(map[known]*label.Used),
	}
}

// queue looks what waits. Whoever was there at its first event is in a list that was made before, or exits in the queue.
func (c *BPF) queue() (queued, error) {
	q := newQueued(c.heard)
	err := c.events.Peek(q.see)
	return q, err
}

// forgetQueue drops what waits: it is about a time in which nothing was sure.
func (c *BPF) forgetQueue() error {
	_, err := c.events.Each(func(*label.Event) bool { return true })
	return err
}

func (q queued) see(ev *label.Event) {
	k := known{ev.PID, ev.Start}
	switch {
	case !hears(q.heard, ev):
	case ev.Kind == label.Clone && ev.TID == ev.PID:
		q.born[k] = true
	case ev.Kind == label.Clone:
		q.came[task{k, ev.TID}] = true
	case ev.Kind == label.Exit:
		q.goes(k, ev.TID)
		if ev.Real != 0 {
			q.died[k] = listed{label: label.Label{In: ev.Job}, bits: ev.Bits & q.heard}
		}
	case ev.Kind == label.Free:
		q.goes(k, ev.TID)
		if q.used[k] == nil {
			q.used[k] = new(label.Used)
		}
		q.used[k].Add(&ev.Used)
	}
}

func (q queued) goes(k known, tid int32) {
	if !q.born[k] && !q.came[task{k, tid}] && !slices.Contains(q.there[k], tid) {
		q.there[k] = append(q.there[k], tid)
	}
}

// before gives who was in a job when the first event of the queue came, of those that are listed by now.
func (q queued) before(now map[known]listed) map[known]listed {
	out := make(map[known]listed)
	for k, one := range now {
		_, dies := q.died[k]
		one.bits &= q.heard
		if (one.label.In != 0 || one.bits != 0) && !q.born[k] && (one.alive || dies) {
			one.tids = q.tasks(k, one.tids)
			if used := q.used[k]; used != nil {
				one.gone.Less(used) // it will be told of
			}
			out[k] = one
		}
	}
	for k, one := range q.died {
		if _, there := now[k]; !there && !q.born[k] {
			one.tids = q.tasks(k, nil)
			out[k] = one
		}
	}
	return out
}

// tasks gives which tasks a process had at the first event of the queue that has these by now.
func (q queued) tasks(k known, now []int32) []int32 {
	out := slices.Clone(q.there[k])
	for _, tid := range now {
		if !q.came[task{k, tid}] && !slices.Contains(out, tid) {
			out = append(out, tid)
		}
	}
	return out
}
