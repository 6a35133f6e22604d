package pnotify

import "github.com/jobd-project/jobd/job/watch"

// The callbacks are called here, each with caught behind it.

func (t *Table) init(s *Subscriber) (err error) {
	defer t.caughtInit(s.reg, &err)
	return s.reg.Init(s)
}

func (t *Table) fork(child, parent *Subscriber, e *watch.Event) Answer {
	defer t.caught(parent.reg, "fork")
	return parent.reg.Fork(child, parent, e)
}

func (t *Table) exit(s *Subscriber, e *watch.Event) {
	defer t.caught(s.reg, "exit")
	s.reg.Exit(s, e)
}

func (t *Table) tell(s *Subscriber, f func(*Subscriber, *watch.Event), e *watch.Event) {
	defer t.caught(s.reg, e.Kind.String())
	f(s, e)
}

// caught takes out a subscriber whose callback panicked.
func (t *Table) caught(r *registration, during string) {
	if v := recover(); v != nil {
		t.expel(r, during, v)
	}
}

// caughtInit is caught, and an error that takes the registration back.
func (t *Table) caughtInit(r *registration, err *error) {
	if v := recover(); v != nil {
		*err = t.expel(r, "init", v)
	}
}

// expel ends every subscription of a registration, without a word to it.
func (t *Table) expel(r *registration, during string, v any) *watch.Panic {
	r.out = true
	t.remove(r)
	p := &watch.Panic{Name: r.Name, Event: during, Value: v}
	t.watch.Caught(p)
	return p
}
