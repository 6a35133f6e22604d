package kernel

import (
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// unread is an exec that the engine came to before anybody had looked. what is nil where nobody wants to know.
type unread struct {
	key    messageKey
	what   *watch.Program
	member bool
}

// lookMost is how long the answer may take: the message was lost where it comes at all.
const lookMost = int64(time.Second)

// exec: a process runs another program. Which one is in the event, or has been read already, or will be soon: it is never waited for.
func (c *engine) exec(pid, tid int32, at int64, path []byte, emit Emit) {
	p := c.lin.of(pid)
	member := p != nil && p.label != 0
	var what *watch.Program
	switch {
	case c.programs == nil:
	case c.programs.src != nil:
		what = c.program(messageKey{pid, at}, member)
	case len(path) > 0:
		what = c.programs.told(path, at)
	default:
		if what = c.programs.now(pid); what == nil {
			what = new(watch.Program)
			c.counts.ExecsUnread++
		}
	}
	switch {
	case !member:
	case c.ruledOut(what):
		c.exempt.forget(p.id) // it runs another by now
	default:
		c.lookExempt(p, at)
	}
	if p != nil {
		e := c.event(watch.Exec, p, tid, at)
		e.Program = what
		c.emit(e, emit)
	}
}

// program takes up what was read of an exec; nil of a process that is no member, unless somebody hears of those too.
func (c *engine) program(k messageKey, member bool) (what *watch.Program) {
	if member || c.hearing != 0 {
		what = new(watch.Program)
	}
	found, ok := c.programs.take(k)
	if ok {
		c.read(what, found, member)
	} else {
		c.unread = append(c.unread, unread{k, what, member})
	}
	return what
}

func (c *engine) read(what *watch.Program, found watch.Program, member bool) {
	if what == nil {
		return
	}
	if *what = found; found.Read == 0 && member {
		c.counts.ExecsUnread++
	}
}

// readLate fills in what has been read since it was asked for.
func (c *engine) readLate() {
	c.runs = nil // others may be told of by now
	rest := c.unread[:0]
	for _, u := range c.unread {
		found, ok := c.programs.take(u.key)
		if ok || c.clock.mono-u.key.time > lookMost {
			c.read(u.what, found, u.member)
		} else {
			rest = append(rest, u)
		}
	}
	clear(c.unread[len(rest):])
	c.unread = rest
}

// dropPrograms follows programs no more, to begin anew in another mode. What was still to be read is left as it is.
func (c *engine) dropPrograms(mode ExecMode) {
	if c.programs != nil {
		c.programs.stop()
	}
	c.programs, c.unread, c.execs = nil, nil, mode
}

// Program reads what a process runs now; nil where that is not followed, or the process has gone.
func (c *engine) Program(id watch.ID) *watch.Program {
	if c.programs == nil || !c.Alive(id) {
		return nil
	}
	if exe, ok := c.runs[id]; ok && !c.replays {
		return c.programs.told(exe, c.clock.mono)
	}
	what := c.programs.now(id.PID)
	if c.replays { // the table is older than /proc
		st, err := c.FS.Stat(id.PID)
		if p := c.lin.of(id.PID); err != nil || !p.began(st.Start) {
			return nil
		}
	}
	return what
}
