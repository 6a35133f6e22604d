package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// soon is how long anything here may take.
const soon = 20 * time.Second

func keep(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Keep }

// running gives a Runner whose loop runs until end is called, which gives its error.
func running(t *testing.T, e Engine, log *slog.Logger) (r *Runner, ctx context.Context, end func() error) {
	t.Helper()
	r, err := New(e, log)
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	until, stop := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- r.Run(until) }()
	end = sync.OnceValue(func() error { stop(); return <-result })
	t.Cleanup(func() {
		_ = end() // looked at by whoever ended it
		cancel()
	})
	return r, ctx, end
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// TestManyGoroutines subscribe, ask, register and unregister while events come: for the race detector, and the counts come out even.
func TestManyGoroutines(t *testing.T) {
	const askers, rounds = 8, 50
	e := newHandFed(1)
	r, ctx, end := running(t, e, quiet())
	inits, attached, detached := 0, 0, 0 // the loop's
	must(t, r.Do(ctx, func() error {
		return r.Notify.Register(&pnotify.Events{
			Name: "all",
			Init: func(*pnotify.Subscriber) error { inits++; return nil },
			Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { attached++; return pnotify.Keep },
			Exit: func(*pnotify.Subscriber, *watch.Event) { detached++ },
		})
	}))
	var all sync.WaitGroup
	for n := range askers {
		all.Go(func() { asker(t, ctx, r, e, fmt.Sprint("asker ", n), int32(1000*(n+1)), rounds) })
	}
	all.Wait()
	must(t, end())
	must(t, r.Notify.Unregister("all"))
	if inits != 1 || attached != askers*rounds || inits+attached != detached {
		t.Errorf("init %d + attached %d, detached %d", inits, attached, detached)
	}
	if e.roused != e.settled || e.roused != askers*rounds*2+1 {
		t.Errorf("roused %d times, settled %d", e.roused, e.settled)
	}
}

// asker has children of its own, and is told of each.
func asker(t *testing.T, ctx context.Context, r *Runner, e *handFed, name string, first int32, rounds int) {
	for pid := first; pid < first+int32(rounds); pid++ {
		e.happen(fork(1, pid))
		exits := 0
		err := r.Do(ctx, func() error {
			who, err := r.Process(pid) // forked before Do was called
			if err != nil {
				return err
			}
			err = r.Notify.Register(&pnotify.Events{Name: name, Fork: keep, Exit: func(s *pnotify.Subscriber, _ *watch.Event) { exits += s.Data.(int) }})
			if err != nil {
				return err
			}
			_, err = r.Notify.Subscribe(who, name, 1)
			return err
		})
		if err != nil {
			t.Error(err)
			return
		}
		e.happen(free(pid))
		err = r.Do(ctx, func() error {
			if exits != 1 {
				return fmt.Errorf("%s: told of %d exits of process %d", name, exits, pid)
			}
			return r.Notify.Unregister(name)
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}

func TestErrorsOfProcesses(t *testing.T) {
	e := newHandFed(5)
	r, ctx, _ := running(t, e, quiet())
	must(t, r.Do(ctx, func() error { return r.Notify.Register(&pnotify.Events{Name: "s", Fork: keep}) }))
	subscribe := func(pid int32, name string) error {
		return r.Do(ctx, func() error {
			who, err := r.Process(pid)
			if err == nil {
				_, err = r.Notify.Subscribe(who, name, nil)
			}
			return err
		})
	}
	must(t, subscribe(5, "s"))
	e.happen(fork(5, 6), free(6))
	for _, c := range []struct{ got, want error }{
		{subscribe(7, "s"), pnotify.ErrNoProcess},
		{subscribe(6, "s"), pnotify.ErrNoProcess}, // has gone
		{subscribe(5, "s"), pnotify.ErrSubscribed},
		{subscribe(5, "nobody"), watch.ErrUnknown},
		{r.Do(ctx, func() error { _, err := r.Notify.Subscribe(id(6), "s", nil); return err }), pnotify.ErrNoProcess},
		{r.Do(ctx, func() error { return r.Notify.Register(&pnotify.Events{Name: "s", Fork: keep}) }), watch.ErrDuplicate},
		{r.Do(ctx, func() error { return r.Watch.Register(watch.Watcher{Name: pnotify.Watcher}) }), watch.ErrDuplicate},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

// TestDoBelongsToTheLoop: what happened before it is told before it, and who is in the loop already waits for itself.
func TestDoBelongsToTheLoop(t *testing.T) {
	e := newHandFed(1)
	r, ctx, _ := running(t, e, quiet())
	var inside error
	must(t, r.Do(ctx, func() error {
		return r.Watch.Register(watch.Watcher{Name: "w", Exec: func(*watch.Event) error {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			inside = r.Do(short, func() error { t.Error("done in the middle of an event"); return nil })
			return nil
		}})
	}))
	e.happen(watch.Event{Kind: watch.Exec, Proc: id(1), TID: 1})
	must(t, r.Do(ctx, func() error {
		if !errors.Is(inside, context.DeadlineExceeded) {
			t.Errorf("Do in a callback: %v", inside)
		}
		return nil
	}))
	want := errors.New("mine")
	if err := r.Do(ctx, func() error { return want }); err != want {
		t.Errorf("got %v, want what the function returned", err)
	}
}

// TestACallbackThatDoesNotReturn holds up the loop, and nobody who has a deadline.
func TestACallbackThatDoesNotReturn(t *testing.T) {
	e := newHandFed(1)
	r, ctx, _ := running(t, e, quiet())
	stuck, release := make(chan bool), make(chan bool)
	must(t, r.Do(ctx, func() error {
		return r.Watch.Register(watch.Watcher{Name: "stuck", Exec: func(*watch.Event) error { stuck <- true; <-release; return nil }})
	}))
	e.happen(watch.Event{Kind: watch.Exec, Proc: id(1), TID: 1})
	<-stuck
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := r.Do(short, func() error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the deadline has passed", err)
	}
	close(release)
	must(t, r.Do(ctx, func() error { return nil }))
}

func TestPanics(t *testing.T) {
	var logged strings.Builder
	e := newHandFed(1)
	r, ctx, end := running(t, e, slog.New(slog.NewTextHandler(&logged, nil)))
	good := 0
	must(t, r.Do(ctx, func() error {
		return errors.Join(
			r.Watch.Register(watch.Watcher{Name: "bad", Exec: func(*watch.Event) error { panic("boom") }}),
			r.Watch.Register(watch.Watcher{Name: "good", Exec: func(*watch.Event) error { good++; return nil }}))
	}))
	for range 2 {
		e.happen(watch.Event{Kind: watch.Exec, Proc: id(1), TID: 1})
		must(t, r.Do(ctx, func() error { return nil }))
	}
	if err := r.Do(ctx, func() error { panic("bang") }); err == nil || !strings.Contains(err.Error(), "bang") {
		t.Errorf("a Do that panicked: %v", err)
	}
	must(t, end())
	if good != 2 || r.Watch.Panics() != 1 || !strings.Contains(logged.String(), "boom") || !strings.Contains(logged.String(), "runner_test.go") {
		t.Errorf("%d events, %d panics, logged %s", good, r.Watch.Panics(), logged.String())
	}
}

func TestTheEnd(t *testing.T) {
	e := newHandFed(1)
	r, ctx, end := running(t, e, quiet())
	seen := 0
	must(t, r.Do(ctx, func() error {
		return r.Watch.Register(watch.Watcher{Name: "w", Free: func(*watch.Event) error { seen++; return nil }})
	}))
	if err := r.Run(ctx); !errors.Is(err, ErrRunning) {
		t.Errorf("a second Run: %v", err)
	}
	e.mu.Lock()
	e.queue = append(e.queue, free(1)) // of which nobody is told that it is ready
	e.mu.Unlock()
	must(t, end())
	if seen != 1 {
		t.Error("what had been told when the loop was ended was not dispatched")
	}
	if err := r.Do(ctx, func() error { return nil }); !errors.Is(err, ErrEnded) {
		t.Errorf("Do after the end: %v", err)
	}
}

func TestAnEngineThatFails(t *testing.T) {
	e, broken := newHandFed(1), errors.New("broken")
	r, ctx, end := running(t, e, quiet())
	e.fail(broken)
	<-r.ended
	if err := end(); !errors.Is(err, broken) {
		t.Errorf("Run: %v", err)
	}
	if err := r.Do(ctx, func() error { return nil }); !errors.Is(err, ErrEnded) {
		t.Errorf("Do: %v", err)
	}
}

// TestADoThatEndsTheLoop, as t.Fatal would: nobody waits for ever.
func TestADoThatEndsTheLoop(t *testing.T) {
	r, err := New(newHandFed(1), quiet())
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	go func() { _ = r.Run(ctx) }() // never returns
	if err := r.Do(ctx, func() error { runtime.Goexit(); return nil }); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want %v", err, ErrEnded)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
