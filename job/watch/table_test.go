package watch

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func tasks(pids ...int32) func() iter.Seq[ID] {
	return func() iter.Seq[ID] {
		return func(yield func(ID) bool) {
			for _, p := range pids {
				if !yield(ID{PID: p, Gen: 1}) {
					return
				}
			}
		}
	}
}

func TestWatchersAreCalledInTheOrderOfRegistration(t *testing.T) {
	var table Table
	var got []string
	for _, name := range []string{"a", "b", "c"} {
		must(t, table.Register(Watcher{Name: name, Exec: func(*Event) error { got = append(got, name); return nil }}))
	}
	must(t, table.Dispatch(&Event{Kind: Exec}))
	must(t, table.Unregister("b"))
	must(t, table.Dispatch(&Event{Kind: Exec}))
	if want := []string{"a", "b", "c", "a", "c"}; !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
}

func TestEveryKindHasItsOwnList(t *testing.T) {
	var table Table
	got := make(map[Kind]int)
	f := func(e *Event) error { got[e.Kind]++; return nil }
	must(t, table.Register(Watcher{Name: "all", Clone: f, Exec: f, UID: f, GID: f, Exit: f, Free: f, Lost: f, Used: f, Refuse: f}))
	must(t, table.Register(Watcher{Name: "exec", Exec: f}))
	for _, k := range Kinds() {
		must(t, table.Dispatch(&Event{Kind: k}))
	}
	for _, k := range Kinds() {
		want := 1
		switch k {
		case Init:
			want = 0 // called at registration only
		case Exec:
			want = 2
		}
		if got[k] != want {
			t.Errorf("%s: %d calls, want %d", k, got[k], want)
		}
	}
}

func TestNamesOfKinds(t *testing.T) {
	want := []string{"init", "clone", "exec", "uid", "gid", "exit", "free", "lost", "used", "refuse"}
	var got []string
	for _, k := range Kinds() {
		got = append(got, k.String())
	}
	if !slices.Equal(got, want) || kinds.String() != "unknown" {
		t.Errorf("kinds are %v, want %v; the one after them is %s", got, want, kinds)
	}
}

// TestUsedAfterFree: whoever wants to know of the use alone is told of that alone, with the process that is gone.
func TestUsedAfterFree(t *testing.T) {
	var table Table
	var got []*Usage
	must(t, table.Register(Watcher{Name: "books", Used: func(e *Event) error {
		if e.Proc != (ID{PID: 7, Gen: 1}) {
			t.Errorf("of %v", e.Proc)
		}
		got = append(got, e.Usage)
		return nil
	}}))
	u := &Usage{CPU: 5}
	must(t, table.Dispatch(&Event{Kind: Free, Proc: ID{PID: 7, Gen: 1}, Later: true}))
	must(t, table.Dispatch(&Event{Kind: Used, Proc: ID{PID: 7, Gen: 1}, Usage: u}))
	if events, _ := table.Count(Used); events != 1 || !slices.Equal(got, []*Usage{u}) {
		t.Errorf("%d events, told of %v", events, got)
	}
}

func TestInitRunsForExistingTasks(t *testing.T) {
	table := Table{Existing: tasks(1, 7, 9)}
	var got []int32
	must(t, table.Register(Watcher{Name: "w", Init: func(e *Event) error { got = append(got, e.Proc.PID); return nil }}))
	if want := []int32{1, 7, 9}; !slices.Equal(got, want) {
		t.Errorf("init for %v, want %v", got, want)
	}
}

func TestFailingInitTakesTheRegistrationBack(t *testing.T) {
	table := Table{Existing: tasks(1, 7, 9)}
	boom := errors.New("boom")
	var freed []int32
	err := table.Register(Watcher{
		Name: "w",
		Init: func(e *Event) error {
			if e.Proc.PID == 9 {
				return boom
			}
			return nil
		},
		Exec: func(*Event) error { t.Error("called after it was taken back"); return nil },
		Free: func(e *Event) error { freed = append(freed, e.Proc.PID); return nil },
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want the error of the init", err)
	}
	if want := []int32{1, 7}; !slices.Equal(freed, want) {
		t.Errorf("freed %v, want %v: those whose init had succeeded", freed, want)
	}
	must(t, table.Dispatch(&Event{Kind: Exec}))
	if n := len(table.Watchers()); n != 0 {
		t.Errorf("%d watchers left", n)
	}
	must(t, table.Register(Watcher{Name: "w"})) // the name is free again
}

func TestRefusalIsReturnedAndEverybodyIsCalled(t *testing.T) {
	var table Table
	calls := 0
	must(t, table.Register(Watcher{Name: "no", Clone: func(*Event) error { calls++; return fmt.Errorf("full: %w", ErrRefuse) }}))
	must(t, table.Register(Watcher{Name: "other", Clone: func(*Event) error { calls++; return errors.New("later") }}))
	if err := table.Dispatch(&Event{Kind: Clone}); !errors.Is(err, ErrRefuse) {
		t.Errorf("got %v, want the first error, a refusal", err)
	}
	if calls != 2 {
		t.Errorf("%d calls, want 2", calls)
	}
}

func TestErrorOfAFreeStopsNobodyAndIsCounted(t *testing.T) {
	var table Table
	calls := 0
	for _, name := range []string{"a", "b", "c"} {
		must(t, table.Register(Watcher{Name: name, Free: func(*Event) error { calls++; return errors.New(name) }}))
	}
	if err := table.Dispatch(&Event{Kind: Free}); err == nil || err.Error() != "a" {
		t.Errorf("got %v, want the first error", err)
	}
	if events, errs := table.Count(Free); calls != 3 || events != 1 || errs != 3 {
		t.Errorf("%d calls, %d events, %d errors; want 3, 1, 3", calls, events, errs)
	}
}

func TestListsAreFixedWhileDispatching(t *testing.T) {
	var table Table
	var got []string
	note := func(name string) Func { return func(*Event) error { got = append(got, name); return nil } }
	must(t, table.Register(Watcher{Name: "first", Exec: func(*Event) error {
		got = append(got, "first")
		if err := table.Unregister("second"); err != nil {
			return nil // the second time round
		}
		return table.Register(Watcher{Name: "late", Exec: note("late")})
	}}))
	must(t, table.Register(Watcher{Name: "second", Exec: note("second")}))
	must(t, table.Dispatch(&Event{Kind: Exec}))
	must(t, table.Dispatch(&Event{Kind: Exec}))
	if want := []string{"first", "second", "first", "late"}; !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
}

func TestNames(t *testing.T) {
	var table Table
	must(t, table.Register(Watcher{Name: "a"}))
	for _, c := range []struct {
		err  error
		want error
	}{
		{table.Register(Watcher{Name: "a"}), ErrDuplicate},
		{table.Register(Watcher{}), ErrName},
		{table.Unregister("b"), ErrUnknown},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("got %v, want %v", c.err, c.want)
		}
	}
	if err := table.Dispatch(&Event{Kind: kinds}); err == nil {
		t.Error("a kind that is none was dispatched")
	}
}

func TestDispatchDoesNotAllocate(t *testing.T) {
	var table Table
	for i := range 10 {
		must(t, table.Register(Watcher{Name: fmt.Sprint(i), Exec: func(*Event) error { return nil }}))
	}
	e := &Event{Kind: Exec}
	if n := testing.AllocsPerRun(100, func() { _ = table.Dispatch(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAgainstModel holds the table against a list that is walked anew each time.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var table Table
		var model, got []string
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		rt.Repeat(map[string]func(*rapid.T){
			"register": func(rt *rapid.T) {
				n := name.Draw(rt, "name")
				err := table.Register(Watcher{Name: n, Exec: func(*Event) error { got = append(got, n); return nil }})
				if slices.Contains(model, n) != errors.Is(err, ErrDuplicate) {
					rt.Fatalf("register %s: %v with %v there", n, err, model)
				}
				if err == nil {
					model = append(model, n)
				}
			},
			"unregister": func(rt *rapid.T) {
				n := name.Draw(rt, "name")
				err := table.Unregister(n)
				i := slices.Index(model, n)
				if (i < 0) != errors.Is(err, ErrUnknown) {
					rt.Fatalf("unregister %s: %v with %v there", n, err, model)
				}
				if i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			},
			"dispatch": func(rt *rapid.T) {
				got = nil
				if err := table.Dispatch(&Event{Kind: Exec}); err != nil || !slices.Equal(got, model) {
					rt.Fatalf("called %v, want %v (%v)", got, model, err)
				}
			},
		})
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkDispatchTenWatchers(b *testing.B) {
	var table Table
	for i := range 10 {
		must(b, table.Register(Watcher{Name: fmt.Sprint(i), Exec: func(*Event) error { return nil }}))
	}
	e := &Event{Kind: Exec}
	b.ReportAllocs()
	for b.Loop() {
		_ = table.Dispatch(e)
	}
}
