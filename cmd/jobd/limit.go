package main

import (
	"errors"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// limit says how many processes a job may have. The kernel is told first, so that it never lets pass what the books say that it refuses.
func (d *jobd) limit(peer control.Peer, req control.Request) (any, error) {
	jid, err := d.resolve(peer, req.Job)
	if err != nil {
		return nil, err
	}
	if _, err := d.table.Job(jid); err != nil {
		return nil, err
	}
	if err := d.engine.Limit(kernel.Label(jid), req.MaxProcesses); err != nil {
		return nil, err
	}
	if err := d.table.Limit(jid, req.MaxProcesses); err != nil {
		return nil, err
	}
	return d.table.Job(jid)
}

// limitAgain tells a new engine of the limits that there are.
func (d *jobd) limitAgain() error {
	var errs []error
	for _, in := range d.table.Jobs() {
		if in.MaxProcesses != nil {
			errs = append(errs, d.engine.Limit(kernel.Label(in.JID), in.MaxProcesses))
		}
	}
	return errors.Join(errs...)
}

// room checks, before anybody is put into a job, that all of them may come.
func (d *jobd) room(jid job.JID, ids []watch.ID) error {
	more := 0
	for _, id := range ids {
		if d.table.Find(id) != jid {
			more++
		}
	}
	if more == 0 {
		return nil
	}
	return d.table.Room(jid, more)
}

// statusOfRefusal is how forks beyond a job's limit are refused, and why not better.
func (d *jobd) statusOfRefusal() (how string, why job.Text) {
	how, err := d.engine.Refusal()
	if err != nil {
		why = job.Text(err.Error())
	}
	return how, why
}
