package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// How many processes each of those who want to know has, how many there are that nobody has, and how many events are timed at once.
const (
	ownProcs    = 100
	othersProcs = 10_000
	listEvents  = 100_000
)

// lists compares the two ways to be told of one's own processes: a watcher for the whole system, which looks each time whether the
// process is one of its own, and a list for each process. That the latter is cheaper is what pnotify was made for.
func (b *bench) lists() error {
	for _, n := range []int{1, 10, 100} {
		system, err := watchers(n)
		if err != nil {
			return err
		}
		process, err := subscribers(n)
		if err != nil {
			return err
		}
		b.reportLists(n, "an event of a process that nobody watches", system, process, others())
		b.reportLists(n, "of one that one watches", system, process, watched(n))
	}
	return nil
}

// watchers gives a table with watchers for the whole system.
func watchers(n int) (*watch.Table, error) {
	t := new(watch.Table)
	var err error
	for i := range n {
		var own watch.Index[int]
		for _, id := range belonging(i) {
			own.Set(id, 1)
		}
		err = errors.Join(err, t.Register(watch.Watcher{Name: fmt.Sprint(i), Exec: func(e *watch.Event) error {
			heard += own.Get(e.Proc)
			return nil
		}}))
	}
	return t, err
}

// subscribers gives a table with subscribers to single processes.
func subscribers(n int) (*watch.Table, error) {
	t := new(watch.Table)
	lists, err := pnotify.New(t)
	if err != nil {
		return nil, err
	}
	for i := range n {
		name := fmt.Sprint(i)
		keep := func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Keep }
		hear := func(s *pnotify.Subscriber, _ *watch.Event) { heard += s.Data.(int) }
		err = errors.Join(err, lists.Register(&pnotify.Events{Name: name, Fork: keep, Exec: hear}))
		for _, id := range belonging(i) {
			_, failed := lists.Subscribe(id, name, 1)
			err = errors.Join(err, failed)
		}
	}
	return t, err
}

// heard counts what came to those whose process it was.
var heard int

// belonging gives the processes of one of those who want to know.
func belonging(to int) (ids []watch.ID) {
	for i := range ownProcs {
		ids = append(ids, watch.ID{PID: int32(1 + to*ownProcs + i), Gen: 1})
	}
	return ids
}

// watched gives the processes of all of them.
func watched(n int) (ids []watch.ID) {
	for i := range n {
		ids = append(ids, belonging(i)...)
	}
	return ids
}

// others gives processes that nobody wants to know of.
func others() (ids []watch.ID) {
	for i := range othersProcs {
		ids = append(ids, watch.ID{PID: int32(1_000_000 + i), Gen: 1})
	}
	return ids
}

func (b *bench) reportLists(n int, what string, system, process *watch.Table, of []watch.ID) {
	var whole, single samples
	for range *rounds {
		whole, single = append(whole, perEvent(system, of)), append(single, perEvent(process, of))
	}
	b.add(row{
		what: fmt.Sprintf("%s, %d who want to know: a list for each process", what, n), measured: single.spread("%.1f", " ns"),
		beside: "for the whole system " + whole.spread("%.1f", " ns"), ratio: each(single, whole, ratio).spread("%.3f", ""),
	})
}

// perEvent gives how long an event takes, ns.
func perEvent(t *watch.Table, of []watch.ID) float64 {
	e := watch.Event{Kind: watch.Exec}
	start := time.Now()
	for i := range listEvents {
		e.Proc = of[i%len(of)]
		_ = t.Dispatch(&e) // nobody here fails
	}
	return float64(time.Since(start)) / listEvents
}
