package main

import (
	"context"
	"fmt"
	"io"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/store"
)

// db answers jobd db while jobd runs. That it is root who asks has been seen to.
func (d *jobd) db(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	switch req.Op {
	case control.OpStats:
		f, err := d.store.Figures()
		st, floor := dbStats(f), max(d.settings().Keep.floor(), 0)
		st.Floor = &floor
		return st, err
	case control.OpBackup:
		if err := d.flush(ctx); err != nil {
			d.log.Warn("a backup goes without what waits to be written", "error", err)
		}
		return control.Stream(func(w io.Writer) error { return d.store.Backup(ctx, w) }), nil
	case control.OpForget:
		v, err := d.forget(ctx, req)
		d.auditForget(peer, v, err)
		return v, err
	}
	return nil, control.Errorf(control.BadRequest, "unknown operation %q of db", req.Op)
}

func (d *jobd) forget(ctx context.Context, req control.Request) (ans control.ForgetAnswer, err error) {
	who := store.Person{User: req.User, UID: req.UID, Sums: func(names []string) ([]string, error) { return d.forgetSums(ctx, names) }}
	ans.Jobs, ans.Records, err = d.store.Forget(ctx, who, nil)
	if err != nil {
		return ans, err
	}
	if ans.Open, err = openOf(d.store, req); err != nil {
		return ans, err
	}
	return ans, d.do(ctx, func() error { return d.journal.Compact(d.store.Waiting()) }) // it has lines about ended jobs too
}

// auditForget logs who had somebody forgotten, and not whom.
func (d *jobd) auditForget(peer control.Peer, ans control.ForgetAnswer, err error) {
	args := []any{"jobs", ans.Jobs, "records", ans.Records, "by_uid", peer.UID, "by_pid", peer.PID}
	if err != nil {
		d.log.Error("cannot take somebody out of the books", append(args, "error", err)...)
		return
	}
	d.log.Info("somebody was taken out of the books", args...)
}

// openOf counts the open jobs of a person.
func openOf(s *store.Store, req control.Request) (n int64, err error) {
	open, err := s.OpenJobs()
	if err != nil {
		return 0, fmt.Errorf("cannot tell whether jobs are open: %w", err)
	}
	for i := range open {
		if req.User != "" && open[i].User == req.User || req.UID != nil && open[i].UID == *req.UID {
			n++
		}
	}
	return n, nil
}

func dbStats(f store.Figures) control.DBStats {
	st := control.DBStats{
		Path: f.Path, Bytes: f.Bytes, FreeBytes: f.Free, Schema: f.Schema, Jobs: f.Jobs, Open: f.Open, Records: f.Records,
		Days: f.Days, Buckets: f.Buckets,
	}
	if !f.Created.IsZero() {
		st.Created = &f.Created
	}
	if !f.Oldest.IsZero() {
		st.Oldest = &f.Oldest
	}
	if f.Records > 0 {
		each := float64(f.BlockBytes) / float64(f.Records)
		st.PerRecord = &each
	}
	return st
}
