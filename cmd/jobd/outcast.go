package main

import (
	"errors"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
)

// keepOut puts on file what is left of those that were taken out of a job and have gone: after a restart a witness that both
// inherited, such as the audit session, would bring it back.
func (d *jobd) keepOut() {
	outcasts := d.engine.Outcasts()
	if len(outcasts) == 0 {
		return
	}
	of := make(map[job.JID][]job.Known)
	for _, o := range outcasts {
		if known := d.onFile(o.ID); known.Start != 0 {
			for _, jid := range d.keepers(o.Of, known.PID) {
				of[jid] = append(of[jid], known)
			}
		}
	}
	for jid, known := range of {
		d.table.KeepOut(jid, known, isThere)
	}
}

func isThere(k job.Known) bool {
	st, err := kernel.Proc.Stat(k.PID)
	return errors.Is(err, kernel.ErrBusy) || err == nil && st.Start == k.Start
}

// keepers are the jobs that have it on file that a process is out: the one that it was taken out of, and after its end those
// that go on with an audit session that it has too.
func (d *jobd) keepers(of job.JID, pid int32) (out []job.JID) {
	if _, err := d.table.Job(of); err == nil {
		return []job.JID{of}
	}
	session := kernel.Proc.Session(pid)
	for _, b := range d.table.Briefs() {
		if same(session, b.Placement.Audit) {
			out = append(out, b.JID)
		}
	}
	return out
}

// bequeath has those who were taken out of a job that has ended kept out by others.
func (d *jobd) bequeath(s job.Saved) {
	for _, known := range s.Placement.Detached {
		if isThere(known) {
			for _, jid := range d.keepers(s.JID, known.PID) {
				d.table.KeepOut(jid, []job.Known{known}, isThere)
			}
		}
	}
}
