package report

import (
	"math"
	"slices"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Matcher is a Filter made ready. It remembers what it has seen, so it is for one goroutine.
type Matcher struct {
	user    string
	uid     *uint32
	gid     *uint32
	command *pattern
	exe     *pattern
	service string
	rhost   *host
	pid     int32
	tags    []tagged

	since, until          int64 // Unix ns, the latter not included
	minCPU, minRSS, minIO int64
	exit                  *status
}

// Job reports whether a job is wanted. One that is open reaches into now. What the filter says of processes alone (exe,
// pid) is not asked.
func (m *Matcher) Job(in *job.Info) bool {
	if !m.JobOf(in) || m.uid != nil && in.UID != *m.uid || m.gid != nil && (in.GID == nil || *in.GID != *m.gid) ||
		m.command != nil && !m.command.match(string(in.Command)) {
		return false
	}
	end := int64(math.MaxInt64)
	if in.Ended != nil {
		end = nanos(*in.Ended)
	}
	return m.overlaps(nanos(in.Started), end) && atLeast(m.minCPU, in.CPU) && atLeast(m.minRSS, in.MaxRSS) &&
		atLeast(m.minIO, in.ReadBytes, in.WriteBytes) && (m.exit == nil || in.ExitStatus != nil && m.exit.match(*in.ExitStatus))
}

// JobOf reports whether what the filter says of the job that a record belongs to holds: its user, service, remote host
// and tags. It is the same for all records of a job: ask once.
func (m *Matcher) JobOf(in *job.Info) bool {
	return (m.user == "" || in.User == m.user) && (m.service == "" || string(in.Service) == m.service) &&
		(m.rhost == nil || m.rhost.match(string(in.RHost))) &&
		!slices.ContainsFunc(m.tags, func(t tagged) bool { return !t.match(in.Tags) })
}

// member reports whether what only a process has (gid, exe, pid) holds for a record.
func (m *Matcher) member(r *job.Record) bool {
	return (m.pid == 0 || r.PID == m.pid) && (m.gid == nil || basic(r) && r.Usage.GID == *m.gid) && (m.exe == nil || m.ran(r))
}

// ran reports whether one of the programs that a process ran fits.
func (m *Matcher) ran(r *job.Record) bool {
	if m.exe.match(r.Exe) {
		return true
	}
	for i := range r.Execs {
		if m.exe.match(r.Execs[i].Exe) {
			return true
		}
	}
	return false
}

// Record reports whether what the filter says of a process holds for a record; JobOf has the rest. It allocates nothing
// but for names that the filter has not met before.
func (m *Matcher) Record(r *job.Record) bool {
	start := r.Start
	if start == 0 {
		start = r.End
	}
	u := &r.Usage
	return m.overlaps(start, r.End) && m.member(r) &&
		(m.uid == nil || basic(r) && u.UID == *m.uid) && (m.command == nil || r.Used && m.command.match(u.Comm)) &&
		(m.minCPU == 0 || known(r, watch.GroupCPU) && u.CPU >= m.minCPU) &&
		(m.minRSS == 0 || known(r, watch.GroupMemory) && u.MaxRSS >= m.minRSS) &&
		(m.minIO == 0 || known(r, watch.GroupIO) && u.ReadBytes+u.WriteBytes >= m.minIO) &&
		(m.exit == nil || r.Exited && m.exit.match(job.ExitStatus(r.Status)))
}

func (m *Matcher) overlaps(start, end int64) bool { return start < m.until && end >= m.since }

func known(r *job.Record, g watch.Group) bool { return r.Used && r.Usage.Groups.Has(g) }

func basic(r *job.Record) bool { return known(r, watch.GroupBasic) }

// atLeast reports whether all of the figures are known and are together what is asked for.
func atLeast(least int64, figures ...*int64) bool {
	if least == 0 {
		return true
	}
	sum := int64(0)
	for _, f := range figures {
		if f == nil {
			return false
		}
		sum += *f
	}
	return sum >= least
}
