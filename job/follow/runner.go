package follow

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// Errors of Run and Do.
var (
	// ErrEnded is a Runner whose Run has returned.
	ErrEnded = errors.New("the loop has ended")
	// ErrRunning is a second Run of the same Runner.
	ErrRunning = errors.New("the loop was started already")
)

// Engine is what tells of processes: a *kernel.Connector, or a *kernel.BPF. Only Rouse and Settle are called from other goroutines than Run's.
type Engine interface {
	Rest()
	Ready() <-chan time.Time
	Err() error
	Drain(emit kernel.Emit) error
	Behind(moment int64) bool
	Unsettled() bool
	SettleLate() []watch.ID
	Existing() iter.Seq[watch.ID]
	Identify(pid int32) (watch.ID, bool)
	Alive(id watch.ID) bool
	Rouse()
	Settle()
}

// Runner is the loop that owns an engine and the tables. The fields are to be used before Run, in callbacks, in Do, and after Run.
type Runner struct {
	Watch  *watch.Table
	Notify *pnotify.Table

	engine  Engine
	log     *slog.Logger
	asked   chan question
	started atomic.Bool
	ended   chan struct{}
}

// question is something that is to be done in the loop.
type question struct {
	do   func() error
	done chan<- error
}

// settleAfter is how long an engine with something unsettled is left alone.
const settleAfter = 200 * time.Millisecond

// New makes a Runner for an engine that is open, and that whoever opened it closes when Run has returned. A nil log is slog's default.
func New(e Engine, log *slog.Logger) (*Runner, error) {
	if log == nil {
		log = slog.Default()
	}
	r := &Runner{engine: e, log: log, asked: make(chan question), ended: make(chan struct{})}
	r.Watch = &watch.Table{Existing: e.Existing, Alive: e.Alive, Panicked: r.panicked}
	var err error
	r.Notify, err = pnotify.New(r.Watch)
	return r, err
}

func (r *Runner) panicked(p *watch.Panic) {
	r.log.Error("a watcher was taken out", "error", p, "stack", string(debug.Stack()))
}

// Run dispatches what happens, and does what is asked, until ctx ends; what the kernel had told by then has been dispatched.
// An error is the engine's, which cannot go on then. It runs once.
func (r *Runner) Run(ctx context.Context) error {
	if !r.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer close(r.ended)
	var later <-chan time.Time // nil while everything is settled
	for {
		r.engine.Rest()
		select {
		case <-ctx.Done():
			return r.drain()
		case <-r.engine.Ready():
			if err := r.engine.Err(); err != nil {
				return fmt.Errorf("the engine failed: %w", err)
			}
			if err := r.drainOnce(); err != nil {
				return err
			}
		case q := <-r.asked:
			if err := r.drain(); err != nil {
				q.done <- err
				return err
			}
			q.done <- r.answer(q.do)
		case <-later:
			later = nil
			if err := r.drainOnce(); err != nil {
				return err
			}
			for _, id := range r.engine.SettleLate() {
				r.log.Warn("nobody can say whom a process inherits from", "pid", id.PID)
			}
		}
		if later == nil && r.engine.Unsettled() {
			later = time.After(settleAfter)
		}
	}
}

func (r *Runner) drainOnce() error {
	if err := r.engine.Drain(r.Watch.Dispatch); err != nil {
		return fmt.Errorf("the engine failed: %w", err)
	}
	return nil
}

// drain dispatches all that was queued when it was called.
func (r *Runner) drain() error {
	for now := monotonic(); ; {
		if err := r.drainOnce(); err != nil || !r.engine.Behind(now) {
			return err
		}
	}
}

// answer does what was asked; a panic is the asker's.
func (r *Runner) answer(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("what was to be done in the loop panicked", "error", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("it panicked: %v", v)
		}
	}()
	return do()
}

// Do runs f in the loop and returns what f does. Any goroutine but the loop's own may call it, also before Run, for which it
// waits. If ctx ends before the loop begins with f, the error is ctx's and f is never run; ErrEnded: the loop has ended.
func (r *Runner) Do(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	r.engine.Rouse()
	defer r.engine.Settle()
	select {
	case r.asked <- question{f, done}:
	case <-ctx.Done():
		return fmt.Errorf("gave up before the loop came to it: %w", context.Cause(ctx))
	case <-r.ended:
		return ErrEnded
	}
	select {
	case err := <-done:
		return err
	case <-r.ended: // f may have ended its goroutine (runtime.Goexit)
	}
	select {
	case err := <-done:
		return err
	default:
		return ErrEnded
	}
}

// Process gives the identity of a living process by its pid; the error is pnotify.ErrNoProcess. It belongs in Do, as the tables do.
func (r *Runner) Process(pid int32) (watch.ID, error) {
	id, ok := r.engine.Identify(pid)
	if !ok || !r.engine.Alive(id) {
		return watch.ID{}, fmt.Errorf("process %d: %w", pid, pnotify.ErrNoProcess)
	}
	return id, nil
}

// monotonic is CLOCK_MONOTONIC, in ns, as events are stamped.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}
