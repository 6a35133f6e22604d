package job

import (
	"slices"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// running is a program that a process runs or ran. What it forks meanwhile runs the same one, and shares it.
type running struct {
	what   *watch.Program // may be filled in later
	since  int64          // the exec's stamp, CLOCK_MONOTONIC ns
	until  int64          // the stamp of what ended it, the next exec or the exit; 0: it goes on
	next   *watch.Program // what was run next
	before *running       // what the same member ran before; nil: this was its first
}

// execWindow is how long before its stamp an exec may have replaced the program: /proc shows the new one as soon as the
// kernel has begun to load it, and the stamp is taken when it is loaded.
const execWindow = int64(10 * time.Millisecond)

// program is what it was, as far as is known at a moment up to which all events have been seen. What was read after the
// end is another's. What was read just before the next exec may be: it is believed where the next is known to be another.
func (r *running) program(now int64) watch.Program {
	if r == nil {
		return watch.Program{}
	}
	end := now
	if r.until != 0 {
		end = r.until
	}
	switch p := *r.what; {
	case p.Read == 0 || p.Read >= end:
		return watch.Program{}
	case r.next != nil && end-p.Read < execWindow && (r.next.Exe == "" || r.next.Exe == p.Exe):
		return watch.Program{}
	default:
		return p
	}
}

// runs notes an exec. What a member inherited, or ran when it joined, is not among what it ran as one.
func (m *member) runs(p *watch.Program, at int64) {
	m.ends(at, p)
	old := m.ran
	if m.execs == 0 {
		old = nil
	}
	m.execs++
	if m.ran = nil; p != nil { // nil: programs are not followed
		m.ran = &running{what: p, since: at, before: old}
		m.ran.thin()
	}
}

// ends notes that what the member runs has ended, unless that is its parent's.
func (m *member) ends(at int64, next *watch.Program) {
	if m.ran != nil && !m.inherited() {
		m.ran.until, m.ran.next = at, next
	}
}

// inherited: what it runs is what its parent ran when it was forked.
func (m *member) inherited() bool { return m.born && m.execs == 0 }

// found is what a process runs that was not born into its job.
func (t *Table) found(id watch.ID) *running {
	if t.cfg.Program == nil {
		return nil
	}
	p := t.cfg.Program(id)
	if p == nil {
		return nil
	}
	return &running{what: p, since: t.mono}
}

// thin drops the second of the oldest when there are more than are kept.
func (r *running) thin() {
	for range execsMost - 2 {
		if r = r.before; r == nil {
			return
		}
	}
	if second := r.before; second != nil && second.before != nil {
		r.before = second.before
	}
}

// exe is the path of what the member runs, as far as is known by now (CLOCK_MONOTONIC ns).
func (m *member) exe(now int64) string { return m.ran.program(now).Exe }

// executed gives the programs that the member ran as one, in order, up to now; wall is what that is in Unix ns.
func (m *member) executed(now, wall int64) []Exec {
	if m.execs == 0 || m.ran == nil {
		return nil
	}
	out := make([]Exec, 0, min(m.execs, execsMost))
	for r := m.ran; r != nil; r = r.before {
		p := r.program(now)
		out = append(out, Exec{At: wall - max(now-r.since, 0), Exe: p.Exe, Args: p.Args})
	}
	slices.Reverse(out)
	return out
}
