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
// takes the registration back, and for Clone, where ErrRefuse refuses the task; elsewhere errors are counted and go on
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

// Hears lists the kinds that the watcher is interested in.
func (w *Watcher) Hears() []Kind {
	var out []Kind
	for k, f := range w.funcs() {
		if f != nil {
			out = append(out, Kind(k))
		}
	}
	return out
}

// Table holds the watchers. The zero Table works, and knows of no existing tasks.
type Table struct {
	// Existing yields the processes that live now, for Init. Nil means that there are none.
	Existing func() iter.Seq[ID]
	// Alive says whether a process lives, for those who are about to keep something for it. Nil means that they know themselves.
	Alive func(ID) bool
	// Panicked is called for each callback that panics, during the panic, so that debug.Stack says where it was. It may panic itself:
	// then the panic goes on, to whoever dispatches. Nil: panics are only counted and returned.
	Panicked func(*Panic)

	watchers []*registered
	lists    [kinds][]call // replaced, never changed: a dispatch under way keeps the list that it began with
	counts   [kinds]uint64
	errs     [kinds]uint64
	panics   uint64
}

// registered is a watcher in the table.
type registered struct {
	Watcher
	out  bool // it panicked, and is not called any more
	init uint64
	errs uint64
}

// call is a watcher's place in one list.
type call struct {
	f Func
	w *registered
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
	r := &registered{Watcher: w}
	t.set(append(slices.Clip(t.watchers), r))
	if w.Init == nil || t.Existing == nil {
		return nil
	}
	return t.initAll(r)
}

func (t *Table) initAll(w *registered) error {
	var done []ID
	for id := range t.Existing() {
		t.counts[Init]++
		w.init++
		err := t.one(w, w.Init, &Event{Kind: Init, Proc: id, TID: id.PID})
		if err == nil {
			done = append(done, id)
			if !slices.Contains(t.watchers, w) {
				err = fmt.Errorf("unregistered meanwhile: %w", ErrUnknown)
			}
		}
		if err != nil {
			t.takeBack(w, done)
			return fmt.Errorf("cannot register %q: init of process %d: %w", w.Name, id.PID, err)
		}
	}
	return nil
}

func (t *Table) takeBack(w *registered, done []ID) {
	t.remove(w)
	if w.Free == nil {
		return
	}
	for _, id := range done {
		_ = t.one(w, w.Free, &Event{Kind: Free, Proc: id, TID: id.PID, Inferred: true}) // counted; nobody waits for the answer
	}
}

// Unregister takes the watcher off every list. No Free is called: whoever keeps something for each process knows of it.
func (t *Table) Unregister(name string) error {
	i := t.index(name)
	if i < 0 {
		return fmt.Errorf("cannot unregister %q: %w", name, ErrUnknown)
	}
	t.remove(t.watchers[i])
	return nil
}

// Watchers lists the registrations in the order in which they are called.
func (t *Table) Watchers() []Watcher {
	var out []Watcher
	for _, w := range t.watchers {
		out = append(out, w.Watcher)
	}
	return out
}

// Answers gives how many processes the Init of a watcher was called for, and how many of all its answers were errors.
func (t *Table) Answers(name string) (init, errs uint64) {
	if i := t.index(name); i >= 0 {
		return t.watchers[i].init, t.watchers[i].errs
	}
	return 0, 0
}

func (t *Table) index(name string) int {
	return slices.IndexFunc(t.watchers, func(w *registered) bool { return w.Name == name })
}

// remove takes a watcher off every list, if it is on any.
func (t *Table) remove(w *registered) {
	if i := slices.Index(t.watchers, w); i >= 0 {
		t.set(slices.Delete(slices.Clone(t.watchers), i, i+1))
	}
}

// set makes these the watchers, and their lists anew.
func (t *Table) set(watchers []*registered) {
	var lists [kinds][]call
	for _, w := range watchers {
		for k, f := range w.funcs() {
			if f != nil {
				lists[k] = append(lists[k], call{f, w})
			}
		}
	}
	t.watchers, t.lists = watchers, lists
}
