package main

import (
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// A job's own cgroup holds whatever was ever forked in it, whatever the events named as its parent: a process can be handed
// to a parent that is no ancestor of its job (an init of a pid namespace that was joined), and fork in its name. So the
// cgroup has the last word: it is compared with the job's members before the job may end, before it is killed, and now
// and then.

// sweepEvery is how long a full round over the jobs takes at least.
const sweepEvery = 10 * time.Second

// strays gives the processes in a job's own cgroup that are not its members. Root's word stands: what was detached is out.
func (d *jobd) strays(jid job.JID, p job.Placement) []watch.ID {
	if !p.Own {
		return nil
	}
	pids, err := d.cgroups.Members(p.Cgroup)
	if err != nil {
		return nil // it has gone with its last process
	}
	var out []watch.ID
	for _, pid := range pids {
		id, ok := d.engine.Identify(pid)
		if ok && !d.engine.Out(id) && d.engine.Label(id) != kernel.Label(jid) {
			out = append(out, id)
		}
	}
	return out
}

// reclaim makes members of those that strayed from a job, and counts them.
func (d *jobd) reclaim(jid job.JID, strays []watch.ID) (n int) {
	for _, id := range strays {
		from := d.table.Find(id)
		put := d.table.Adopt
		if from != 0 {
			put = d.table.Move
		}
		err := d.engine.Attach(id, kernel.Label(jid), monotonic())
		if err == nil {
			err = put(id, jid, job.Entrant{})
		}
		if err != nil {
			d.log.Error("cannot take back a process that is in the job's cgroup", "jid", jid, "pid", id.PID, "error", err)
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
		for _, b := range d.table.Briefs() {
			d.toSweep = append(d.toSweep, b.JID)
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
