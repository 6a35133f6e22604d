package main

import (
	"context"
	"errors"
	"io"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// watchEvents answers watch: what happens in a job, in those of a user, in all that the caller may see, or on the whole host.
func (d *jobd) watchEvents(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	f := feed.Filter{Kinds: req.Events(), User: req.User, Host: req.Host}
	if req.Host && !trusted(peer) {
		return nil, control.Errorf(control.Denied, "only root may watch processes that are in no job")
	}
	if req.User == "" && !req.All && !req.Host {
		jid, err := d.find(ctx, peer, control.Anyone, req.Job)
		if err != nil {
			return nil, err
		}
		f.JID = jid
	}
	var r *feed.Reader
	sight := context.Background()
	err := d.do(ctx, func() (err error) {
		if trusted(peer) || d.settings().Visibility == "all" {
			sight = d.watching.sight(peer)
		} else {
			f.UID = &peer.UID
		}
		r, err = d.openWatch(f, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.follow(r, sight, func() bool { return f.JID != 0 && !d.isOpen(f.JID) }, func() { d.closeReader(f) }), nil
}

// openWatch runs in the loop.
func (d *jobd) openWatch(f feed.Filter, req control.Request) (*feed.Reader, error) {
	over := f.JID != 0 && !d.isOpen(f.JID)
	if over && req.Cursor == "" {
		return nil, control.Errorf(control.Conflict, "job %d has ended: nothing happens in it any more", f.JID.Seq())
	}
	r, err := d.openReader(f)
	if err != nil {
		return nil, err
	}
	if req.Cursor != "" {
		at, err := control.ParseCursor(req.Cursor)
		if err != nil || !r.From(at) {
			d.closeReader(f)
			return nil, control.Errorf(control.BadRequest, "the cursor %q was never given: nothing has happened there yet", req.Cursor)
		}
	}
	if over {
		r.ToHere()
	}
	return r, nil
}

// isOpen runs in the loop.
func (d *jobd) isOpen(jid job.JID) bool {
	_, err := d.table.Job(jid)
	return err == nil
}

// follow gives what a reader reads for as long as the client takes it, and may see it. over says, in the loop, whether what it is about is
// over: the reader may have missed that. leave is called in the loop, once.
func (d *jobd) follow(r *feed.Reader, sight context.Context, over func() bool, leave func()) control.Lines {
	return func(ctx context.Context, write func([]byte) error) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(sight, cancel)()
		defer func() {
			_ = d.do(context.WithoutCancel(ctx), func() error { leave(); return nil }) // fails only when jobd stops
		}()
		var b []byte
		for {
			var err error
			if b, err = r.Next(ctx, b[:0]); len(b) > 0 && sight.Err() == nil {
				if err := write(b); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil && r.Missed() {
				err = d.do(ctx, func() error {
					if over() {
						r.ToHere()
					}
					return nil
				})
			}
			if err != nil {
				return err
			}
		}
	}
}
