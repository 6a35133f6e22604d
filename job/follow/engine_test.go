package follow

import (
	"iter"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// handFed is an engine that is told what happens.
type handFed struct {
	ready chan time.Time

	mu      sync.Mutex
	queue   []watch.Event
	failing error

	alive   map[watch.ID]bool // the rest belongs to the loop
	roused  int
	settled int
}

func newHandFed(pids ...int32) *handFed {
	e := &handFed{ready: make(chan time.Time, 1), alive: make(map[watch.ID]bool)}
	for _, p := range pids {
		e.alive[id(p)] = true
	}
	return e
}

func id(pid int32) watch.ID { return watch.ID{PID: pid, Gen: 1} }

// happen queues events, from any goroutine.
func (e *handFed) happen(events ...watch.Event) {
	e.mu.Lock()
	e.queue = append(e.queue, events...)
	e.mu.Unlock()
	select {
	case e.ready <- time.Time{}:
	default:
	}
}

func (e *handFed) fail(err error) {
	e.mu.Lock()
	e.failing = err
	e.mu.Unlock()
	e.happen()
}

func (e *handFed) Drain(emit kernel.Emit) error {
	e.mu.Lock()
	queue := e.queue
	e.queue = nil
	e.mu.Unlock()
	for i := range queue {
		switch ev := &queue[i]; ev.Kind {
		case watch.Clone:
			e.alive[ev.Proc] = true
		case watch.Free:
			delete(e.alive, ev.Proc)
		}
		_ = emit(&queue[i])
	}
	return nil
}

func (e *handFed) Existing() iter.Seq[watch.ID] {
	return func(yield func(watch.ID) bool) {
		for i := range e.alive {
			if !yield(i) {
				return
			}
		}
	}
}

func (e *handFed) Identify(pid int32) (watch.ID, bool) { return id(pid), e.alive[id(pid)] }
func (e *handFed) Alive(i watch.ID) bool               { return e.alive[i] }

func (e *handFed) Ready() <-chan time.Time { return e.ready }

func (e *handFed) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failing
}

func (e *handFed) Rouse() {
	e.mu.Lock()
	e.roused++
	e.mu.Unlock()
}

func (e *handFed) Settle() {
	e.mu.Lock()
	e.settled++
	e.mu.Unlock()
}

func (e *handFed) Rest()                  {}
func (e *handFed) Behind(int64) bool      { return false }
func (e *handFed) Unsettled() bool        { return false }
func (e *handFed) SettleLate() []watch.ID { return nil }

func fork(parent, child int32) watch.Event {
	return watch.Event{Kind: watch.Clone, Proc: id(child), TID: child, Parent: id(parent)}
}

func free(pid int32) watch.Event { return watch.Event{Kind: watch.Free, Proc: id(pid), TID: pid} }
