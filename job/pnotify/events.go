package pnotify

import (
	"fmt"
	"slices"

	"github.com/jobd-project/jobd/job/watch"
)

// clone gives the child its parent's list and asks each subscriber whether it stays.
func (t *Table) clone(e *watch.Event) error {
	if e.Thread {
		return nil // the list belongs to the process, its threads share it
	}
	list := t.procs.Get(e.Parent)
	if list == nil {
		return nil
	}
	var refusedBy *Subscriber
	for _, parent := range list {
		child := t.add(e.Proc, parent.events, nil)
		switch parent.events.Fork(child, parent, e) {
		case Keep:
		case NoSub:
			t.drop(child)
		case Refuse: // and follows it until it is gone
			refusedBy = child
		}
	}
	if refusedBy == nil {
		return nil
	}
	t.refused++
	return fmt.Errorf("process %d: %w by %s", e.Proc.PID, watch.ErrRefuse, refusedBy.Name())
}

func (t *Table) exec(e *watch.Event) error {
	return t.each(e, func(ev *Events) func(*Subscriber, *watch.Event) { return ev.Exec })
}

func (t *Table) uid(e *watch.Event) error {
	return t.each(e, func(ev *Events) func(*Subscriber, *watch.Event) { return ev.UID })
}

func (t *Table) gid(e *watch.Event) error {
	return t.each(e, func(ev *Events) func(*Subscriber, *watch.Event) { return ev.GID })
}

func (t *Table) each(e *watch.Event, callback func(*Events) func(*Subscriber, *watch.Event)) error {
	for i, s := range t.procs.Get(e.Proc) {
		if i > 0 && !t.still(s) {
			continue // an earlier callback ended it
		}
		if f := callback(s.events); f != nil {
			f(s, e)
		}
	}
	return nil
}

// free takes the process's list down: each entry is off the list before its Exit is called.
func (t *Table) free(e *watch.Event) error {
	for i, s := range t.procs.Get(e.Proc) {
		if i > 0 && !t.still(s) {
			continue
		}
		t.drop(s)
		if s.events.Exit != nil {
			s.events.Exit(s, e)
		}
	}
	return nil
}

func (t *Table) still(s *Subscriber) bool { return slices.Contains(t.procs.Get(s.Proc), s) }
