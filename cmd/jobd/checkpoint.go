package main

import (
	"context"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// checkpointLook is how long jobd sleeps at most before it looks whether the day is over: a timer does not count the time in
// which the host sleeps.
const checkpointLook = time.Hour

// checkpoints has every open job written down at each midnight of the host's own time, so that a report finds use on the
// day on which it was used. A midnight that jobd was not there for is made good at once. When the clock is set to another day, the
// day that it leaves ends there.
func (d *jobd) checkpoints(ctx context.Context) error {
	last := d.whole // when the books ended at the last stop
	if last.IsZero() {
		last = d.started
	}
	for {
		now := time.Now().Round(0)
		at, due := d.dayOver(last, now)
		if due {
			d.tryCheckpoint(ctx, at)
		}
		if due || now.Before(last) {
			last = now
		}
		t := time.NewTimer(min(time.Until(startOfDay(now.AddDate(0, 0, 1))), checkpointLook))
		select {
		case <-t.C:
		case old := <-d.clockSet:
			if now = time.Now().Round(0); startOfDay(now) != startOfDay(old) {
				d.tryCheckpoint(ctx, old)
				last = now
			}
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		t.Stop()
	}
}

// dayOver says whether a midnight has passed since the last time, and when the checkpoint of it is said to be.
func (d *jobd) dayOver(last, now time.Time) (at time.Time, due bool) {
	midnight := startOfDay(now)
	switch {
	case !midnight.After(last):
		return at, false
	case d.started.After(midnight): // jobd was not there
		return now, true
	}
	return midnight, true
}

func (d *jobd) tryCheckpoint(ctx context.Context, at time.Time) {
	if err := d.checkpoint(ctx, at); err != nil && ctx.Err() == nil {
		d.log.Error("cannot write a checkpoint", "error", err)
	}
}

func startOfDay(t time.Time) time.Time {
	y, m, day := t.Date()
	return time.Date(y, m, day, 0, 0, 0, 0, t.Location())
}

// checkpoint writes down what the members of every open job have used by now, said to be at. /proc is read outside of the
// loop, a job at a time.
func (d *jobd) checkpoint(ctx context.Context, at time.Time) error {
	jobs, err := d.look(ctx, func(job.Info) bool { return true })
	if err != nil {
		return err
	}
	charges := d.chargesOnce()
	for _, g := range jobs {
		err := d.inOpenJob(ctx, g, charges, func(live map[watch.ID]*watch.Usage, charged *int64) error {
			return d.table.Checkpoint(g.info.JID, at.UnixNano(), live, charged)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inOpenJob reads what the members of a job have used, and does something with it in the loop. A job that has ended by
// then is passed over: its members are on the books.
func (d *jobd) inOpenJob(ctx context.Context, g glance, charges chargesOf, f func(live map[watch.ID]*watch.Usage, charged *int64) error) error {
	charged, err := d.charged(g, charges) // read first: what is used meanwhile must not pass for what is on no record
	if err != nil {
		return err
	}
	live := make(map[watch.ID]*watch.Usage, len(g.members))
	for _, id := range g.members {
		live[id] = d.soFar(id.PID)
	}
	return d.do(ctx, func() error {
		if _, err := d.table.Job(g.info.JID); err != nil {
			return nil
		}
		for id, u := range live {
			if u != nil {
				u.CPU += d.engine.Exited(id)
			}
		}
		return f(live, charged)
	})
}

// chargesOf gives what the kernel itself added up of jobs.
type chargesOf func() (kernel.Charges, error)

// chargesOnce reads that when it is asked for first, and not again: the engine goes through all tasks for it.
func (d *jobd) chargesOnce() chargesOf { return sync.OnceValues(d.engine.Charges) }

// charged reads what the scheduler has charged to an open job, the charges only where no cgroup answers; nil where nobody knows.
func (d *jobd) charged(g glance, charges chargesOf) (*int64, error) {
	if cpu, ok := kernel.CgroupCPU(d.cgroups, g.placement); ok {
		return &cpu.Total, nil
	}
	all, err := charges()
	if err != nil {
		return nil, err
	}
	if ns, ok := all[kernel.Label(g.info.JID)]; ok {
		return &ns, nil
	}
	return nil, nil
}

// soFar reads what a process has used, its CPU as its exit record will have it; nil where it has gone.
func (d *jobd) soFar(pid int32) *watch.Usage {
	u, st, err := kernel.Proc.LiveUsage(pid)
	if err != nil {
		return nil
	}
	if ns, ok := kernel.Proc.Runtime(pid); ok {
		u.CPU = ns
	}
	u.Groups &= d.settings().Record.mask()
	_, age := kernel.StartTime(st)
	u.Elapsed = age.Nanoseconds()
	return u
}
