package pnotify

import (
	"errors"
	"slices"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// balanced holds a subscriber's counts against each other and against what is expected.
func balanced(t *testing.T, n *Table, name string, want Counts) {
	t.Helper()
	c := n.Counts(name)
	if c != want || c.Init+c.Subscribed+c.Attached != c.Detached+uint64(c.Processes) {
		t.Errorf("%s: %+v, want %+v", name, c, want)
	}
}

func TestAPanicTakesItsSubscriberOut(t *testing.T) {
	w, n := newTables(t)
	var panics []string
	w.Panicked = func(p *watch.Panic) { panics = append(panics, p.Error()) }
	exits, execs := 0, 0
	for _, name := range []string{"first", "bad", "last"} {
		ev := &Events{Name: name, Fork: keep, Exec: func(*Subscriber, *watch.Event) { execs++ }}
		if name == "bad" {
			ev.Fork = func(_, _ *Subscriber, _ *watch.Event) Answer { panic("boom") }
			ev.Exit = func(*Subscriber, *watch.Event) { exits++ }
		}
		must(t, n.Register(ev))
		for _, p := range []int32{5, 7} {
			_, err := n.Subscribe(id(p), name, nil)
			must(t, err)
		}
	}
	must(t, fork(t, w, 5, 6)) // nobody is refused for it
	must(t, w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: id(6), TID: 6}))
	if execs != 2 || exits != 0 || n.Get(id(7), "bad") != nil || len(n.Registrations()) != 2 {
		t.Errorf("%d execs of the child, %d exits, process 7 has %v, %d registrations", execs, exits, n.Get(id(7), "bad"), len(n.Registrations()))
	}
	if want := []string{`"bad" panicked at fork, and was taken out: boom`}; w.Panics() != 1 || !slices.Equal(panics, want) {
		t.Errorf("%d panics, %q", w.Panics(), panics)
	}
	for _, name := range []string{"first", "last"} {
		balanced(t, n, name, Counts{Subscribed: 2, Attached: 1, Processes: 3})
	}
	if len(w.Watchers()) != 1 {
		t.Error("pnotify itself was taken out")
	}
}

func TestEveryCallbackMayPanic(t *testing.T) {
	bad := func(*Subscriber, *watch.Event) { panic("boom") }
	for _, c := range []struct {
		what   string
		events Events
		e      watch.Event
	}{
		{"exec", Events{Exec: bad}, watch.Event{Kind: watch.Exec}},
		{"uid", Events{UID: bad}, watch.Event{Kind: watch.UID}},
		{"gid", Events{GID: bad}, watch.Event{Kind: watch.GID}},
		{"exit", Events{Exit: bad}, watch.Event{Kind: watch.Free}},
	} {
		w, n := newTables(t)
		got := ""
		w.Panicked = func(p *watch.Panic) { got = p.Event }
		c.events.Name, c.events.Fork = "bad", keep
		must(t, n.Register(&c.events))
		for _, p := range []int32{5, 6} {
			_, err := n.Subscribe(id(p), "bad", nil)
			must(t, err)
		}
		c.e.Proc, c.e.TID = id(5), 5
		must(t, w.Dispatch(&c.e))
		if got != c.what || n.procs.Len() != 0 || len(n.Registrations()) != 0 {
			t.Errorf("%s: panicked at %q, %d lists and %d registrations left", c.what, got, n.procs.Len(), len(n.Registrations()))
		}
	}
}

func TestAnInitThatPanicsTakesEverythingBack(t *testing.T) {
	w, n := newTables(t, 1, 2)
	err := n.Register(&Events{Name: "bad", Fork: keep, Init: func(s *Subscriber) error {
		if s.Proc.PID == 2 {
			panic("boom")
		}
		return nil
	}})
	var p *watch.Panic
	if !errors.As(err, &p) || n.procs.Len() != 0 || len(n.Registrations()) != 0 || w.Panics() != 1 {
		t.Errorf("%v; %d lists, %d registrations left", err, n.procs.Len(), len(n.Registrations()))
	}
}

// TestCallbacksMayUnregisterThemselves: from each callback, with processes left, and one after it that goes on.
func TestCallbacksMayUnregisterThemselves(t *testing.T) {
	for _, at := range []string{"fork", "nosub", "exec", "exit"} {
		w, n := newTables(t)
		calls, exits := 0, 0
		leave := func() { calls++; must(t, n.Unregister("me")) }
		must(t, n.Register(&Events{
			Name: "me",
			Fork: func(_, _ *Subscriber, _ *watch.Event) Answer {
				switch at {
				case "fork":
					leave()
				case "nosub":
					leave()
					return NoSub
				}
				return Keep
			},
			Exec: func(*Subscriber, *watch.Event) { leave() },
			Exit: func(*Subscriber, *watch.Event) {
				if exits++; at == "exit" && exits == 1 {
					leave()
				}
			},
		}))
		must(t, n.Register(&Events{Name: "after", Fork: keep}))
		for _, name := range []string{"me", "after"} {
			for _, p := range []int32{5, 7} {
				_, err := n.Subscribe(id(p), name, nil)
				must(t, err)
			}
		}
		want := 2
		switch at {
		case "exec":
			must(t, w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: id(5), TID: 5}))
		case "exit":
			must(t, w.Dispatch(&watch.Event{Kind: watch.Free, Proc: id(5), TID: 5}))
		default:
			want = 3 // the child was on the list when its fork was told
			must(t, fork(t, w, 5, 6))
			balanced(t, n, "after", Counts{Subscribed: 2, Attached: 1, Processes: 3})
		}
		if calls != 1 || exits != want || n.Get(id(7), "me") != nil || n.Get(id(6), "me") != nil || len(n.Registrations()) != 1 {
			t.Errorf("%s: %d calls, %d exits (want %d), %d registrations", at, calls, exits, want, len(n.Registrations()))
		}
	}
}

// TestAForkCallbackMayUnregisterALaterOne, which is on the parent's list as it was: the child is not to get it.
func TestAForkCallbackMayUnregisterALaterOne(t *testing.T) {
	w, n := newTables(t)
	must(t, n.Register(&Events{Name: "first", Fork: func(_, _ *Subscriber, _ *watch.Event) Answer {
		must(t, n.Unregister("second"))
		return Keep
	}}))
	must(t, n.Register(&Events{Name: "second", Fork: func(_, _ *Subscriber, _ *watch.Event) Answer {
		t.Error("called after it was unregistered")
		return Keep
	}}))
	for _, name := range []string{"first", "second"} {
		_, err := n.Subscribe(id(5), name, nil)
		must(t, err)
	}
	must(t, fork(t, w, 5, 6))
	if got := len(n.procs.Get(id(6))); got != 1 {
		t.Errorf("the child has %d subscribers, want 1", got)
	}
}

// TestAChildIsSubscribedOnce, also where a watcher before pnotify has done that by hand.
func TestAChildIsSubscribedOnce(t *testing.T) {
	var w watch.Table
	var n *Table
	must(t, w.Register(watch.Watcher{Name: "eager", Clone: func(e *watch.Event) error {
		_, err := n.Subscribe(e.Proc, "s", "by hand")
		return err
	}}))
	n, err := New(&w)
	must(t, err)
	must(t, n.Register(&Events{Name: "s", Fork: keep}))
	_, err = n.Subscribe(id(5), "s", nil)
	must(t, err)
	must(t, fork(t, &w, 5, 6))
	if s := n.Get(id(6), "s"); len(n.procs.Get(id(6))) != 1 || s.Data != "by hand" {
		t.Errorf("the child has %d entries, the first of data %v", len(n.procs.Get(id(6))), s.Data)
	}
	balanced(t, n, "s", Counts{Subscribed: 2, Processes: 2})
}

func TestAnInitMayUnregisterItself(t *testing.T) {
	_, n := newTables(t, 1, 2, 3)
	inits, exits := 0, 0
	err := n.Register(&Events{
		Name: "once", Fork: keep,
		Init: func(*Subscriber) error { inits++; return n.Unregister("once") },
		Exit: func(*Subscriber, *watch.Event) { exits++ },
	})
	if !errors.Is(err, watch.ErrUnknown) || inits != 1 || exits != 1 || n.procs.Len() != 0 {
		t.Errorf("%v; %d inits, %d exits, %d lists left", err, inits, exits, n.procs.Len())
	}
}

// TestAProcessThatIsGone cannot be subscribed to, where somebody knows who lives.
func TestAProcessThatIsGone(t *testing.T) {
	w, n := newTables(t)
	w.Alive = func(i watch.ID) bool { return i == id(5) }
	must(t, n.Register(&Events{Name: "s", Fork: keep}))
	_, err := n.Subscribe(id(5), "s", nil)
	must(t, err)
	if _, err := n.Subscribe(id(6), "s", nil); !errors.Is(err, ErrNoProcess) {
		t.Errorf("got %v, want %v", err, ErrNoProcess)
	}
	if _, err := n.Subscribe(watch.ID{PID: 5, Gen: 2}, "s", nil); !errors.Is(err, ErrNoProcess) {
		t.Errorf("whose pid is used again: got %v, want %v", err, ErrNoProcess)
	}
}

func TestCountsOfEachWay(t *testing.T) {
	w, n := newTables(t, 1, 2)
	ev := (&counting{}).events("m")
	ev.Init = func(*Subscriber) error { return nil }
	must(t, n.Register(ev))
	must(t, fork(t, w, 1, 10))
	_, err := n.Subscribe(id(20), "m", nil)
	must(t, err)
	must(t, w.Dispatch(&watch.Event{Kind: watch.Free, Proc: id(10), TID: 10}))
	must(t, n.Unsubscribe(id(2), "m"))
	balanced(t, n, "m", Counts{Init: 2, Subscribed: 1, Attached: 1, Detached: 2, Processes: 2})
	balanced(t, n, "nobody", Counts{})
}

// TestNilIsNotInterested: all but Fork may be missing.
func TestNilIsNotInterested(t *testing.T) {
	w, n := newTables(t, 1)
	ev := &Events{Name: "forks", Fork: keep}
	must(t, n.Register(ev))
	_, err := n.Subscribe(id(5), "forks", nil)
	must(t, err)
	must(t, fork(t, w, 5, 6))
	for _, k := range watch.Kinds() {
		if k != watch.Clone {
			must(t, w.Dispatch(&watch.Event{Kind: k, Proc: id(6), TID: 6}))
		}
	}
	balanced(t, n, "forks", Counts{Subscribed: 1, Attached: 1, Detached: 1, Processes: 1})
	if got := ev.Hears(); !slices.Equal(got, []watch.Kind{watch.Clone}) {
		t.Errorf("hears %v", got)
	}
}

// TestWhatIsToldDoesNotAllocate: an event of a process that ten subscribers are on.
func TestWhatIsToldDoesNotAllocate(t *testing.T) {
	w, n := newTables(t)
	calls := 0
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		must(t, n.Register(&Events{Name: name, Fork: keep, Exec: func(*Subscriber, *watch.Event) { calls++ }}))
		_, err := n.Subscribe(id(5), name, nil)
		must(t, err)
	}
	for _, p := range []int32{5, 6} {
		e := &watch.Event{Kind: watch.Exec, Proc: id(p), TID: p}
		if a := testing.AllocsPerRun(100, func() { _ = w.Dispatch(e) }); a != 0 {
			t.Errorf("process %d: %v allocations", p, a)
		}
	}
	if calls != 10*101 {
		t.Errorf("%d calls", calls)
	}
}

func BenchmarkSubscribedExec(b *testing.B) {
	w, n := newTables(b)
	must(b, n.Register(&Events{Name: "s", Fork: keep, Exec: func(*Subscriber, *watch.Event) {}}))
	_, err := n.Subscribe(id(5), "s", nil)
	must(b, err)
	e := &watch.Event{Kind: watch.Exec, Proc: id(5), TID: 5}
	b.ReportAllocs()
	for b.Loop() {
		_ = w.Dispatch(e)
	}
}
