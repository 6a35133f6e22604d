package main

import (
	"errors"
	"slices"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// subject gives the processes that a request is about: one, or the whole tree below it.
func (d *jobd) subject(req control.Request) ([]watch.ID, error) {
	if req.PID <= 0 {
		return nil, control.Errorf(control.BadRequest, "no process is named")
	}
	id, err := d.identify(req.PID)
	if err != nil {
		return nil, err
	}
	if !req.Tree {
		return []watch.ID{id}, nil
	}
	return d.engine.Children(id), nil
}

// into gives the open job that processes are to be put into, and the processes.
func (d *jobd) into(peer control.Peer, req control.Request) (in job.Info, ids []watch.ID, err error) {
	jid, err := d.resolve(peer, req.Job)
	if err == nil {
		in, err = d.table.Job(jid)
	}
	if err == nil {
		ids, err = d.subject(req)
	}
	return in, ids, err
}

func (d *jobd) attach(peer control.Peer, req control.Request) (any, error) {
	to, ids, err := d.into(peer, req)
	if err != nil {
		return nil, err
	}
	jid := to.JID
	for _, id := range ids { // all or nothing: look before touching
		if in := d.table.Find(id); in != 0 && in != jid {
			return nil, &control.Error{
				Code: control.Conflict, Message: "process " + itoa(id.PID) + " is in job " + itoa(int32(in.Seq())),
				Hint: "move it instead: jobctl move",
			}
		}
	}
	there, ids := d.split(ids, jid)
	if len(ids) > 0 {
		if err := d.room(jid, ids); err != nil {
			return nil, err
		}
		ids, err = d.each(ids, func(id watch.ID) error { return d.enter(id, jid, d.table.Attach) })
		d.table.Save(jid)
		d.moved("attach", &to, ids, &peer)
	}
	if len(there) > 0 && errors.Is(err, kernel.ErrGone) { // only those that were to be put in have
		err = nil
	}
	ans := changed(jid, append(there, ids...))
	ans.Already = changed(jid, there).Processes
	return ans, err
}

// split divides processes into those that are in a job, and the others.
func (d *jobd) split(ids []watch.ID, jid job.JID) (in, out []watch.ID) {
	for _, id := range ids {
		if d.table.Find(id) == jid {
			in = append(in, id)
		} else {
			out = append(out, id)
		}
	}
	return in, out
}

// each does something to every process, and gives those to which it was done. One that exits meanwhile is left out.
func (d *jobd) each(ids []watch.ID, do func(watch.ID) error) (done []watch.ID, err error) {
	for _, id := range ids {
		switch err := do(id); {
		case errors.Is(err, kernel.ErrGone):
		case err != nil:
			return done, err
		default:
			done = append(done, id)
		}
	}
	if len(done) == 0 {
		return nil, kernel.ErrGone
	}
	return done, nil
}

// enter puts a process where its new job is held, labels it, and puts it on the books by put.
func (d *jobd) enter(id watch.ID, jid job.JID, put func(watch.ID, job.JID, job.Entrant) error) error {
	saved, err := d.table.Saved(jid)
	if err != nil {
		return err
	}
	if !d.engine.Alive(id) {
		return kernel.ErrGone
	}
	if err := d.rehouse(id, saved.Placement); err != nil {
		return err
	}
	if err := d.engine.Attach(id, kernel.Label(jid), monotonic()); err != nil {
		return err
	}
	return put(id, jid, job.Entrant{Known: d.onFile(id), Before: d.spentBy(id)})
}

// onFile is a process's identity on file; without a start where it has gone, or cannot be looked at now.
func (d *jobd) onFile(id watch.ID) job.Known {
	st, err := kernel.Proc.Stat(id.PID)
	if err != nil || !d.engine.Alive(id) { // in this order: it may have been another's pid meanwhile
		return job.Known{PID: id.PID}
	}
	return job.Known{PID: id.PID, Start: st.Start}
}

// spentBy reads what a process has used, as its record will have it: with its threads that are gone, as far as they are on that.
func (d *jobd) spentBy(id watch.ID) job.Spent {
	s := kernel.Proc.Spent(id.PID)
	s.CPU += d.engine.Exited(id)
	return s
}

// rehouse puts a process into its new job's cgroup. Where that job has none of its own, the process at least leaves that of
// the job it comes from, which would claim it again.
func (d *jobd) rehouse(id watch.ID, to job.Placement) error {
	if from, err := d.table.Saved(d.table.Find(id)); err == nil && !to.Own {
		return d.engine.Leave(id.PID, from.Placement)
	}
	return d.engine.Join(id.PID, to)
}

func (d *jobd) move(peer control.Peer, req control.Request) (any, error) {
	to, ids, err := d.into(peer, req)
	if err != nil {
		return nil, err
	}
	if d.table.Find(ids[0]) == 0 {
		return nil, &control.Error{Code: control.Conflict, Message: "process " + itoa(req.PID) + " is in no job", Hint: "attach it instead: jobctl attach"}
	}
	ids = slices.DeleteFunc(ids, func(id watch.ID) bool { return d.table.Find(id) == 0 })
	if err := d.room(to.JID, ids); err != nil {
		return nil, err
	}
	ids, err = d.each(ids, func(id watch.ID) error { return d.enter(id, to.JID, d.table.Move) })
	d.table.Save(to.JID)
	d.moved("move", &to, ids, &peer)
	return changed(to.JID, ids), err
}

// detach takes a process, a tree, or all of a job out: for good, whatever a witness says later.
func (d *jobd) detach(peer control.Peer, req control.Request) (any, error) {
	var ids []watch.ID
	var jid job.JID
	var err error
	if req.PID != 0 {
		ids, err = d.subject(req)
		if err == nil {
			jid = d.table.Find(ids[0])
		}
	} else if jid, err = d.resolve(peer, req.Job); err == nil {
		ids, err = d.table.Members(jid)
	}
	if err != nil {
		return nil, err
	}
	if jid == 0 {
		return nil, control.Errorf(control.Conflict, "process %d is in no job", req.PID)
	}
	ids = slices.DeleteFunc(ids, func(id watch.ID) bool { return d.table.Find(id) != jid })
	from, err := d.table.Job(jid)
	if err != nil {
		return nil, err
	}
	ids, err = d.each(ids, func(id watch.ID) error { return d.detachOne(id, jid, monotonic()) })
	d.table.Save(jid)
	d.moved("detach", &from, ids, &peer)
	return changed(jid, ids), err
}

// detachOne takes a process out, and what it has forked since a moment, as far as that is not known yet.
func (d *jobd) detachOne(id watch.ID, jid job.JID, since int64) error {
	saved, err := d.table.Saved(jid)
	if err != nil {
		return err
	}
	known, spent := d.onFile(id), d.spentBy(id)
	if known.Start == 0 {
		return kernel.ErrGone
	}
	if err := d.engine.Leave(id.PID, saved.Placement); err != nil {
		return err
	}
	if err := d.engine.Detach(id, since); err != nil {
		return err
	}
	_, err = d.table.Detach(id, known, spent)
	return err
}

func changed(jid job.JID, ids []watch.ID) control.ChangeAnswer {
	a := control.ChangeAnswer{JID: jid, Seq: jid.Seq(), Processes: []int32{}, Already: []int32{}}
	for _, id := range ids {
		a.Processes = append(a.Processes, id.PID)
	}
	return a
}
