package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// dispatch measures what those who are told cost whoever dispatches: ten watchers that do nothing, and a subscriber to one process where
// the event is another's.
func (b *bench) dispatch() error {
	ten, nobody := new(watch.Table), new(watch.Table)
	var err error
	for i := range 10 {
		err = errors.Join(err, ten.Register(watch.Watcher{Name: fmt.Sprint(i), Exec: func(*watch.Event) error { return nil }}))
	}
	one, failed := subscribers(1)
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	var all, lone, none, look samples
	for range *rounds {
		all, none = append(all, perEvent(ten, others())), append(none, perEvent(nobody, others()))
		lone, look = append(lone, perEvent(one, others())), append(look, perLookUp(others()))
	}
	b.add(row{what: "an event to ten watchers in jobd", measured: all.spread("%.1f", " ns"), beside: "to nobody " + none.spread("%.1f", " ns"),
		target: "< 100 ns", ok: met(all.median() < 100)})
	b.add(row{what: "an event of a process that nobody watches, one subscriber to another", measured: lone.spread("%.1f", " ns"),
		beside: "to nobody " + none.spread("%.1f", " ns") + ", a look-up " + look.spread("%.1f", " ns")})
	return nil
}

// perLookUp gives how long it takes to find that nothing is kept for a process, ns.
func perLookUp(of []watch.ID) float64 {
	var own watch.Index[int]
	for _, id := range belonging(0) {
		own.Set(id, 1)
	}
	start := time.Now()
	for i := range listEvents {
		heard += own.Get(of[i%len(of)])
	}
	return float64(time.Since(start)) / listEvents
}
