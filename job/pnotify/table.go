// Package pnotify keeps a list of subscribers for each process, with data of their own, as pnotify (before: PAGG) did in
// the kernel. It stands on package watch: one watcher there serves every subscriber here.
//
// A subscriber registers once and is then subscribed to single processes (or, with an Init callback, to all of them). A
// child gets its parent's list; then each subscriber's Fork callback says whether it stays on it (Keep), does not
// (NoSub), or whether the child must not live (Refuse). One that must not lives until it is killed, and keeps its list until it
// is gone, so that nothing that it does or forks meanwhile is missed. When the process is gone, each subscriber's Exit is called and the
// list is dropped. A process that nobody subscribed to costs one look-up.
//
// The package is pure and never touches a process: refusing one is carried out by whoever dispatches the events. Like
// the watch.Table below it, a Table belongs to one loop.
package pnotify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jobd-project/jobd/job/watch"
)

// Errors of registration and subscription; those of watch for names are the same ones.
var (
	// ErrNoFork is a registration without the Fork callback.
	ErrNoFork = errors.New("the fork callback is required")
	// ErrSubscribed is a second subscription of one name to one process.
	ErrSubscribed = errors.New("subscribed to this process already")
	// ErrNotSubscribed is a process that the name is not subscribed to.
	ErrNotSubscribed = errors.New("not subscribed to this process")
	// ErrNoProcess is a process that is not there.
	ErrNoProcess = errors.New("no such process")
)

// Answer is what a Fork callback says of the child.
type Answer uint8

// Keep puts the subscriber on the child's list (PNOTIFY_OK), NoSub leaves it off (PNOTIFY_NOSUB). Refuse has whoever dispatches
// kill the child (PNOTIFY_ERROR failed the fork), on whose list the subscriber is until then, as with Keep.
const (
	Keep Answer = iota
	NoSub
	Refuse
)

// Events is a registration: who, and what they care about. A nil callback means not interested; Fork is required.
type Events struct {
	Name  string // unique
	Owner string // for people to read
	Data  any    // the registration's own, not any process's

	// Init is called for each existing process at registration, after it was subscribed. An error takes the whole
	// registration back: Exit is called for every process subscribed so far.
	Init func(s *Subscriber) error
	// Fork is called for a new process, with the child's subscription, whose Data is still nil, and the parent's.
	Fork func(child, parent *Subscriber, e *watch.Event) Answer
	// Exec, UID and GID are called for those events of a subscribed process.
	Exec, UID, GID func(s *Subscriber, e *watch.Event)
	// Exit is called when the process is gone (e is its Free), or when the subscription ends before that (e is nil).
	Exit func(s *Subscriber, e *watch.Event)
}

// Subscriber is one entry of one process's list.
type Subscriber struct {
	Proc watch.ID
	Data any // what the subscriber keeps for this process

	events *Events
}

// Name is the name under which the subscriber registered.
func (s *Subscriber) Name() string { return s.events.Name }

// Events is the registration that the entry belongs to.
func (s *Subscriber) Events() *Events { return s.events }

// Table holds the registrations and every process's list.
type Table struct {
	watch   *watch.Table
	regs    []*Events
	procs   watch.Index[[]*Subscriber]
	refused uint64
}

// watcherName is how pnotify itself stands in the table of watchers.
const watcherName = "pnotify"

// New makes an empty table and registers it as a watcher with w.
func New(w *watch.Table) (*Table, error) {
	t := &Table{watch: w}
	err := w.Register(watch.Watcher{
		Name: watcherName, Owner: "jobd",
		Clone: t.clone, Exec: t.exec, UID: t.uid, GID: t.gid, Free: t.free,
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Register adds a subscriber. With an Init callback it is subscribed to every existing process.
func (t *Table) Register(ev *Events) error {
	switch {
	case ev.Name == "":
		return watch.ErrName
	case ev.Fork == nil:
		return fmt.Errorf("cannot register %q: %w", ev.Name, ErrNoFork)
	case t.lookup(ev.Name) != nil:
		return fmt.Errorf("cannot register %q: %w", ev.Name, watch.ErrDuplicate)
	}
	t.regs = append(t.regs, ev)
	if ev.Init == nil || t.watch.Existing == nil {
		return nil
	}
	for id := range t.watch.Existing() {
		s := t.add(id, ev, nil)
		if err := ev.Init(s); err != nil {
			t.remove(ev)
			return fmt.Errorf("cannot register %q: init of process %d: %w", ev.Name, id.PID, err)
		}
	}
	return nil
}

// Unregister ends every subscription of the name, calling its Exit for each process, and forgets it.
func (t *Table) Unregister(name string) error {
	ev := t.lookup(name)
	if ev == nil {
		return fmt.Errorf("cannot unregister %q: %w", name, watch.ErrUnknown)
	}
	t.remove(ev)
	return nil
}

// Subscribe puts the name on the list of a process and gives it its data. That the process lives is the caller's to
// know: the table follows only those that somebody subscribed to.
func (t *Table) Subscribe(id watch.ID, name string, data any) (*Subscriber, error) {
	ev := t.lookup(name)
	switch {
	case ev == nil:
		return nil, fmt.Errorf("cannot subscribe %q to process %d: %w", name, id.PID, watch.ErrUnknown)
	case id == watch.ID{}:
		return nil, fmt.Errorf("cannot subscribe %q: %w", name, ErrNoProcess)
	case t.Get(id, name) != nil:
		return nil, fmt.Errorf("cannot subscribe %q to process %d: %w", name, id.PID, ErrSubscribed)
	}
	return t.add(id, ev, data), nil
}

// Unsubscribe takes the name off the list of a process. Its Exit callback is called, with a nil event.
func (t *Table) Unsubscribe(id watch.ID, name string) error {
	s := t.Get(id, name)
	if s == nil {
		return fmt.Errorf("cannot unsubscribe %q from process %d: %w", name, id.PID, ErrNotSubscribed)
	}
	t.drop(s)
	if s.events.Exit != nil {
		s.events.Exit(s, nil)
	}
	return nil
}

// Get finds the subscriber of a process by name; nil when there is none.
func (t *Table) Get(id watch.ID, name string) *Subscriber {
	for _, s := range t.procs.Get(id) {
		if s.events.Name == name {
			return s
		}
	}
	return nil
}

// Registrations lists the subscribers in the order in which they are called.
func (t *Table) Registrations() []*Events { return slices.Clone(t.regs) }

// Processes counts the processes that name is subscribed to.
func (t *Table) Processes(name string) int {
	n := 0
	for _, list := range t.procs.All() {
		if slices.ContainsFunc(list, func(s *Subscriber) bool { return s.events.Name == name }) {
			n++
		}
	}
	return n
}

// Refused counts the processes that a Fork callback refused.
func (t *Table) Refused() uint64 { return t.refused }

func (t *Table) lookup(name string) *Events {
	for _, ev := range t.regs {
		if ev.Name == name {
			return ev
		}
	}
	return nil
}

func (t *Table) add(id watch.ID, ev *Events, data any) *Subscriber {
	list := t.procs.Get(id)
	if list == nil { // nearly always: one allocation for both
		one := &struct {
			s    Subscriber
			list [1]*Subscriber
		}{s: Subscriber{Proc: id, Data: data, events: ev}}
		one.list[0] = &one.s
		t.procs.Set(id, one.list[:])
		return &one.s
	}
	s := &Subscriber{Proc: id, Data: data, events: ev}
	t.procs.Set(id, append(list[:len(list):len(list)], s))
	return s
}

// drop takes s off its process's list. Lists are replaced, not changed, so that a callback may end its own subscription.
func (t *Table) drop(s *Subscriber) {
	list := t.procs.Get(s.Proc)
	i := slices.Index(list, s)
	if i < 0 {
		return
	}
	if len(list) == 1 {
		t.procs.Delete(s.Proc)
		return
	}
	t.procs.Set(s.Proc, slices.Delete(slices.Clone(list), i, i+1))
}

// remove ends every subscription of ev. The processes are taken down in no order, as the kernel's walk did.
func (t *Table) remove(ev *Events) {
	t.regs = slices.DeleteFunc(slices.Clone(t.regs), func(r *Events) bool { return r == ev })
	for _, id := range t.procs.IDs() {
		if s := t.Get(id, ev.Name); s != nil {
			t.drop(s)
			if ev.Exit != nil {
				ev.Exit(s, nil)
			}
		}
	}
}
