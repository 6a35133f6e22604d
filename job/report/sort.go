package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Order compares as cmp.Compare does; what comes first is less. It is total: of two that differ none is as good as the
// other.
type Order[T any] func(a, b *T) int

// JobOrder is the order of jobs by ended (or ""), started, cpu, memory, io, elapsed or processes: the newest and the
// largest first, what is not known last, and among equals the newest JID. An open job ends after all others; its time is
// counted up to now.
func JobOrder(by string, now time.Time) (Order[job.Info], error) {
	var first func(a, b *job.Info) int
	switch by {
	case "", "ended":
		first = func(a, b *job.Info) int { return latest(a.Ended, b.Ended) }
	case "started":
		first = func(a, b *job.Info) int { return b.Started.Compare(a.Started) }
	case "cpu":
		first = func(a, b *job.Info) int { return most(a.CPU, b.CPU) }
	case "memory":
		first = func(a, b *job.Info) int { return most(a.MaxRSS, b.MaxRSS) }
	case "io":
		first = func(a, b *job.Info) int { return most(sum(a.ReadBytes, a.WriteBytes), sum(b.ReadBytes, b.WriteBytes)) }
	case "elapsed":
		first = func(a, b *job.Info) int { return cmp.Compare(lasted(b, now), lasted(a, now)) }
	case "processes":
		first = func(a, b *job.Info) int { return cmp.Compare(b.TotalProcesses, a.TotalProcesses) }
	default:
		return nil, fmt.Errorf("cannot sort jobs by %q: ended, started, cpu, memory, io, elapsed or processes", by)
	}
	return func(a, b *job.Info) int {
		if c := first(a, b); c != 0 {
			return c
		}
		return cmp.Compare(b.JID, a.JID)
	}, nil
}

// RecordOrder is the order of process records by ended (or ""), started, cpu, memory, io or elapsed: the newest and the
// largest first, what is not known last, and among equals the latest end, then the newest JID, then the highest pid.
func RecordOrder(by string) (Order[job.Record], error) {
	first := func(a, b *job.Record) int { return 0 } // by the end they are ordered anyway
	if by != "" && by != "ended" {
		figure := recordFigure(by)
		if figure == nil {
			return nil, unknownOrder(by)
		}
		first = func(a, b *job.Record) int { return cmp.Compare(figure(b), figure(a)) }
	}
	return func(a, b *job.Record) int {
		if c := first(a, b); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(b.End, a.End), cmp.Compare(b.JID, a.JID), cmp.Compare(b.PID, a.PID), cmp.Compare(b.Start, a.Start))
	}, nil
}

// recordFigure gives what records are compared by, where it is not known less than any.
func recordFigure(by string) func(r *job.Record) int64 {
	when := func(g watch.Group, f func(u *watch.Usage) int64) func(*job.Record) int64 {
		return func(r *job.Record) int64 {
			if !known(r, g) {
				return math.MinInt64
			}
			return f(&r.Usage)
		}
	}
	switch by {
	case "started":
		return func(r *job.Record) int64 { return r.Start }
	case "elapsed":
		return func(r *job.Record) int64 {
			if r.Start == 0 {
				return math.MinInt64
			}
			return r.End - r.Start
		}
	case "cpu":
		return when(watch.GroupCPU, func(u *watch.Usage) int64 { return u.CPU })
	case "memory":
		return when(watch.GroupMemory, func(u *watch.Usage) int64 { return u.MaxRSS })
	case "io":
		return when(watch.GroupIO, func(u *watch.Usage) int64 { return u.ReadBytes + u.WriteBytes })
	}
	return nil
}

func unknownOrder(by string) error {
	return fmt.Errorf("cannot sort processes by %q: ended, started, cpu, memory, io or elapsed", by)
}

// Sort puts a list in order, in place and without copying what it compares.
func Sort[T any](list []T, order Order[T]) {
	sort.Slice(list, func(i, j int) bool { return order(&list[i], &list[j]) < 0 })
}

// lasted is for how long a job has been there, ns.
func lasted(in *job.Info, now time.Time) int64 {
	if in.Ended != nil {
		now = *in.Ended
	}
	return int64(now.Sub(in.Started))
}

// most puts the larger first, and last what is not known.
func most(a, b *int64) int {
	if a == nil || b == nil {
		return present(b != nil) - present(a != nil)
	}
	return cmp.Compare(*b, *a)
}

func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil
	}
	s := *a + *b
	return &s
}

// latest puts the later first, before all what has not come yet.
func latest(a, b *time.Time) int {
	if a == nil || b == nil {
		return present(a != nil) - present(b != nil)
	}
	return b.Compare(*a)
}

func present(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Top keeps the first n of what comes in a stream of any length.
type Top[T any] struct {
	n     int
	order Order[T]
	heap  []*T // once there are n of them: the last one of the order on top
}

// NewTop makes a Top for the first n in an order; 0: for all.
func NewTop[T any](n int, order Order[T]) *Top[T] { return &Top[T]{n: n, order: order} }

// Fits reports whether Add would take v in now.
func (t *Top[T]) Fits(v *T) bool { return t.n <= 0 || len(t.heap) < t.n || t.order(v, t.heap[0]) < 0 }

// Add takes v in if it is among the first so far, and then returns the copy that it keeps, so that the caller can copy what
// v points to and will be written over; else nil.
func (t *Top[T]) Add(v *T) *T {
	if !t.Fits(v) {
		return nil
	}
	if t.n > 0 && len(t.heap) == t.n {
		*t.heap[0] = *v
		kept := t.heap[0]
		t.down(0)
		return kept
	}
	kept := new(T)
	*kept = *v
	t.heap = append(t.heap, kept)
	if len(t.heap) == t.n {
		for i := t.n/2 - 1; i >= 0; i-- {
			t.down(i)
		}
	}
	return kept
}

// down lets what is at i sink until nothing below it comes later in the order.
func (t *Top[T]) down(i int) {
	for {
		last := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(t.heap); c++ {
			if t.order(t.heap[c], t.heap[last]) > 0 {
				last = c
			}
		}
		if last == i {
			return
		}
		t.heap[i], t.heap[last] = t.heap[last], t.heap[i]
		i = last
	}
}

// List gives what was kept, in order, and empties the Top.
func (t *Top[T]) List() []*T {
	list := t.heap
	t.heap = nil
	slices.SortFunc(list, t.order)
	return list
}
