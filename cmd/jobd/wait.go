package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// wait answers when a job has ended, and, unless only it is meant, those below it too. For one that ended long ago it
// answers at once.
func (d *jobd) wait(ctx context.Context, peer control.Peer, access control.Access, req control.Request) (any, error) {
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Timeout)
		defer cancel()
	}
	jid, err := d.find(ctx, peer, access, req.Job)
	if err != nil {
		return nil, err
	}
	var status *int64
	for {
		next, ended, err := d.nextEnd(ctx, jid, req.Only)
		if err != nil {
			return nil, err
		}
		if ended == nil {
			in, err := d.past(jid)
			in.WaitStatus = cmp.Or(in.WaitStatus, status)
			return in, err
		}
		select {
		case in := <-ended:
			if next == jid {
				status = in.WaitStatus // which the books do not keep
			}
		case <-ctx.Done():
			_ = d.do(context.WithoutCancel(ctx), func() error { d.forgetWaiter(next, ended); return nil })
			return nil, control.Errorf(control.Timeout, "job %d has not ended", jid.Seq())
		case <-d.ended:
			return nil, control.Errorf(control.Unavailable, "jobd is stopping")
		}
	}
}

// nextEnd gives a channel that tells of the end of one job that is still open: of jid, or of one below it. Nil: none is.
func (d *jobd) nextEnd(ctx context.Context, jid job.JID, only bool) (of job.JID, ended chan job.Info, err error) {
	err = d.do(ctx, func() error {
		family := d.table.Family(jid)
		if only {
			family = family[:1]
		}
		for _, j := range family {
			if _, err := d.table.Job(j); err == nil {
				of, ended = j, make(chan job.Info, 1)
				d.waiters[j] = append(d.waiters[j], ended)
				return nil
			}
		}
		return nil
	})
	return of, ended, err
}

func (d *jobd) forgetWaiter(jid job.JID, ended chan job.Info) {
	var rest []chan<- job.Info
	for _, w := range d.waiters[jid] {
		if w != (chan<- job.Info)(ended) {
			rest = append(rest, w)
		}
	}
	if d.waiters[jid] = rest; len(rest) == 0 {
		delete(d.waiters, jid)
	}
}

// find resolves a job that may have ended, and checks that the peer may do with it what access says.
func (d *jobd) find(ctx context.Context, peer control.Peer, access control.Access, ref control.JobRef) (job.JID, error) {
	in, err := d.info(ctx, peer, ref)
	if err != nil {
		return 0, err
	}
	return in.JID, d.allowed(peer, access, in)
}

// info gives a job, open or ended, as the books have it.
func (d *jobd) info(ctx context.Context, peer control.Peer, ref control.JobRef) (in job.Info, err error) {
	var jid job.JID
	err = d.do(ctx, func() (err error) {
		if jid, err = d.resolve(peer, ref); err == nil {
			in, err = d.table.Job(jid)
		}
		return err
	})
	if errors.Is(err, job.ErrNoJob) {
		return d.past(jid)
	}
	return in, err
}

// past gives a job that has ended from the books, or from what is on its way there.
func (d *jobd) past(jid job.JID) (job.Info, error) {
	for _, s := range d.store.Waiting() {
		if s.JID == jid && s.State == job.Ended {
			return s.Info, nil
		}
	}
	s, err := d.store.Job(jid)
	return s.Info, err
}
