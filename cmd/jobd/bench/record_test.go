package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// record makes up the record of the load's i-th process. They have to be asked for in order: the job's account is added
// up on the way, and ended says that this was the last of it.
func (l *load) record(i int) (r *job.Record, ended bool) {
	q := &l.procs[i]
	a := &l.jobs[q.job]
	r = &job.Record{
		JID: a.info.JID, PID: q.pid, Start: q.start, End: q.end, Status: q.what.status(l.rng), Exited: true, Forked: q.what.forked,
		Used: true, Usage: q.what.usage(l.rng, q.cpu, q.end-q.start), Exe: q.what.path, Execs: q.what.ran(l.rng, q.start),
	}
	u := &r.Usage
	u.UID, u.GID, u.PPID, u.BTime = a.info.UID, *a.info.GID, q.ppid, (q.end-u.Elapsed)/int64(time.Second)
	a.cpu, a.user, a.sys = a.cpu+u.CPU, a.user+u.User, a.sys+u.System
	a.extra += q.cpu - u.CPU + 150_000 + l.rng.Int64N(300_000) // what no tick saw
	a.read, a.write, a.rss = a.read+u.ReadBytes, a.write+u.WriteBytes, max(a.rss, u.MaxRSS)
	a.left--
	return r, a.left == 0
}

// closed is the job of the load's i-th process with its books closed.
func (l *load) closed(i int) job.Saved {
	a := &l.jobs[l.procs[i].job]
	in := a.info
	cpu, peak := a.cpu+a.extra, a.rss*3/2
	in.CPU, in.CPUUnattributed, in.CPUUser, in.CPUSystem = &cpu, &a.extra, &a.user, &a.sys
	in.MaxRSS, in.PeakMemory, in.ReadBytes, in.WriteBytes = &a.rss, &peak, &a.read, &a.write
	base := int64(0)
	return job.Saved{
		Info: in, AsOf: in.Ended.UnixNano(),
		Placement: job.Placement{Cgroup: fmt.Sprintf("/jobd/%d", in.Seq), Own: true, Audit: in.AuditSession, BaseCPU: &base, POEStart: uint64(in.Seq) * 113},
	}
}

// TestLoad looks whether the load is one that could have been: all of it there, in order, each process within its job.
func TestLoad(t *testing.T) {
	const jobs, procs = 5000, 50_000
	now := time.Date(2026, time.May, 3, 12, 0, 0, 0, time.UTC)
	l := newLoad(now, monthSpan, job.NewJID(7, 1000), jobs, procs)
	if len(l.procs) != procs {
		t.Fatalf("%d processes, want %d", len(l.procs), procs)
	}
	closed, last := 0, int64(0)
	for i := range l.procs {
		r, ended := l.record(i)
		u := &r.Usage
		switch in := &l.jobs[l.procs[i].job].info; {
		case r.End < last, r.Start >= r.End, u.CPU > r.End-r.Start, u.CoreMem < 0 || u.VirtMem < 0 || u.MaxVM < u.MaxRSS:
			t.Fatalf("process %d of %s could not have been: %+v", i, in.Command, r)
		case r.End > now.UnixNano(), r.Start < in.Started.UnixNano(), r.End > in.Ended.UnixNano():
			t.Fatalf("process %d is not within its job, from %v to %v: %+v", i, in.Started, in.Ended, r)
		}
		if last = r.End; !ended {
			continue
		}
		closed++
		if j := l.closed(i); *j.CPU < *j.CPUUnattributed || *j.CPUUnattributed < 0 || j.Ended.UnixNano() != r.End {
			t.Fatalf("the books of a job that ended with %+v do not fit: %+v", r, j)
		}
	}
	if closed != jobs {
		t.Errorf("%d jobs ended, want %d", closed, jobs)
	}
}
