package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// window is how many records are held at a time to put them in order. The books have them in the order in which they were
// committed, a second at a time, and a user can have millions.
const window = 8192

// procs gives the records of processes that have gone, newest first: of one job, or of all that the peer may see.
func (d *jobd) procs(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	from := d.store.AllRecords(req.Since, req.Until)
	if req.Job != "" {
		jid, err := d.find(ctx, peer, control.Anyone, req.Job)
		if err != nil {
			return nil, err
		}
		from = d.store.Records(jid)
	}
	return control.Processes(func(yield func(job.Process) bool) error {
		o := ordered{limit: req.Limit, yield: yield}
		known := make(owners)
		for r, err := range from {
			if err == nil {
				err = ctx.Err() // nobody waits for the rest
			}
			if err != nil {
				return err
			}
			if inTime(req, r) && d.wantRecord(ctx, peer, req, r, known) && !o.add(r) {
				return nil
			}
		}
		o.flush(len(o.held))
		return nil
	}), nil
}

// ordered hands records on, newest first as far as a window reaches.
type ordered struct {
	held  []*job.Record
	limit int // 0: none
	given int
	yield func(job.Process) bool
	done  bool
}

func (o *ordered) add(r *job.Record) (more bool) {
	if o.held = append(o.held, r); len(o.held) >= 2*window {
		o.flush(window)
	}
	return !o.done
}

// flush hands the newest n on.
func (o *ordered) flush(n int) {
	slices.SortStableFunc(o.held, func(a, b *job.Record) int { return cmp.Compare(b.End, a.End) })
	for _, r := range o.held[:n] {
		if o.done = o.done || o.limit > 0 && o.given >= o.limit || !o.yield(r.Process()); o.done {
			return
		}
		o.given++
	}
	o.held = slices.Delete(o.held, 0, n)
}

func inTime(req control.Request, r *job.Record) bool {
	return (req.Since.IsZero() || r.End >= req.Since.UnixNano()) && (req.Until.IsZero() || r.End < req.Until.UnixNano())
}

// owners remembers whose jobs are: there are many records and few jobs.
type owners map[job.JID]job.Info

// wantRecord reports whether a record is of a job that the peer may see, and that the request is about.
func (d *jobd) wantRecord(ctx context.Context, peer control.Peer, req control.Request, r *job.Record, known owners) bool {
	if req.User == "" && req.UID == nil && (d.cfg.Visibility == "all" || trusted(peer)) {
		return true
	}
	in, ok := known[r.JID]
	if !ok {
		var err error
		in, err = d.info(ctx, peer, control.JobRef(r.JID.String()))
		if err != nil {
			in = job.Info{} // its job is on no book: root's alone to see
		}
		known[r.JID] = in
	}
	return in.JID != 0 && d.sees(peer, in.UID) && wantUser(in, req)
}

// flushMost is how long a question waits for the books to take in what has just happened.
const flushMost = 5 * time.Second

func (d *jobd) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushMost)
	defer cancel()
	if err := d.store.Flush(ctx); err != nil {
		return control.Errorf(control.Unavailable, "cannot bring the books up to date: %s", err)
	}
	return nil
}
