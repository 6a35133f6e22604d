package main

import (
	"context"
	"errors"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/report"
)

// owners tells whose the records are that a question is about, and whether it is about them. There are many records and
// fewer jobs: what was looked up is remembered, up to ownersMost.
type owners struct {
	d      *jobd
	peer   control.Peer
	match  *report.Matcher
	orphan bool                  // records whose job is on no book are wanted
	fresh  map[job.JID]*job.Info // open, or not on disk yet, when the question was asked
	known  map[job.JID]owner
}

type owner struct {
	info   *job.Info // nil: nobody knows it
	wanted bool
}

const ownersMost = 20_000

func (d *jobd) owners(ctx context.Context, peer control.Peer, req control.Request, m *report.Matcher) (*owners, error) {
	o := &owners{
		d: d, peer: peer, match: m, orphan: jobsDoNotMatter(req) && trusted(peer),
		fresh: make(map[job.JID]*job.Info), known: make(map[job.JID]owner),
	}
	err := d.do(ctx, func() error {
		for _, in := range d.table.Jobs() {
			o.fresh[in.JID] = &in
		}
		return nil
	})
	for _, s := range d.store.Waiting() { // after that: a job that ends meanwhile is in both
		if o.fresh[s.JID] == nil {
			o.fresh[s.JID] = &s.Info
		}
	}
	return o, err
}

// of gives the job of a record, nil where nobody knows it; false: it is not wanted, or the peer may not see it.
func (o *owners) of(jid job.JID) (*job.Info, bool, error) {
	w, ok := o.known[jid]
	if ok {
		return w.info, w.wanted, nil
	}
	in := o.fresh[jid]
	if in == nil {
		s, err := o.d.store.Head(jid)
		if err != nil && !errors.Is(err, job.ErrNoJob) {
			return nil, false, unreadable(err)
		}
		if err == nil {
			in = &s.Info
		}
	}
	w = owner{info: in, wanted: o.orphan}
	if in != nil {
		w.wanted = o.d.seesJob(o.peer, in) && o.match.JobOf(in)
	}
	if len(o.known) >= ownersMost {
		clear(o.known)
	}
	o.known[jid] = w
	return w.info, w.wanted, nil
}
