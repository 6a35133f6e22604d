// Package watch is Task Watchers: one ordered list of watchers for each event in a task's life, for the whole system.
// It is the ground that pnotify stands on.
//
// Whoever wants to know registers a Watcher, in one line:
//
//	table.Register(watch.Watcher{Name: "audit", Exec: logExec})
//
// and is called for each event in the order of registration. Lists never change while an event goes along them: a
// registration made by a watcher counts from the next event on, so there is no lock on the way. The package is pure.
// It never reads a socket, a file or a clock, never starts a goroutine, and is not safe for use from several at once:
// one loop owns a Table. Where events come from is the engine's affair (package kernel).
package watch

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Errors that a Func for Clone may return, and those of Register and Unregister.
var (
	// ErrRefuse, returned by a Clone watcher, says that the new task must not live.
	ErrRefuse = errors.New("refused")
	// ErrDuplicate is a name that is registered already.
	ErrDuplicate = errors.New("a watcher of this name is registered already")
	// ErrUnknown is a name that is not registered.
	ErrUnknown = errors.New("no watcher of this name")
	// ErrName is a watcher without a name.
	ErrName = errors.New("a watcher needs a name")
)

// Func is called for an event. The event is only valid during the call. What it returns counts for Init, where an error
// takes the registration back, and for Clone, where any error refuses the task; elsewhere errors are counted and go on
// to whoever dispatched, the first one first.
type Func func(*Event) error

// Watcher is somebody who wants to know. A nil Func means not interested.
type Watcher struct {
	Name  string // unique in its table
	Owner string // who registered it, for people to read

	Init                                                  Func // for each task that exists at registration
	Clone, Exec, UID, GID, Exit, Free, Lost, Used, Refuse Func
}

func (w *Watcher) funcs() [kinds]Func {
	return [kinds]Func{
		Init: w.Init, Clone: w.Clone, Exec: w.Exec, UID: w.UID, GID: w.GID, Exit: w.Exit, Free: w.Free, Lost: w.Lost, Used: w.Used,
		Refuse: w.Refuse,
	}
}

// Table holds the watchers. The zero Table works, and knows of no existing tasks.
type Table struct {
	// Existing yields the processes that live now, for Init. Nil means that there are none.
	Existing func() iter.Seq[ID]

	watchers []Watcher
	lists    [kinds][]Func // replaced, never changed: a dispatch under way keeps the list that it began with
	counts   [kinds]uint64
	errs     [kinds]uint64
}

// Register puts w at the end of each list that it is interested in, and calls its Init for every process there is. When
// an Init fails, the registration is taken back: Free is called for each process whose Init had succeeded, and the
// error returned.
func (t *Table) Register(w Watcher) error {
	if w.Name == "" {
		return ErrName
	}
	if t.index(w.Name) >= 0 {
		return fmt.Errorf("cannot register %q: %w", w.Name, ErrDuplicate)
	}
	t.watchers = append(slices.Clip(t.watchers), w)
	t.rebuild()
	if w.Init == nil || t.Existing == nil {
		return nil
	}
	return t.initAll(w)
}

func (t *Table) initAll(w Watcher) error {
	var done []ID
	for id := range t.Existing() {
		t.counts[Init]++
		if err := w.Init(&Event{Kind: Init, Proc: id, TID: id.PID}); err != nil {
			t.errs[Init]++
			t.takeBack(w, done)
			return fmt.Errorf("cannot register %q: init of process %d: %w", w.Name, id.PID, err)
		}
		done = append(done, id)
	}
	return nil
}

func (t *Table) takeBack(w Watcher, done []ID) {
	if i := t.index(w.Name); i >= 0 {
		t.watchers = slices.Delete(slices.Clone(t.watchers), i, i+1)
		t.rebuild()
	}
	if w.Free == nil {
		return
	}
	for _, id := range done {
		if err := w.Free(&Event{Kind: Free, Proc: id, TID: id.PID, Inferred: true}); err != nil {
			t.errs[Free]++
		}
	}
}

// Unregister takes the watcher off every list. No Free is called: whoever keeps something for each process knows of it.
func (t *Table) Unregister(name string) error {
	i := t.index(name)
	if i < 0 {
		return fmt.Errorf("cannot unregister %q: %w", name, ErrUnknown)
	}
	t.watchers = slices.Delete(slices.Clone(t.watchers), i, i+1)
	t.rebuild()
	return nil
}

// Dispatch takes e along the list of its kind. Every watcher is called, whatever an earlier one answered; the first
// error is returned. For a Clone an error means that the task is refused.
func (t *Table) Dispatch(e *Event) error {
	if e.Kind >= kinds {
		return fmt.Errorf("cannot dispatch event of kind %d: no such kind", e.Kind)
	}
	t.counts[e.Kind]++
	var first error
	for _, f := range t.lists[e.Kind] {
		if err := f(e); err != nil {
			t.errs[e.Kind]++
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// Count gives how many events of kind k were dispatched, and how many answers of watchers were errors.
func (t *Table) Count(k Kind) (events, errs uint64) { return t.counts[k], t.errs[k] }

// Watchers lists the registrations in the order in which they are called.
func (t *Table) Watchers() []Watcher { return slices.Clone(t.watchers) }

func (t *Table) index(name string) int {
	return slices.IndexFunc(t.watchers, func(w Watcher) bool { return w.Name == name })
}

func (t *Table) rebuild() {
	var lists [kinds][]Func
	for i := range t.watchers {
		for k, f := range t.watchers[i].funcs() {
			if f != nil {
				lists[k] = append(lists[k], f)
			}
		}
	}
	t.lists = lists
}
