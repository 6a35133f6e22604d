package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// TestWhoPanics: the books do not go on with a table that may be wrong; anybody else is taken out.
func TestWhoPanics(t *testing.T) {
	for _, c := range []struct {
		name string
		ends bool
	}{
		{"audit", false}, {watcherBooks, true}, {watcherLoss, true}, {"subscriber", false}, {job.Subscriber, true},
	} {
		var logged strings.Builder
		d := &jobd{log: slog.New(slog.NewTextHandler(&logged, nil))}
		w := &watch.Table{Panicked: d.panicked}
		n, err := pnotify.New(w)
		if err != nil {
			t.Fatal(err)
		}
		if c.name == "subscriber" || c.name == job.Subscriber {
			err = n.Register(&pnotify.Events{Name: c.name,
				Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Keep },
				Exec: func(*pnotify.Subscriber, *watch.Event) { panic("boom") }})
			if err == nil {
				_, err = n.Subscribe(watch.ID{PID: 5, Gen: 1}, c.name, nil)
			}
		} else {
			err = w.Register(watch.Watcher{Name: c.name, Exec: func(*watch.Event) error { panic("boom") }})
		}
		if err != nil {
			t.Fatal(err)
		}
		ended := func() (ended bool) {
			defer func() { ended = recover() != nil }()
			_ = w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: watch.ID{PID: 5, Gen: 1}, TID: 5})
			return false
		}()
		if ended != c.ends || !c.ends && (!strings.Contains(logged.String(), "boom") || !strings.Contains(logged.String(), "panic_test.go")) {
			t.Errorf("%s: ended jobd: %v; logged %q", c.name, ended, logged.String())
		}
	}
}
