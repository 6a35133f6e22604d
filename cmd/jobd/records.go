package main

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/store"
)

// window is how many records are held at a time to put them in order. The books have them in the order in which they were
// committed, a second at a time, and a user can have millions.
const window = 8192

// sortMost is how many records are put in another order than that of time: they are held in memory.
const sortMost = 10_000

// procs gives the records of processes that have gone, newest first: of one job, or of all that the peer may see.
func (d *jobd) procs(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	wanted, err := d.wanted(ctx, peer, req)
	if err != nil {
		return nil, err
	}
	if req.Sort != "" && req.Sort != "ended" {
		return d.procsBy(wanted, req)
	}
	return control.Processes(func(yield func(job.Process) bool) error {
		o := ordered{limit: req.Limit, yield: yield}
		for r, err := range wanted {
			if err != nil {
				o.flush(len(o.held))
				return err
			}
			if !r.Partial && !o.add(r) {
				return nil
			}
		}
		o.flush(len(o.held))
		return nil
	}), nil
}

// procsBy gives them in another order.
func (d *jobd) procsBy(wanted iter.Seq2[*job.Record, error], req control.Request) (any, error) {
	order, err := report.RecordOrder(req.Sort)
	if err != nil {
		return nil, control.Errorf(control.BadRequest, "%s", err)
	}
	if req.Limit > sortMost {
		return nil, control.Errorf(control.BadRequest, "no more than %d records are sorted at a time", sortMost)
	}
	top := report.NewTop(cmp.Or(req.Limit, sortMost+1), order)
	for r, err := range wanted {
		if err != nil {
			return nil, err
		}
		if !r.Partial {
			top.Add(r)
		}
	}
	list := top.List()
	if req.Limit == 0 && len(list) > sortMost {
		return nil, control.Errorf(control.BadRequest, "more than %d records are asked for: sorting that many takes a limit", sortMost)
	}
	out := make([]job.Process, len(list))
	for i, r := range list {
		out[i] = r.Process()
	}
	return out, nil
}

// wanted yields the records that a request is about and that the peer may see, about newest first, those of open jobs'
// checkpoints too. Its error says that the request cannot be answered; those that it yields, that the books cannot be read.
func (d *jobd) wanted(ctx context.Context, peer control.Peer, req control.Request) (iter.Seq2[*job.Record, error], error) {
	m, err := matcher(req)
	if err != nil {
		return nil, err
	}
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	from := d.store.AllRecords(req.Since, time.Time{}) // what began before the end may have ended after it
	if req.Job != "" {
		jid, err := d.find(ctx, peer, control.Anyone, req.Job)
		if err != nil {
			return nil, err
		}
		from = d.store.Records(jid)
	}
	all := jobsDoNotMatter(req) && (d.settings().Visibility == "all" || trusted(peer))
	jobs, err := d.owners(ctx, peer, req, m)
	if err != nil {
		return nil, err
	}
	return func(yield func(*job.Record, error) bool) {
		turn := d.turns.of(peer)
		defer turn.give()
		for r, err := range from {
			if err == nil {
				err = turn.take(ctx) // an error, too, when nobody waits for the rest
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, unreadable(err))
				return
			}
			wanted := all
			if !all {
				if _, wanted, err = jobs.of(r.JID); err != nil {
					yield(nil, err)
					return
				}
			}
			if !wanted || !m.Record(r) {
				continue
			}
			if turn.give(); !yield(r, nil) {
				return
			}
		}
	}, nil
}

// jobsDoNotMatter reports whether a request says nothing of the jobs that records belong to.
func jobsDoNotMatter(req control.Request) bool {
	return req.User == "" && req.Service == "" && req.RHost == "" && len(req.Tag) == 0
}

// matcher makes a request's conditions ready.
func matcher(req control.Request) (*report.Matcher, error) {
	m, err := report.Filter{
		User: req.User, UID: req.UID, GID: req.GID, Command: req.Command, Exe: req.Exe, Service: req.Service, RHost: req.RHost,
		PID: req.PID, Tag: req.Tag, Since: req.Since, Until: req.Until,
		MinCPU: req.MinCPU, MinRSS: req.MinRSS, MinIO: req.MinIO, Exit: req.Exit,
	}.Compile()
	if err != nil {
		return nil, control.Errorf(control.BadRequest, "%s", err)
	}
	return m, nil
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

// flushMost is how long a question waits for the books to take in what has just happened.
const flushMost = 5 * time.Second

func (d *jobd) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushMost)
	defer cancel()
	if err := d.store.Flush(ctx); err != nil && !errors.Is(err, store.ErrHalted) { // then what is on disk is all there is
		return control.Errorf(control.Unavailable, "cannot bring the books up to date: %s", err)
	}
	return nil
}
