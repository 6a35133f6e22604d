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

// Hears lists the kinds of events that the subscriber is interested in.
func (ev *Events) Hears() []watch.Kind {
	var out []watch.Kind
	for _, k := range []struct {
		kind watch.Kind
		is   bool
	}{
		{watch.Init, ev.Init != nil}, {watch.Clone, ev.Fork != nil}, {watch.Exec, ev.Exec != nil},
		{watch.UID, ev.UID != nil}, {watch.GID, ev.GID != nil}, {watch.Free, ev.Exit != nil},
	} {
		if k.is {
			out = append(out, k.kind)
		}
	}
	return out
}

// Subscriber is one entry of one process's list.
type Subscriber struct {
	Proc watch.ID
	Data any // what the subscriber keeps for this process

	reg *registration
}

// Name is the name under which the subscriber registered.
func (s *Subscriber) Name() string { return s.reg.Name }

// Events is the registration that the entry belongs to.
func (s *Subscriber) Events() *Events { return s.reg.Events }

// registration is an Events in the table.
type registration struct {
	*Events
	out    bool // it panicked, and is not called any more
	counts Counts
}

// Counts are how a subscriber came to its processes and lost them. Init + Subscribed + Attached = Detached + Processes.
type Counts struct {
	Init       uint64 // processes that existed when it registered
	Subscribed uint64 // by Subscribe
	Attached   uint64 // children that it kept
	Detached   uint64 // processes that are gone, or that it was taken off
	Processes  int    // that it is subscribed to now
}

// Table holds the registrations and every process's list.
type Table struct {
	watch   *watch.Table
	regs    []*registration
	procs   watch.Index[[]*Subscriber]
	refused uint64
}

// Watcher is the name under which a Table itself stands in the table of watchers.
const Watcher = "pnotify"

// New makes an empty table and registers it as a watcher with w.
func New(w *watch.Table) (*Table, error) {
	t := &Table{watch: w}
	err := w.Register(watch.Watcher{
		Name: Watcher, Owner: "jobd",
		Clone: t.clone, Exec: t.exec, UID: t.uid, GID: t.gid, Free: t.free,
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Register adds a subscriber. With an Init callback it is subscribed to every existing process. What ev says is not to be changed afterwards.
func (t *Table) Register(ev *Events) error {
	switch {
	case ev.Name == "":
		return watch.ErrName
	case ev.Fork == nil:
		return fmt.Errorf("cannot register %q: %w", ev.Name, ErrNoFork)
	case t.lookup(ev.Name) != nil:
		return fmt.Errorf("cannot register %q: %w", ev.Name, watch.ErrDuplicate)
	}
	r := &registration{Events: ev}
	t.regs = append(slices.Clip(t.regs), r)
	if ev.Init == nil || t.watch.Existing == nil {
		return nil
	}
	for id := range t.watch.Existing() {
		err := t.initOne(r, id)
		if err == nil && !slices.Contains(t.regs, r) {
			err = fmt.Errorf("unregistered meanwhile: %w", watch.ErrUnknown)
		}
		if err != nil {
			t.remove(r)
			return fmt.Errorf("cannot register %q: init of process %d: %w", ev.Name, id.PID, err)
		}
	}
	return nil
}

// initOne subscribes a registration to a process that exists, unless an Init before did.
func (t *Table) initOne(r *registration, id watch.ID) error {
	if t.Get(id, r.Name) != nil {
		return nil
	}
	r.counts.Init++
	return t.init(t.add(id, r, nil))
}

// Unregister ends every subscription of the name, calling its Exit for each process, and forgets it.
func (t *Table) Unregister(name string) error {
	r := t.lookup(name)
	if r == nil {
		return fmt.Errorf("cannot unregister %q: %w", name, watch.ErrUnknown)
	}
	t.remove(r)
	return nil
}

// Subscribe puts the name on the list of a process and gives it its data. The process has to live, as far as the watch.Table's
// Alive knows; where that is nil the caller has to.
func (t *Table) Subscribe(id watch.ID, name string, data any) (*Subscriber, error) {
	r, err := t.lookup(name), error(nil)
	switch {
	case r == nil:
		err = watch.ErrUnknown
	case id == watch.ID{} || t.watch.Alive != nil && !t.watch.Alive(id):
		err = ErrNoProcess
	case t.Get(id, name) != nil:
		err = ErrSubscribed
	default:
		r.counts.Subscribed++
		return t.add(id, r, data), nil
	}
	return nil, fmt.Errorf("cannot subscribe %q to process %d: %w", name, id.PID, err)
}

// Unsubscribe takes the name off the list of a process. Its Exit callback is called, with a nil event.
func (t *Table) Unsubscribe(id watch.ID, name string) error {
	s := t.Get(id, name)
	if s == nil {
		return fmt.Errorf("cannot unsubscribe %q from process %d: %w", name, id.PID, ErrNotSubscribed)
	}
	t.end(s, nil)
	return nil
}

// Get finds the subscriber of a process by name; nil when there is none.
func (t *Table) Get(id watch.ID, name string) *Subscriber {
	for _, s := range t.procs.Get(id) {
		if s.reg.Name == name {
			return s
		}
	}
	return nil
}

// Registrations lists the subscribers in the order in which they registered.
func (t *Table) Registrations() []*Events {
	var out []*Events
	for _, r := range t.regs {
		out = append(out, r.Events)
	}
	return out
}

// Counts gives how a subscriber came to its processes; zero where the name is not registered.
func (t *Table) Counts(name string) Counts {
	if r := t.lookup(name); r != nil {
		return r.counts
	}
	return Counts{}
}

// Processes counts the processes that name is subscribed to.
func (t *Table) Processes(name string) int { return t.Counts(name).Processes }

// Refused counts the processes that a Fork callback refused.
func (t *Table) Refused() uint64 { return t.refused }

func (t *Table) lookup(name string) *registration {
	for _, r := range t.regs {
		if r.Name == name {
			return r
		}
	}
	return nil
}
