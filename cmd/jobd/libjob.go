package main

import (
	"context"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// Job answers job.sock: a function of libjob for each verb. What changes something goes the way of jobd.sock's requests, and is
// on the same trail.
func (d *jobd) Job(ctx context.Context, peer control.Peer, req control.JobRequest) (control.JobAnswer, error) {
	ans, err := d.libjob(ctx, peer, req)
	return ans, asError(err)
}

func (d *jobd) libjob(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	switch req.Verb {
	case control.JobGetJID:
		return d.libFind(ctx, peer, req)
	case control.JobGetJIDCnt, control.JobGetJIDList:
		return d.libJobs(ctx, peer)
	case control.JobGetPIDCnt, control.JobGetPIDList, control.JobGetUID, control.JobGetPrimePID:
		return d.libLook(ctx, peer, req)
	case control.JobKillJID:
		return ans, d.libKill(ctx, peer, req)
	case control.JobWaitJID:
		return d.libWait(ctx, peer, req)
	case control.JobCreate:
		return d.libCreate(ctx, peer, req)
	case control.JobAttachPID, control.JobDetachPID, control.JobDetachJID:
		return d.libMove(ctx, peer, req)
	case control.JobSetHID:
		return d.libSetHID(ctx, peer, req)
	case control.JobRunCSA:
		if !req.Run {
			err = control.Errorf(control.BadRequest, "accounting is part of jobd: it cannot be stopped by itself")
		}
		return ans, err
	}
	return ans, control.Errorf(control.BadRequest, "unknown verb %q", req.Verb)
}

// libRef names a job whole; empty: none is named.
func libRef(jid job.JID) control.JobRef {
	if jid == 0 {
		return ""
	}
	return control.JobRef(jid.String())
}

func (d *jobd) libFind(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	v, err := d.id(ctx, peer, control.Request{PID: req.PID})
	if err != nil {
		return ans, err
	}
	if jid := v.(control.IDAnswer).JID; jid != nil {
		ans.JID = *jid
	}
	return ans, nil
}

// libJobs lists the open jobs that the caller sees, as they are at one moment.
func (d *jobd) libJobs(ctx context.Context, peer control.Peer) (ans control.JobAnswer, err error) {
	err = d.do(ctx, func() error {
		for _, in := range d.table.Jobs() {
			if d.seesJob(peer, &in) {
				ans.JIDs = append(ans.JIDs, in.JID)
			}
		}
		return nil
	})
	ans.Count = len(ans.JIDs)
	return ans, err
}

// libLook looks at one open job. One that has ended is none here: the ancestor forgot it at once, and its clients go by that.
func (d *jobd) libLook(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	err = d.do(ctx, func() error {
		in, err := d.table.Job(req.JID)
		if err != nil {
			return err
		}
		if err := d.allowed(peer, control.Anyone, in); err != nil {
			return err
		}
		ans.UID = in.UID
		oldest, ok := d.table.Oldest(req.JID)
		if !ok && req.Verb == control.JobGetPrimePID {
			return control.Errorf(control.NoProcess, "job %d is held, and empty", in.Seq)
		}
		ans.PID = oldest.PID
		ids, err := d.table.Members(req.JID)
		for _, id := range ids {
			ans.PIDs = append(ans.PIDs, id.PID)
		}
		return err
	})
	ans.Count = len(ans.PIDs)
	return ans, err
}

// libKill sends one signal, or with 0 asks whether it could be sent, to one open job alone.
func (d *jobd) libKill(ctx context.Context, peer control.Peer, req control.JobRequest) error {
	if err := d.do(ctx, func() error { _, err := d.table.Job(req.JID); return err }); err != nil {
		return err
	}
	v, err := d.kill(ctx, peer, control.Owner, control.Request{
		Verb: control.Kill, Job: libRef(req.JID), Signal: req.Signal, Probe: req.Signal == 0, Only: true,
	})
	if err != nil {
		return err
	}
	if k := v.(control.KillAnswer); k.Signalled == 0 && len(k.Refused) > 0 {
		return control.Errorf(control.Denied, "none of the job's processes is yours to signal")
	}
	return nil
}

// libWait waits for the end of one job alone. Where the books have it already, a shell's status is all that is known of the last
// process to leave, and one above 128 is taken for a signal's.
func (d *jobd) libWait(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	v, err := d.wait(ctx, peer, control.Owner, control.Request{Job: libRef(req.JID), Only: true})
	if err != nil {
		return ans, err
	}
	in := v.(job.Info)
	ans.JID, ans.Status = in.JID, in.WaitStatus
	if ans.Status == nil && in.ExitStatus != nil {
		status := job.WaitStatusOf(*in.ExitStatus)
		ans.Status = &status
	}
	return ans, nil
}

func (d *jobd) libCreate(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	v, err := d.change(ctx, peer, control.Request{
		Verb: control.Create, User: req.User, UID: &req.UID, GID: req.GID, Want: libRef(req.JID), Service: "libjob",
	})
	if err != nil {
		return ans, err
	}
	ans.JID = v.(job.Info).JID
	return ans, nil
}

// libMove attaches and detaches. A process that is not named is the caller.
func (d *jobd) libMove(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	r := control.Request{Verb: control.Detach, PID: req.PID}
	if r.PID == 0 {
		r.PID = peer.PID
		if !peer.Alive() {
			return ans, control.Errorf(control.NoProcess, "the process that asked has gone")
		}
	}
	switch req.Verb {
	case control.JobAttachPID:
		r.Verb, r.Job = control.Attach, libRef(req.JID)
	case control.JobDetachJID:
		r.PID, r.Job = 0, libRef(req.JID)
	}
	v, err := d.change(ctx, peer, r)
	if err != nil {
		return ans, err
	}
	c := v.(control.ChangeAnswer)
	ans.JID, ans.Already, ans.Count = c.JID, len(c.Already) > 0, len(c.Processes)
	return ans, nil
}

// libSetHID does what the ancestor's host id did beside being one: the last there is drains, any other resumes. jobd's own is
// in its configuration, and in the books.
func (d *jobd) libSetHID(ctx context.Context, peer control.Peer, req control.JobRequest) (ans control.JobAnswer, err error) {
	ans.HID = d.store.HID()
	verb := control.Resume
	switch {
	case req.HID == nil || *req.HID == ans.HID:
	case *req.HID == control.HIDDisabled:
		verb = control.Drain
	default:
		return ans, control.Errorf(control.Conflict, "the host id is %#x: another one takes a configuration (hid) and books of its own", ans.HID)
	}
	_, err = d.change(ctx, peer, control.Request{Verb: verb})
	return ans, err
}
