package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/store"
)

// Do answers jobd.sock.
func (d *jobd) Do(ctx context.Context, peer control.Peer, access control.Access, req control.Request) (any, error) {
	v, err := d.answer(ctx, peer, access, req)
	return v, asError(err)
}

func (d *jobd) answer(ctx context.Context, peer control.Peer, access control.Access, req control.Request) (any, error) {
	switch req.Verb {
	case control.List:
		return d.list(ctx, peer, req)
	case control.Show:
		return d.show(ctx, peer, req)
	case control.PS:
		return d.ps(ctx, peer, req)
	case control.ID:
		return d.id(ctx, peer, req)
	case control.Status:
		return d.status(ctx)
	case control.Selfcheck:
		return d.selfcheck(ctx)
	case control.Kill:
		return d.kill(ctx, peer, access, req)
	case control.Wait:
		return d.wait(ctx, peer, access, req)
	case control.History:
		return d.history(ctx, peer, req)
	case control.Procs:
		return d.procs(ctx, peer, req)
	case control.Report:
		return d.report(ctx, peer, req)
	case control.Moments:
		return d.moments(ctx, req)
	case control.DB:
		return d.db(ctx, peer, req)
	case control.Watch:
		return d.watchEvents(ctx, peer, req)
	case control.Subscribe:
		return d.subscribe(ctx, peer, req)
	case control.Subscribed:
		return d.subscribed(ctx, peer, req)
	case control.Tag:
		return d.tag(ctx, peer, access, req)
	default:
		return d.change(ctx, peer, req)
	}
}

// change carries out what only root may ask for.
func (d *jobd) change(ctx context.Context, peer control.Peer, req control.Request) (v any, err error) {
	err = d.do(ctx, func() (err error) {
		d.asks = &peer
		switch req.Verb {
		case control.Create:
			v, err = d.createFor(peer, req)
		case control.Release:
			v, err = d.release(peer, req)
		case control.LimitTo:
			v, err = d.limit(peer, req)
		case control.Attach:
			v, err = d.attach(peer, req)
		case control.Detach:
			v, err = d.detach(peer, req)
		case control.Move:
			v, err = d.move(peer, req)
		case control.Adopt:
			v, err = d.adopt(peer, req)
		case control.Drain, control.Resume:
			v, err = struct{}{}, d.drainLogins(req.Verb == control.Drain)
		default:
			err = control.Errorf(control.BadRequest, "unknown verb %q", req.Verb)
		}
		return err
	})
	moves := []control.Verb{control.Attach, control.Detach, control.Move, control.Adopt} // of which there is a line for each job
	if err != nil || !slices.Contains(moves, req.Verb) {
		d.audit(peer, req, err)
	}
	return v, err
}

// audit logs who changed what, or tried to.
func (d *jobd) audit(peer control.Peer, req control.Request, err error) {
	args := append([]any{"verb", string(req.Verb), "job", d.called(req.Job), "pid", req.PID}, by(&peer)...)
	if err != nil {
		d.log.Warn(changeRefused, append(args, "error", err)...)
		return
	}
	d.log.Info(change, args...)
}

// called is a job as the log has it, where it is one of this host's.
func (d *jobd) called(ref control.JobRef) any {
	jid, err := job.ParseJID(string(ref), d.store.HID(), d.cfg.Host)
	if err != nil || jid.HID() != d.store.HID() {
		return string(ref)
	}
	return jid
}

// resolve finds the JID that a request names; self, and none, is the caller's own job. It runs in the loop.
func (d *jobd) resolve(peer control.Peer, ref control.JobRef) (job.JID, error) {
	if ref != control.Self && ref != "" {
		return job.ParseJID(string(ref), d.store.HID(), d.cfg.Host)
	}
	if id, ok := d.engine.Identify(peer.PID); ok {
		if jid := d.table.Find(id); jid != 0 {
			return jid, nil
		}
	}
	return 0, &control.Error{Code: control.NoSuchJob, Message: "you are in no job", Hint: "name one: jobctl list"}
}

// trusted reports whether the peer sees and does what root may.
func trusted(peer control.Peer) bool { return peer.Root || peer.Admin && peer.UID != 0 }

// sees reports whether the peer may look at a job of uid.
func (d *jobd) sees(peer control.Peer, uid uint32) bool {
	return d.settings().Visibility == "all" || peer.May(control.Owner, uid)
}

// seesJob is sees for a job. Those of people who were taken out of the books stand under nobody's uid, and are not nobody's.
func (d *jobd) seesJob(peer control.Peer, in *job.Info) bool {
	if in.User == store.Forgotten && in.UID == nobody {
		return trusted(peer)
	}
	return d.sees(peer, in.UID)
}

// allowed checks what only the job's owner may do, and what only those may see who see the job.
func (d *jobd) allowed(peer control.Peer, access control.Access, in job.Info) error {
	if peer.May(access, in.UID) && (access != control.Anyone || d.seesJob(peer, &in)) {
		return nil
	}
	return &control.Error{ // package control logs it
		Code: control.Denied, Message: "job " + itoa(int32(in.Seq)) + " is not yours",
		Hint: "its owner and root may do that",
	}
}

// createFor makes a job for the caller, or one that is held and empty.
func (d *jobd) createFor(peer control.Peer, req control.Request) (any, error) {
	r := job.Request{Held: req.Hold, Info: job.Info{User: req.User, Service: job.Text(cmp.Or(req.Service, "jobctl")), Tags: req.Tags}, Nested: true}
	if req.UID != nil {
		r.Info.UID, r.Info.GID = *req.UID, req.GID
	} else {
		r.Info.UID, r.Info.GID = peer.UID, &peer.GID
	}
	if r.Info.User == "" {
		r.Info.User = uidName(r.Info.UID)
	}
	if req.Want != "" {
		want, err := job.ParseJID(string(req.Want), d.store.HID(), d.cfg.Host)
		if err != nil {
			return nil, err
		}
		r.JID = want
	}
	if !req.Hold {
		id, err := d.identify(peer.PID)
		if err != nil {
			return nil, err
		}
		if !peer.Alive() { // looked at after it was identified: its pid may be another's
			return nil, control.Errorf(control.NoProcess, "the process that asked has gone")
		}
		r.Proc = id
	}
	return d.create(r)
}

func (d *jobd) release(peer control.Peer, req control.Request) (any, error) {
	jid, err := d.resolve(peer, req.Job)
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.table.Release(jid)
}

func (d *jobd) tag(ctx context.Context, peer control.Peer, access control.Access, req control.Request) (any, error) {
	var in job.Info
	err := d.do(ctx, func() error {
		jid, err := d.resolve(peer, req.Job)
		if err != nil {
			return err
		}
		if in, err = d.table.Job(jid); err != nil {
			return err
		}
		if err := d.allowed(peer, access, in); err != nil {
			return err
		}
		if err := checkTags(in.Tags, req.Tags); err != nil {
			return err
		}
		if err = d.table.Tag(jid, req.Tags); err != nil {
			return err
		}
		in, err = d.table.Job(jid)
		return err
	})
	return in, err
}

// How much a job may be tagged: tags are kept with every write of the job.
const (
	tagsMost    = 64
	tagKeyMost  = 64
	tagTextMost = 1024
)

func checkTags(have, more map[string]string) error {
	if len(more) == 0 {
		return control.Errorf(control.BadRequest, "no tag is named: key=value")
	}
	for k, v := range more {
		if k == "" || len(k) > tagKeyMost || len(v) > tagTextMost {
			return control.Errorf(control.BadRequest, "a tag is key=value, with a key of 1 to %d bytes and a value of %d at most", tagKeyMost, tagTextMost)
		}
	}
	if len(have)+len(more) > tagsMost {
		return control.Errorf(control.BadRequest, "a job has %d tags at most", tagsMost)
	}
	return nil
}
