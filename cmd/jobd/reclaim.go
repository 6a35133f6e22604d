package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// What a job's witnesses testify has the last word: a process can be handed to a parent that is no ancestor of its job (an init
// of a pid namespace that was joined), and fork in its name, and no event tells. So a job's cgroup is compared with its
// members before the job may end, before it is killed, and now and then; where that is not jobd's own, or there is only an audit
// session or a label, so are the witnesses of all processes now and then.

// sweepEvery is how long a full round over the jobs takes at least.
const sweepEvery = 10 * time.Second

// strays gives the processes in a job's cgroup that are not its members. Root's word stands: what was detached is out.
func (d *jobd) strays(jid job.JID, p job.Placement) []watch.ID {
	if p.Cgroup == "" {
		return nil
	}
	pids, err := d.cgroups.Members(p.Cgroup)
	if err != nil {
		return nil // it has gone with its last process
	}
	var out []watch.ID
	for _, pid := range pids {
		id, ok := d.strayed(pid, jid, p.Own)
		if !ok {
			continue
		}
		// A first thread that has exited stays listed where it was, though the others were moved since.
		if place, err := kernel.Proc.CgroupOfAny(pid); err == nil && place == p.Cgroup {
			out = append(out, id)
		}
	}
	return out
}

// strayed reports whether a process in a job's cgroup is no member of it and should be. In somebody else's cgroup others can be
// too: there it is one only if no other job and no word of root's speaks for it.
func (d *jobd) strayed(pid int32, jid job.JID, own bool) (watch.ID, bool) {
	id, ok := d.engine.Identify(pid)
	switch {
	case !ok || d.engine.Carries(id) == kernel.Label(jid):
		return id, false
	case own:
		return id, !d.engine.Out(id)
	}
	return id, d.engine.Claimed(pid) == kernel.Label(jid)
}

// reclaim makes members of those that strayed from a job, and counts them.
func (d *jobd) reclaim(jid job.JID, strays []watch.ID) (n int) {
	for _, id := range strays {
		from := d.table.Find(id)
		put := d.table.Adopt
		if from != 0 {
			put = d.table.Return
		}
		err := d.engine.Attach(id, kernel.Label(jid), monotonic())
		if err == nil {
			err = put(id, jid, job.Entrant{})
		}
		if errors.Is(err, kernel.ErrGone) {
			continue
		}
		if err != nil {
			d.log.Error("cannot take back a process that has a job's witness", "jid", jid, "pid", id.PID, "error", err)
			continue
		}
		n++
		in, _ := d.table.Job(jid) // it has just been put there
		d.log.Warn(tookBack, append(identity(&in), "pid", id.PID, "from", from.Seq())...)
	}
	return n
}

// sweep compares some jobs with their cgroups, so that all of them come up once in a round.
func (d *jobd) sweep() {
	if len(d.toSweep) == 0 {
		if time.Since(d.swept) < sweepEvery {
			return
		}
		d.swept = time.Now()
		foreign := false
		for _, b := range d.table.Briefs() {
			d.toSweep = append(d.toSweep, b.JID)
			foreign = foreign || d.labels != nil || !b.Placement.Own && (b.Placement.Cgroup != "" || b.Placement.Audit != nil)
		}
		if foreign {
			d.survey()
		}
	}
	const atATime = 50
	n := min(atATime, len(d.toSweep))
	for _, jid := range d.toSweep[:n] {
		if s, err := d.table.Saved(jid); err == nil {
			d.reclaim(jid, d.strays(jid, s.Placement))
		}
	}
	d.toSweep = slices.Delete(d.toSweep, 0, n)
}

// surveyShare bounds what surveys may cost: one part in so many of the time.
const surveyShare = 50

// survey reads all processes' witnesses, away from the loop, and takes back those that strayed.
func (d *jobd) survey() {
	if d.surveying || time.Now().Before(d.surveyAt) {
		return
	}
	d.surveying = true
	go func() {
		begin := time.Now()
		survey, err := d.engine.Survey()
		took := time.Since(begin)
		_ = d.do(context.Background(), func() error { // fails only when jobd stops
			d.surveying, d.surveyAt = false, time.Now().Add(surveyShare*took)
			d.trouble("cannot compare the processes with their witnesses", err)
			if err == nil {
				d.reclaimAll(survey)
			}
			return nil
		})
	}()
}

// reclaimAll takes back whoever a witness still speaks for now.
func (d *jobd) reclaimAll(s kernel.Survey) {
	var ids []watch.ID
	for _, pid := range d.engine.Suspects(s) {
		if id, ok := d.engine.Identify(pid); ok {
			ids = append(ids, id)
		}
	}
	d.reclaimEach(ids)
}

func (d *jobd) reclaimEach(ids []watch.ID) {
	for _, id := range ids {
		if label := d.engine.Claimed(id.PID); label != 0 && d.table.Find(id) != job.JID(label) && d.engine.Alive(id) {
			d.reclaim(job.JID(label), []watch.ID{id})
		}
		d.engine.Relabel(id)
	}
}

// goesOn puts a job back whose last member has gone and in whose cgroup somebody is left. It reports whether there was.
func (d *jobd) goesOn(s job.Saved) bool {
	if d.hopeless == s.JID {
		return false // whoever was in there could not be taken back
	}
	strays := d.strays(s.JID, s.Placement)
	if len(strays) == 0 {
		return false
	}
	s.State, s.Ended, s.EndReason, s.ExitStatus = job.Lingering, nil, "", nil
	s.Held = true // until the strays are in
	if err := d.table.Restore(s, watch.ID{}, nil, nil, nil); err != nil {
		d.log.Error("cannot go on with a job that has processes left in its cgroup", "jid", s.JID, "error", err)
		return false
	}
	d.hopeless = s.JID
	if d.reclaim(s.JID, strays) > 0 {
		d.hopeless = 0
	}
	if err := d.table.Release(s.JID); err != nil {
		d.log.Error("cannot let go of a job", "jid", s.JID, "error", err)
	}
	return true
}
