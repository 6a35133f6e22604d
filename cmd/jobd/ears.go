package main

import (
	"errors"
	"time"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// How long a host with open jobs may be silent before jobd makes sure that it still hears, and how long the answer may take.
const (
	silenceMost = 5 * time.Second
	answerMost  = time.Second
)

// ears is what the loop knows of whether it hears.
type ears struct {
	timer   <-chan time.Time // nil: there is nothing to listen for
	knocked int64            // CLOCK_MONOTONIC ns; 0: there was no reason to
}

// errDeaf is an engine that did not hear what was meant for it.
var errDeaf = errors.New("the kernel does not tell of what happens; another program may have ended the process events for all, or jobd's subscription is lost")

// prick has the loop listen whether it hears, as long as there are jobs.
func (d *jobd) prick() {
	if d.ears.timer == nil && d.table.Open() > 0 {
		d.ears.timer = time.After(silenceMost)
	}
}

// listenUp runs when the timer has.
func (d *jobd) listenUp() error {
	now, heard := monotonic(), d.engine.Heard()
	d.ears.timer = nil
	switch {
	case now-heard < silenceMost.Nanoseconds():
		d.ears.knocked = 0
		d.trouble("events are not heard", nil)
	case d.ears.knocked == 0:
		if err := kernel.Knock(); err != nil {
			d.log.Error("cannot tell whether process events are heard", "error", err)
			return nil
		}
		d.ears.knocked, d.ears.timer = now, time.After(answerMost)
	default:
		d.ears.knocked, d.ears.timer = 0, time.After(answerMost)
		d.trouble("events are not heard", errDeaf)
		return d.listenAgain()
	}
	return nil
}

// listenAgain asks for everything anew; what was missed is looked for in /proc.
func (d *jobd) listenAgain() error {
	if err := d.engine.ListenAgain(); err != nil {
		return err
	}
	return d.drain()
}

// hearAgain is identify for a process that is there for sure. When the engine has not heard of it, it has gone deaf.
func (d *jobd) hearAgain(pid int32) (watch.ID, error) {
	id, err := d.identify(pid)
	if err == nil {
		return id, nil
	}
	if hasGone(pid) { // or is a zombie, of which the engine has heard the last
		return watch.ID{}, err
	}
	if err := d.drainAll(); err != nil { // in a storm one drain may not have come so far
		return watch.ID{}, err
	}
	if id, err := d.identify(pid); err == nil {
		return id, nil
	}
	d.log.Error("the kernel has not told of a process that is there: listening anew", "pid", pid)
	if err := d.listenAgain(); err != nil {
		return watch.ID{}, control.Errorf(control.Unavailable, "%s", err)
	}
	return d.identify(pid)
}
