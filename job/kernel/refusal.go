package kernel

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/watch"
)

// RefusalKill is that forks beyond a job's limit are refused by killing the child. Else Refusal says by which of the kernel's hooks they fail
// (label.Refusal).
const RefusalKill = "kill"

// errAfterwards is why this engine can only kill.
var errAfterwards = errors.New("the connector tells of a fork when it is done")

// Refusal says how forks beyond a job's limit are refused, and why not better.
func (c *Connector) Refusal() (how string, why error) { return RefusalKill, errAfterwards }

// Limit has nothing to do here: who is to be killed a subscriber says.
func (c *Connector) Limit(Label, *int) error { return nil }

// refuse kills a child that a subscriber does not want to live, and tells of it. It may have run already: a refusal by callback is late.
func (c *engine) refuse(p *proc, parent watch.ID, why error, emit Emit) {
	if !errors.Is(why, watch.ErrRefuse) {
		c.Log.Warn("a watcher failed", "event", "clone", "pid", p.id.PID, "error", why)
		return
	}
	c.counts.Refused++
	if err := c.killRefused(p); err != nil {
		c.Log.Warn("cannot kill a refused process", "pid", p.id.PID, "error", err)
	}
	e := c.event(watch.Refuse, p, p.id.PID, c.clock.mono)
	e.Parent, e.Value, e.Valid = parent, watch.RefusedKilled, true
	c.emit(e, emit)
}

// killRefused kills a process, unless it has gone. Its event may have waited for long: then its pid may be another's.
func (c *engine) killRefused(p *proc) error {
	fd, err := unix.PidfdOpen(int(p.id.PID), 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if st, err := c.FS.Stat(p.id.PID); !errors.Is(err, ErrBusy) && (err != nil || !p.began(st.Start)) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != unix.ESRCH {
		return err
	}
	return nil
}
