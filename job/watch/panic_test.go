package watch

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestAPanicTakesItsWatcherOut(t *testing.T) {
	var table Table
	var told []*Panic
	var stack string
	table.Panicked = func(p *Panic) { told, stack = append(told, p), string(debug.Stack()) }
	var got []string
	note := func(name string) Func { return func(*Event) error { got = append(got, name); return nil } }
	must(t, table.Register(Watcher{Name: "first", Exec: note("first")}))
	must(t, table.Register(Watcher{Name: "bad", Exec: blowUp, Exit: note("bad")}))
	must(t, table.Register(Watcher{Name: "last", Exec: note("last")}))
	err := table.Dispatch(&Event{Kind: Exec})
	var p *Panic
	if !errors.As(err, &p) || p.Name != "bad" || p.Event != "exec" || p.Value != "boom" || p.Error() != `"bad" panicked at exec, and was taken out: boom` {
		t.Errorf("got %v", err)
	}
	must(t, table.Dispatch(&Event{Kind: Exec}))
	must(t, table.Dispatch(&Event{Kind: Exit}))
	if want := []string{"first", "last", "first", "last"}; !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
	if _, errs := table.Count(Exec); table.Panics() != 1 || errs != 1 || !slices.Equal(told, []*Panic{p}) || len(table.Watchers()) != 2 {
		t.Errorf("%d panics, %d errors, told of %v, %d watchers", table.Panics(), errs, told, len(table.Watchers()))
	}
	if !strings.Contains(stack, "blowUp") {
		t.Error("the stack does not say where it panicked")
	}
	must(t, table.Register(Watcher{Name: "bad"})) // the name is free again
}

func blowUp(*Event) error { panic("boom") }

// TestAPanicIsNoRefusal: neither of its own, nor of what it hides.
func TestAPanicIsNoRefusal(t *testing.T) {
	var table Table
	must(t, table.Register(Watcher{Name: "bad", Clone: func(*Event) error { panic(fmt.Errorf("at heart: %w", ErrRefuse)) }}))
	if err := table.Dispatch(&Event{Kind: Clone}); err == nil || errors.Is(err, ErrRefuse) {
		t.Errorf("got %v, want an error that is no refusal", err)
	}
}

// TestARefusalGoesBeforeOtherErrors: who only fails cannot let through what another refuses.
func TestARefusalGoesBeforeOtherErrors(t *testing.T) {
	var table Table
	must(t, table.Register(Watcher{Name: "fails", Clone: func(*Event) error { return errors.New("sorry") }}))
	must(t, table.Register(Watcher{Name: "bad", Clone: blowUp}))
	must(t, table.Register(Watcher{Name: "no", Clone: func(*Event) error { return fmt.Errorf("full: %w", ErrRefuse) }}))
	must(t, table.Register(Watcher{Name: "no, too", Clone: func(*Event) error { return ErrRefuse }}))
	if err := table.Dispatch(&Event{Kind: Clone}); err == nil || err.Error() != "full: refused" {
		t.Errorf("got %v, want the first refusal", err)
	}
	if _, errs := table.Answers("no"); errs != 1 {
		t.Errorf("%d errors are the watcher's own", errs)
	}
}

func TestAnInitThatPanicsTakesTheRegistrationBack(t *testing.T) {
	table := Table{Existing: tasks(1, 2)}
	freed := 0
	err := table.Register(Watcher{
		Name: "bad",
		Init: func(e *Event) error {
			if e.Proc.PID == 2 {
				panic("boom")
			}
			return nil
		},
		Free: func(*Event) error { freed++; return nil },
	})
	var p *Panic
	if !errors.As(err, &p) || p.Event != "init" || len(table.Watchers()) != 0 || freed != 0 {
		t.Errorf("got %v, %d watchers, %d freed: who panicked is not called any more", err, len(table.Watchers()), freed)
	}
}

func TestAnInitMayTakeItselfOut(t *testing.T) {
	table := Table{Existing: tasks(1, 2, 3)}
	inits, frees := 0, 0
	err := table.Register(Watcher{
		Name: "once",
		Init: func(*Event) error { inits++; return table.Unregister("once") },
		Free: func(*Event) error { frees++; return nil },
	})
	if !errors.Is(err, ErrUnknown) || inits != 1 || frees != 1 || len(table.Watchers()) != 0 {
		t.Errorf("%v; %d inits, %d frees, want 1, 1", err, inits, frees)
	}
}

// TestAPanicThatGoesOn: Panicked may say that it is not to be survived.
func TestAPanicThatGoesOn(t *testing.T) {
	table := Table{Panicked: func(p *Panic) { panic(p) }}
	must(t, table.Register(Watcher{Name: "bad", Exec: blowUp}))
	defer func() {
		if p, ok := recover().(*Panic); !ok || p.Name != "bad" {
			t.Errorf("recovered %v", p)
		}
	}()
	_ = table.Dispatch(&Event{Kind: Exec})
	t.Error("it returned")
}

func TestHears(t *testing.T) {
	w := Watcher{Name: "w", Exec: blowUp, Free: blowUp, Init: blowUp}
	if got, want := w.Hears(), []Kind{Init, Exec, Free}; !slices.Equal(got, want) {
		t.Errorf("hears %v, want %v", got, want)
	}
}
