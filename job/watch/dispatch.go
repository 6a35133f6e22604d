package watch

import (
	"errors"
	"fmt"
)

// Panic is a callback that panicked.
type Panic struct {
	Name  string // whose it is
	Event string // what it was called for
	Value any    // what it panicked with
}

// Error says who panicked, where and with what. It never unwraps: what somebody panics with is no answer.
func (p *Panic) Error() string {
	return fmt.Sprintf("%q panicked at %s, and was taken out: %v", p.Name, p.Event, p.Value)
}

// Dispatch takes e along the list of its kind. Every watcher is called, whatever an earlier one answered; the first
// error is returned. For a Clone the first ErrRefuse is, whatever others said: the task is refused.
func (t *Table) Dispatch(e *Event) error {
	if e.Kind >= kinds {
		return fmt.Errorf("cannot dispatch event of kind %d: no such kind", e.Kind)
	}
	t.counts[e.Kind]++
	var first error
	list := t.lists[e.Kind]
	for next := 0; next < len(list); {
		next = t.along(list, next, e, &first)
	}
	return first
}

// along calls those on a list from one on, until the end or a panic, and gives where to go on.
func (t *Table) along(list []call, from int, e *Event, first *error) (next int) {
	defer func() {
		if next == len(list) {
			return
		}
		if v := recover(); v != nil { // nil: the goroutine ends (runtime.Goexit)
			w := list[next].w
			t.failed(w, e.Kind, t.expel(w, e.Kind, v), first)
			next++
		}
	}()
	for next = from; next < len(list); next++ {
		c := &list[next]
		if c.w.out {
			continue
		}
		if err := c.f(e); err != nil {
			t.failed(c.w, e.Kind, err, first)
		}
	}
	return next
}

// failed counts an error, and keeps it if it is the one to be returned.
func (t *Table) failed(w *registered, k Kind, err error, first *error) {
	t.errs[k]++
	w.errs++
	if *first == nil || k == Clone && errors.Is(err, ErrRefuse) && !errors.Is(*first, ErrRefuse) {
		*first = err
	}
}

// expel takes out a watcher that panicked.
func (t *Table) expel(w *registered, k Kind, value any) *Panic {
	w.out = true
	t.remove(w)
	p := &Panic{Name: w.Name, Event: k.String(), Value: value}
	t.Caught(p)
	return p
}

// Caught counts a panic and has Panicked told of it. It is for those who call callbacks of others on behalf of the table,
// from the deferred function in which they recovered.
func (t *Table) Caught(p *Panic) {
	t.panics++
	if t.Panicked != nil {
		t.Panicked(p)
	}
}

// one calls a single function of a watcher.
func (t *Table) one(w *registered, f Func, e *Event) (err error) {
	t.along([]call{{f, w}}, 0, e, &err)
	return err
}

// Count gives how many events of kind k were dispatched, and how many answers of watchers were errors.
func (t *Table) Count(k Kind) (events, errs uint64) { return t.counts[k], t.errs[k] }

// Panics counts the callbacks that panicked; whose they were were taken out.
func (t *Table) Panics() uint64 { return t.panics }
