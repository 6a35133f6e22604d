package pnotify

import (
	"fmt"

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
	for i, parent := range list {
		if i > 0 && !t.still(parent) || t.Get(e.Proc, parent.Name()) != nil {
			continue // an earlier callback ended it, or somebody before has subscribed it to the child
		}
		child := t.add(e.Proc, parent.reg, nil)
		answer := t.fork(child, parent, e)
		if answer == NoSub && t.drop(child) {
			continue
		}
		parent.reg.counts.Attached++
		if answer == Refuse { // and follows it until it is gone
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
		if f := callback(s.reg.Events); f != nil {
			t.tell(s, f, e)
		}
	}
	return nil
}

// free takes the process's list down: each entry is off the list before its Exit is called.
func (t *Table) free(e *watch.Event) error {
	for _, s := range t.procs.Get(e.Proc) {
		t.end(s, e)
	}
	return nil
}
