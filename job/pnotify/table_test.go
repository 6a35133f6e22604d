package pnotify

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/watch"
)

func id(pid int32) watch.ID { return watch.ID{PID: pid, Gen: 1} }

func newTables(t rapid.TB, existing ...int32) (*watch.Table, *Table) {
	w := &watch.Table{Existing: func() iter.Seq[watch.ID] {
		return func(yield func(watch.ID) bool) {
			for _, p := range existing {
				if !yield(id(p)) {
					return
				}
			}
		}
	}}
	n, err := New(w)
	if err != nil {
		t.Fatal(err)
	}
	return w, n
}

func fork(t rapid.TB, w *watch.Table, parent, child int32) error {
	t.Helper()
	return w.Dispatch(&watch.Event{Kind: watch.Clone, Proc: id(child), TID: child, Parent: id(parent)})
}

func keep(_, _ *Subscriber, _ *watch.Event) Answer { return Keep }

// counting is the test module of the pnotify document: attached + init = detached when everything has gone.
type counting struct{ init, attach, detach, exec int }

func (c *counting) events(name string) *Events {
	return &Events{
		Name: name, Owner: "test", Data: c,
		Fork: func(_, _ *Subscriber, _ *watch.Event) Answer { c.attach++; return Keep },
		Exec: func(*Subscriber, *watch.Event) { c.exec++ },
		Exit: func(*Subscriber, *watch.Event) { c.detach++ },
	}
}

func TestTheDocumentsTestModule(t *testing.T) {
	w, n := newTables(t, 1, 2, 3)
	c := &counting{}
	ev := c.events("test_module")
	ev.Init = func(s *Subscriber) error {
		if n.Get(s.Proc, "test_module") == nil {
			t.Errorf("process %d is not subscribed in its init", s.Proc.PID)
		}
		c.init++
		return nil
	}
	must(t, n.Register(ev))
	must(t, fork(t, w, 1, 10))
	must(t, fork(t, w, 10, 11))
	must(t, w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: id(11), TID: 11}))
	must(t, w.Dispatch(&watch.Event{Kind: watch.Free, Proc: id(10), TID: 10}))
	must(t, n.Unregister("test_module"))
	if c.init != 3 || c.attach != 2 || c.exec != 1 || c.attach+c.init != c.detach {
		t.Errorf("init %d + attach %d != detach %d, exec %d", c.init, c.attach, c.detach, c.exec)
	}
}

func TestChildGetsTheParentsListAndTheCallbackDecides(t *testing.T) {
	w, n := newTables(t)
	answers := map[string]Answer{"keep": Keep, "nosub": NoSub}
	for _, name := range []string{"keep", "nosub"} {
		must(t, n.Register(&Events{Name: name, Fork: func(child, parent *Subscriber, _ *watch.Event) Answer {
			child.Data = parent.Data.(string) + "'"
			return answers[name]
		}}))
		_, err := n.Subscribe(id(5), name, name)
		must(t, err)
	}
	must(t, fork(t, w, 5, 6))
	if s := n.Get(id(6), "keep"); s == nil || s.Data != "keep'" {
		t.Errorf("child's subscriber is %+v", s)
	}
	if s := n.Get(id(6), "nosub"); s != nil {
		t.Error("a subscriber that said NoSub is on the child's list")
	}
	if s := n.Get(id(5), "nosub"); s == nil {
		t.Error("the parent lost its subscriber")
	}
}

func TestRefuseGoesToWhoeverDispatches(t *testing.T) {
	w, n := newTables(t)
	must(t, n.Register(&Events{Name: "no", Fork: func(_, _ *Subscriber, _ *watch.Event) Answer { return Refuse }}))
	must(t, n.Register(&Events{Name: "yes", Fork: keep}))
	for _, name := range []string{"no", "yes"} {
		_, err := n.Subscribe(id(5), name, nil)
		must(t, err)
	}
	if err := fork(t, w, 5, 6); !errors.Is(err, watch.ErrRefuse) {
		t.Errorf("got %v, want a refusal", err)
	}
	if n.Refused() != 1 || n.Get(id(6), "no") == nil || n.Get(id(6), "yes") == nil {
		t.Error("not everybody follows the child until it is gone")
	}
	if err := fork(t, w, 6, 7); !errors.Is(err, watch.ErrRefuse) {
		t.Errorf("what the child forked before it was killed: got %v, want a refusal", err)
	}
}

func TestThreadsShareTheList(t *testing.T) {
	w, n := newTables(t)
	calls := 0
	must(t, n.Register(&Events{Name: "s", Fork: func(_, _ *Subscriber, _ *watch.Event) Answer { calls++; return Keep }}))
	_, err := n.Subscribe(id(5), "s", nil)
	must(t, err)
	must(t, w.Dispatch(&watch.Event{Kind: watch.Clone, Proc: id(5), TID: 7, Parent: id(1), Thread: true}))
	if calls != 0 {
		t.Error("a new thread was taken for a new process")
	}
}

func TestFailingInitRollsBack(t *testing.T) {
	_, n := newTables(t, 1, 2, 3)
	c := &counting{}
	ev := c.events("m")
	ev.Init = func(s *Subscriber) error {
		if s.Proc.PID == 3 {
			return errors.New("boom")
		}
		c.init++
		return nil
	}
	if err := n.Register(ev); err == nil {
		t.Fatal("the init's error was lost")
	}
	if c.detach != 3 || n.Processes("m") != 0 || len(n.Registrations()) != 0 {
		t.Errorf("%d exits, %d processes, %d registrations left; want 3, 0, 0", c.detach, n.Processes("m"), len(n.Registrations()))
	}
}

func TestErrors(t *testing.T) {
	_, n := newTables(t)
	must(t, n.Register(&Events{Name: "a", Fork: keep}))
	_, err := n.Subscribe(id(1), "a", nil)
	must(t, err)
	_, twice := n.Subscribe(id(1), "a", nil)
	_, unknown := n.Subscribe(id(1), "b", nil)
	_, nobody := n.Subscribe(watch.ID{}, "a", nil)
	for _, c := range []struct{ got, want error }{
		{n.Register(&Events{Name: "a", Fork: keep}), watch.ErrDuplicate},
		{n.Register(&Events{Name: "b"}), ErrNoFork},
		{n.Register(&Events{Fork: keep}), watch.ErrName},
		{n.Unregister("b"), watch.ErrUnknown},
		{n.Unsubscribe(id(2), "a"), ErrNotSubscribed},
		{twice, ErrSubscribed}, {unknown, watch.ErrUnknown}, {nobody, ErrNoProcess},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

func TestCallbacksMayEndTheirOwnSubscription(t *testing.T) {
	w, n := newTables(t)
	exits, later := 0, 0
	must(t, n.Register(&Events{
		Name: "once", Fork: keep,
		Exec: func(s *Subscriber, _ *watch.Event) { must(t, n.Unsubscribe(s.Proc, "once")) },
		Exit: func(*Subscriber, *watch.Event) { exits++ },
	}))
	must(t, n.Register(&Events{Name: "other", Fork: keep, Exec: func(*Subscriber, *watch.Event) { later++ }}))
	for _, name := range []string{"once", "other"} {
		_, err := n.Subscribe(id(5), name, nil)
		must(t, err)
	}
	for range 2 {
		must(t, w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: id(5), TID: 5}))
	}
	if exits != 1 || later != 2 {
		t.Errorf("%d exits, %d calls of the other; want 1, 2", exits, later)
	}
}

// TestAgainstModel follows random forks, exits and subscriptions beside a model that recomputes every list from scratch.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, n := newTables(rt)
		names := []string{"a", "b"}
		exits := map[string]int{}
		for _, name := range names {
			must(rt, n.Register(&Events{
				Name: name,
				Fork: func(child, parent *Subscriber, _ *watch.Event) Answer {
					if name == "b" && child.Proc.PID%3 == 0 {
						return NoSub
					}
					return Keep
				},
				Exit: func(*Subscriber, *watch.Event) { exits[name]++ },
			}))
		}
		model := map[watch.ID][]string{}
		alive := []watch.ID{id(1)}
		wantExits := map[string]int{}
		next := int32(2)
		pick := func(rt *rapid.T) watch.ID { return alive[rapid.IntRange(0, len(alive)-1).Draw(rt, "which")] }
		rt.Repeat(map[string]func(*rapid.T){
			"fork": func(rt *rapid.T) {
				p, c := pick(rt), id(next)
				next++
				must(rt, w.Dispatch(&watch.Event{Kind: watch.Clone, Proc: c, TID: c.PID, Parent: p}))
				alive = append(alive, c)
				for _, name := range model[p] {
					if name == "b" && c.PID%3 == 0 {
						continue
					}
					model[c] = append(model[c], name)
				}
			},
			"exit": func(rt *rapid.T) {
				p := pick(rt)
				if p == id(1) {
					return
				}
				must(rt, w.Dispatch(&watch.Event{Kind: watch.Free, Proc: p, TID: p.PID}))
				for _, name := range model[p] {
					wantExits[name]++
				}
				delete(model, p)
				alive = slices.DeleteFunc(alive, func(i watch.ID) bool { return i == p })
			},
			"subscribe": func(rt *rapid.T) {
				p, name := pick(rt), rapid.SampledFrom(names).Draw(rt, "name")
				_, err := n.Subscribe(p, name, nil)
				if has := slices.Contains(model[p], name); has != errors.Is(err, ErrSubscribed) {
					rt.Fatalf("subscribe: %v, subscribed %v", err, has)
				}
				if err == nil {
					model[p] = append(model[p], name)
				}
			},
			"unsubscribe": func(rt *rapid.T) {
				p, name := pick(rt), rapid.SampledFrom(names).Draw(rt, "name")
				i := slices.Index(model[p], name)
				if err := n.Unsubscribe(p, name); (i < 0) != errors.Is(err, ErrNotSubscribed) {
					rt.Fatalf("unsubscribe: %v, index %d", err, i)
				}
				if i >= 0 {
					model[p] = slices.Delete(slices.Clone(model[p]), i, i+1)
					wantExits[name]++
				}
			},
			"": func(rt *rapid.T) {
				for _, p := range alive {
					var got []string
					for _, s := range n.procs.Get(p) {
						got = append(got, s.Name())
					}
					if !slices.Equal(got, model[p]) {
						rt.Fatalf("process %d has %v, want %v", p.PID, got, model[p])
					}
				}
				for _, name := range names {
					if c := n.Counts(name); c.Init+c.Subscribed+c.Attached != c.Detached+uint64(c.Processes) || c.Detached != uint64(exits[name]) {
						rt.Fatalf("%s: %+v, %d exits", name, c, exits[name])
					}
				}
				if n.procs.Len() > len(alive) || fmt.Sprint(exits) != fmt.Sprint(wantExits) {
					rt.Fatalf("%d lists for %d processes, exits %v want %v", n.procs.Len(), len(alive), exits, wantExits)
				}
			},
		})
	})
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkUntrackedFork(b *testing.B) {
	w, n := newTables(b)
	must(b, n.Register(&Events{Name: "s", Fork: keep}))
	for i := range int32(20000) {
		_, err := n.Subscribe(id(i+100000), "s", nil)
		must(b, err)
	}
	e := &watch.Event{Kind: watch.Clone, Proc: id(6), TID: 6, Parent: id(5)}
	b.ReportAllocs()
	for b.Loop() {
		_ = w.Dispatch(e)
	}
}
