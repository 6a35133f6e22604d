package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// Login answers login.sock: the process at the other end opens or closes a session.
func (d *jobd) Login(ctx context.Context, peer control.Peer, req control.LoginRequest) (control.LoginAnswer, error) {
	start := time.Now()
	var ans control.LoginAnswer
	err := d.doBy(ctx, d.logins, func() (err error) {
		d.asks = &peer
		if req.Verb == "close" {
			return d.closeSession(peer)
		}
		ans, err = d.openSession(peer, req)
		return err
	})
	switch {
	case err != nil:
		d.loginRefused(peer, req, err)
	case req.Verb == "open":
		d.api.login(ans, time.Since(start))
	}
	return ans, asError(err)
}

// openSession makes a job for the caller, or marks the session in the job that it is in.
func (d *jobd) openSession(peer control.Peer, req control.LoginRequest) (control.LoginAnswer, error) {
	id, err := d.hearAgain(peer.PID)
	if err != nil {
		return control.LoginAnswer{}, err
	}
	if !peer.Alive() {
		return control.LoginAnswer{}, control.Errorf(control.NoProcess, "the process that asked has gone")
	}
	jid := d.table.Find(id)
	if jid == 0 {
		in, err := d.create(job.Request{Proc: id, Info: loginInfo(req)})
		return control.LoginAnswer{JID: in.JID}, err
	}
	in, err := d.table.Job(jid)
	if err != nil {
		return control.LoginAnswer{}, err
	}
	if d.table.IsPOE(id) && in.User == req.User && string(in.Service) == req.Service {
		return control.LoginAnswer{JID: jid}, nil // one job for a PAM process, however often it asks
	}
	if req.Nested && !d.table.IsPOE(id) {
		in, err := d.create(job.Request{Proc: id, Info: loginInfo(req), Nested: true})
		return control.LoginAnswer{JID: in.JID}, err
	}
	uid := req.UID
	err = d.table.AddMark(jid, job.Mark{
		Service: job.Text(req.Service), User: job.Text(req.User), UID: &uid, PID: id.PID, TTY: job.Text(req.TTY),
	})
	if err == nil {
		d.log.Info(sessionMark, append(append(identity(&in), "mark_user", req.User, "mark_uid", req.UID, "mark_service", req.Service,
			"mark_tty", req.TTY), by(&peer)...)...)
	}
	return control.LoginAnswer{JID: jid, Mark: true}, err
}

// closeSession notes that the caller closed its session. A nested POE goes back to the job that it came from.
func (d *jobd) closeSession(peer control.Peer) error {
	id, err := d.identify(peer.PID)
	if err != nil {
		return nil // nothing to close
	}
	former, nested := d.table.Former(id)
	if !d.table.CloseSession(id) || !nested {
		return nil
	}
	err = d.enter(id, former, d.table.Return)
	d.table.Save(former)
	if in, gone := d.table.Job(former); err == nil && gone == nil {
		d.moved("return", &in, []watch.ID{id}, &peer)
	}
	return err
}

// identify gives the identity of a living process.
func (d *jobd) identify(pid int32) (watch.ID, error) {
	id, ok := d.engine.Identify(pid)
	if !ok {
		return watch.ID{}, control.Errorf(control.NoProcess, "there is no process %d", pid)
	}
	return id, nil
}

// create makes a job: the kernel is made to hold it first, so that nothing is on the books that the kernel does not
// know. When something fails on the way, all of it is taken back.
func (d *jobd) create(r job.Request) (job.Info, error) {
	d.reserve()
	jid, err := d.table.Allocate(r.JID)
	if err != nil {
		return job.Info{}, err
	}
	r.JID = jid
	label := kernel.Label(jid)
	if r.Proc == (watch.ID{}) {
		r.Placement, err = d.engine.PlaceHeld(jid)
	} else {
		r.Placement, err = d.engine.Place(r.Proc.PID, jid)
	}
	if err != nil {
		return job.Info{}, err
	}
	if r.Proc != (watch.ID{}) {
		r.Info.LoginUID, r.Info.AuditSession = kernel.Proc.LoginUID(r.Proc.PID), kernel.Proc.Session(r.Proc.PID)
	}
	r.Info.Witness = job.Text(d.engine.Testify(label, r.Placement, r.Info.AuditSession))
	old := d.table.Find(r.Proc)
	if r.Proc != (watch.ID{}) && !r.Placement.Own {
		if err := d.rehouse(r.Proc, r.Placement); err != nil {
			d.undoCreate(r, old)
			return job.Info{}, err
		}
	}
	if r.Proc != (watch.ID{}) {
		if place, err := kernel.Proc.Cgroup(r.Proc.PID); err == nil {
			r.Info.LogindSession = job.Text(kernel.LogindSession(place))
		}
		err = d.engine.Attach(r.Proc, label, monotonic())
	}
	var in job.Info
	if err == nil {
		in, err = d.table.Create(r)
	}
	if err != nil {
		d.undoCreate(r, old)
		return job.Info{}, err
	}
	if r.Proc != (watch.ID{}) {
		d.awaitAudit(jid, r.Placement)
	}
	return in, nil
}

// undoCreate puts a process back to where it was before create.
func (d *jobd) undoCreate(r job.Request, old job.JID) {
	var errs []error
	if r.Proc != (watch.ID{}) {
		if saved, err := d.table.Saved(old); err == nil && saved.Placement.Own {
			errs = append(errs, d.engine.Join(r.Proc.PID, saved.Placement))
		} else {
			errs = append(errs, d.engine.Leave(r.Proc.PID, r.Placement))
		}
		if d.engine.Alive(r.Proc) {
			errs = append(errs, d.engine.Attach(r.Proc, kernel.Label(old), monotonic()))
		}
	}
	errs = append(errs, d.engine.Forget(kernel.Label(r.JID)))
	if err := d.engine.Unplace(r.Placement); err != nil {
		d.unplaced = append(d.unplaced, unplaced{placement: r.Placement})
	}
	if err := errors.Join(errs...); err != nil {
		d.log.Error("cannot take back a job that could not be made", "jid", r.JID, "error", err)
	}
}

// loginInfo is what a login says of itself.
func loginInfo(req control.LoginRequest) job.Info {
	in := job.Info{
		User: req.User, UID: req.UID, Service: job.Text(req.Service), TTY: job.Text(req.TTY), RHost: job.Text(req.RHost),
		AuthKey: job.Text(fingerprint(req.Auth)),
	}
	if req.HasGID {
		in.GID = &req.GID
	}
	// SSH_CONNECTION: client address, client port, server address, server port (sshd(8)).
	if f := strings.Fields(req.Connection); len(f) == 4 {
		if port, err := strconv.Atoi(f[1]); err == nil && port > 0 && port < 1<<16 {
			in.RPort = &port
		}
		if in.RHost == "" {
			in.RHost = job.Text(f[0])
		}
	}
	return in
}

// fingerprint gives the SHA-256 fingerprint, as ssh-keygen -l prints it, of the last key in SSH_AUTH_INFO_0, whose lines
// read "publickey TYPE BASE64". Other methods leave no key.
func fingerprint(auth string) string {
	out := ""
	for line := range strings.Lines(auth) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "publickey" {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(f[2])
		if err != nil {
			continue
		}
		sum := sha256.Sum256(blob)
		out = "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
	}
	return out
}

// asError gives an error of the table or the kernel the code that clients go by.
func asError(err error) error {
	var e *control.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	code := control.Internal
	for _, c := range []struct {
		is   error
		code control.Code
	}{
		{job.ErrNoJob, control.NoSuchJob},
		{job.ErrNotMember, control.Conflict}, {job.ErrMember, control.Conflict}, {job.ErrOtherJob, control.Conflict},
		{job.ErrBusy, control.Conflict}, {job.ErrFull, control.Conflict}, {job.ErrNotHeld, control.Conflict},
		{job.ErrDrained, control.Disabled}, {job.ErrNoSequence, control.Unavailable},
		{job.ErrOtherHost, control.BadRequest}, {job.ErrNeedProcess, control.BadRequest}, {job.ErrJID, control.BadRequest},
		{kernel.ErrGone, control.NoProcess},
	} {
		if errors.Is(err, c.is) {
			code = c.code
		}
	}
	return &control.Error{Code: code, Message: err.Error()}
}
