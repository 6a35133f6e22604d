package main

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// procs gives the records of processes that have gone, newest first: of one job, or of all that the peer may see.
func (d *jobd) procs(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	var from iter.Seq2[*job.Record, error]
	limit := req.Limit
	if req.Job != "" {
		jid, err := d.find(ctx, peer, control.Anyone, req.Job)
		if err != nil {
			return nil, err
		}
		from, limit = d.store.Records(jid), 0
	} else {
		from = d.store.AllRecords(req.Since, req.Until)
	}
	owners := make(owners)
	out := []job.Process{}
	for r, err := range from {
		if err != nil {
			return nil, control.Errorf(control.Internal, "cannot read the books: %s", err)
		}
		if limit > 0 && len(out) >= limit {
			break
		}
		if inTime(req, r) && d.wantRecord(ctx, peer, req, r, owners) {
			out = append(out, r.Process())
		}
	}
	slices.SortStableFunc(out, func(a, b job.Process) int { return b.Ended.Compare(*a.Ended) })
	return cut(out, req.Limit), nil
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
