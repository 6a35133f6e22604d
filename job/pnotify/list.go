package pnotify

import (
	"slices"

	"github.com/jobd-project/jobd/job/watch"
)

// add puts a registration on a process's list.
func (t *Table) add(id watch.ID, r *registration, data any) *Subscriber {
	r.counts.Processes++
	list := t.procs.Get(id)
	if list == nil { // nearly always: one allocation for both
		one := &struct {
			s    Subscriber
			list [1]*Subscriber
		}{s: Subscriber{Proc: id, Data: data, reg: r}}
		one.list[0] = &one.s
		t.procs.Set(id, one.list[:])
		return &one.s
	}
	s := &Subscriber{Proc: id, Data: data, reg: r}
	t.procs.Set(id, append(list[:len(list):len(list)], s))
	return s
}

// drop takes s off its process's list, and reports whether it was on it. Lists are replaced, not changed, so that a callback may end
// its own subscription.
func (t *Table) drop(s *Subscriber) bool {
	list := t.procs.Get(s.Proc)
	i := slices.Index(list, s)
	if i < 0 {
		return false
	}
	s.reg.counts.Processes--
	if len(list) == 1 {
		t.procs.Delete(s.Proc)
	} else {
		t.procs.Set(s.Proc, slices.Delete(slices.Clone(list), i, i+1))
	}
	return true
}

// still reports whether s is on its process's list.
func (t *Table) still(s *Subscriber) bool { return slices.Contains(t.procs.Get(s.Proc), s) }

// end takes s off its process's list and calls its Exit; e is nil where the process goes on.
func (t *Table) end(s *Subscriber, e *watch.Event) {
	if !t.drop(s) {
		return
	}
	s.reg.counts.Detached++
	if s.reg.Exit != nil && !s.reg.out {
		t.exit(s, e)
	}
}

// remove ends every subscription of a registration, and forgets it. The processes are taken down in no order, as the kernel's walk did.
func (t *Table) remove(r *registration) {
	t.regs = slices.DeleteFunc(slices.Clone(t.regs), func(o *registration) bool { return o == r })
	for _, id := range t.procs.IDs() {
		for _, s := range t.procs.Get(id) {
			if s.reg == r {
				t.end(s, nil)
				break
			}
		}
	}
}
