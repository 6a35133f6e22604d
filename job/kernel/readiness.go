package kernel

import (
	"runtime"
	"sync/atomic"
	"time"
)

// How long an engine lets events gather after the first one; in a storm, of which the last burst was a part, for longer.
// With 20 ms instead of 10 the connector had a storm charged 12 to 15 % more CPU: each message is memory that the kernel gives out
// anew. A ring is there already: with 40 ms the bpf engine takes two thirds of the CPU that it takes with 10, the storm as much as before.
// Message by message the reader takes 9.7 µs of CPU a process; gathered, a third of that, and the workload is hardly slowed
// down. Whoever asks something does not wait for it: before a command the engine is drained anyway. A burst costs something
// whatever is in it, so a storm begins early: with the ring, of 1,000 programs a second on a busy host each took 12 to 22 µs so, and 42 to 58
// where a storm began with 20,000 events a second only.
const (
	burst      = 5 * time.Millisecond
	stormBurst = 10 * time.Millisecond
	ringBurst  = 40 * time.Millisecond
	stormy     = 10 // events in a burst; the storm is over …
	calm       = 10 // … when there are fewer than this
)

// readiness says when a burst is to be drained. The first event after quiet is waited for on a thread of its own. In a
// storm the next burst is sure to come: that thread sleeps, and whoever drains rests between bursts.
type readiness struct {
	first    chan time.Time // an event came in, and others were let gather
	storming bool           // a storm: the thread sleeps
	gather   time.Duration  // for how long events gather then
	again    chan struct{}
	end      *stopper
	fd       int
	bed      *bed
	err      atomic.Pointer[error] // why it stopped by itself
}

// newReadiness watches a descriptor that becomes readable when there is an event. In a storm they gather for a while.
func newReadiness(fd int, gather time.Duration) (*readiness, error) {
	bed, err := newBed()
	if err != nil {
		return nil, err
	}
	end, err := newStopper()
	if err != nil {
		bed.close()
		return nil, err
	}
	r := &readiness{first: make(chan time.Time, 1), again: make(chan struct{}, 1), gather: gather, end: end, fd: fd, bed: bed}
	go r.run()
	return r, nil
}

// run says ready once for each burst, and waits to be told that it was drained.
func (r *readiness) run() {
	defer close(r.end.done)
	runtime.LockOSThread() // it sleeps in system calls: let no other goroutine be stuck behind it
	defer runtime.UnlockOSThread()
	for {
		ready, err := poll(-1, r.fd, r.end.fd)
		if err == nil && !ready[1] {
			ready, err = poll(burst, r.end.fd)
		}
		if err != nil {
			r.err.Store(&err)
			r.say()
			return
		}
		if ready[len(ready)-1] {
			return // told to stop
		}
		r.say()
		if _, ok := <-r.again; !ok {
			return
		}
	}
}

// drained says that the socket was emptied of so many events, by whoever was told that it is ready.
func (r *readiness) drained(events int) {
	if r.storming = events >= stormy || r.storming && events >= calm; r.storming {
		return
	}
	select {
	case r.again <- struct{}{}:
	default:
	}
}

// rest returns at once, unless there is a storm: then when its next burst is to be drained, or somebody rouses.
func (r *readiness) rest() {
	if !r.storming {
		return
	}
	r.bed.rest(r.gather)
	r.say()
}

// say says that there is something to drain, if that has not been said already.
func (r *readiness) say() {
	select {
	case r.first <- time.Now():
	default:
	}
}

// stop ends the waiting, and returns when the descriptor is not looked at any more.
func (r *readiness) stop() {
	close(r.again)
	r.end.stop()
	r.bed.close()
}
