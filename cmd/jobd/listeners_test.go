package main

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

func TestListeners(t *testing.T) {
	w := &watch.Table{Existing: func() iter.Seq[watch.ID] { return slices.Values([]watch.ID{{PID: 1, Gen: 1}, {PID: 2, Gen: 1}}) }}
	n, err := pnotify.New(w)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		w.Register(watch.Watcher{Name: "execs", Owner: "test", Init: func(*watch.Event) error { return nil }, Exec: func(*watch.Event) error { return errors.New("no") }}),
		n.Register(&pnotify.Events{Name: "all", Owner: "test", Init: func(*pnotify.Subscriber) error { return nil },
			Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Keep }}))
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: watch.ID{PID: 1, Gen: 1}}) // answers that no
	_ = w.Dispatch(&watch.Event{Kind: watch.Clone, Proc: watch.ID{PID: 3, Gen: 1}, Parent: watch.ID{PID: 1, Gen: 1}})
	_ = w.Dispatch(&watch.Event{Kind: watch.Free, Proc: watch.ID{PID: 2, Gen: 1}})
	want := []control.SubscriberInfo{
		{Name: "pnotify", Owner: "jobd", Kind: "watcher", Hears: []string{"clone", "exec", "uid", "gid", "free"}, Errors: new(uint64)},
		{Name: "execs", Owner: "test", Kind: "watcher", Init: 2, Hears: []string{"init", "exec"}, Errors: new(uint64(1))},
		{Name: "all", Owner: "test", Kind: "subscriber", Init: 2, Hears: []string{"init", "clone"},
			Processes: new(2), Subscribed: new(uint64(0)), Attached: new(uint64(1)), Detached: new(uint64(1))},
	}
	if diff := cmp.Diff(want, listeners(w, n)); diff != "" {
		t.Error(diff)
	}
}
