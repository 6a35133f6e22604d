package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/metrics"
	"github.com/jobd-project/jobd/store"
)

// spending is what one job has used, ns and bytes.
type spending struct{ cpu, read, write int64 }

// atLeast raises figures that must not fall: a sample of a living process can be ahead of its exit record.
func (s *spending) atLeast(o spending) {
	s.cpu, s.read, s.write = max(s.cpu, o.cpu), max(s.read, o.read), max(s.write, o.write)
}

// meter samples what open jobs have used so far, for scrapes. It reads outside the loop, the job that was looked at
// longest ago first, and no longer than a scrape can spare.
type meter struct {
	mu   sync.Mutex
	jobs map[job.JID]*sample
}

type sample struct {
	at   time.Time
	used spending // never falls
}

// meterMost is how long the reading may take of a scrape; what was not read keeps its last figure.
const meterMost = 2 * time.Millisecond

// account closes a job's account with its user, by the same figures as the store does with the job's end. It runs in the loop.
func (d *jobd) account(in *job.Info) {
	d.meter.mu.Lock()
	delete(d.meter.jobs, in.JID)
	d.meter.mu.Unlock()
	d.spent[in.User] = d.spent[in.User].Plus(store.UsedBy(in))
}

// measure takes the snapshot for one scrape.
func (d *jobd) measure() (metrics.Snapshot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s := metrics.Snapshot{
		Version: version, Cgroup: d.cgroupEffect(), Witnesses: d.witnesses(),
		Jobs: map[job.State]int{job.Open: 0, job.Lingering: 0},
	}
	var open []reading
	var spent map[string]store.Total
	err := d.do(ctx, func() (err error) {
		if open, err = d.readings(); err != nil {
			return err
		}
		spent = maps.Clone(d.spent)
		d.measureModel(&s)
		return nil
	})
	if err != nil {
		return s, err
	}
	d.measureJobs(&s, open, spent)
	d.measureStore(&s)
	d.api.measure(&s)
	return s, nil
}

func (d *jobd) measureModel(s *metrics.Snapshot) {
	c := d.engine.Counts()
	d.storeTrouble()
	since, _ := d.troubles.degraded()
	e := &metrics.Engine{
		Name: d.engine.Name(), Events: make(map[watch.Kind]uint64), Lost: c.Lost, Unwitnessed: c.Unwitnessed,
		Resyncs: c.Resyncs, Refused: c.Refused, DegradedSince: since,
		RecordsMissed: d.recordsMissed(c), RecordsUntold: c.RecordsUntold, RecordsDue: d.table.Due(),
		ExecsUnread: c.ExecsUnread, Unlabelled: c.Unlabelled,
	}
	for _, k := range watch.Kinds() {
		e.Events[k], _ = d.watch.Count(k)
	}
	s.Engine = e
	b := d.table.Balance()
	s.Balance = &b
	size := d.journal.Size()
	s.Journal = &size
	drained := d.table.Drained()
	s.Drained = &drained
	s.Watching = &metrics.Watching{Streams: d.watching.readers, Subscriptions: len(d.watching.subs)}
	measureHearing(s, d.engine.Name(), c)
}

// recordsMissed is how many members are gone of whose exit there is no record. What bpf's ring dropped was of members, some of whom were
// found to be gone later; what the connector's socket dropped was of anybody.
func (d *jobd) recordsMissed(c kernel.Counts) uint64 {
	if d.engine.Name() == engineConnector {
		return c.RecordsMissed
	}
	return max(c.RecordsMissed, c.RecordsLost)
}

// measureHearing is about what the kernel tells the engine by.
func measureHearing(s *metrics.Snapshot, engine string, c kernel.Counts) {
	events, records := int64(c.QueuedEvents), int64(c.QueuedRecords)
	if engine != engineConnector {
		s.Sockets = []metrics.Socket{{Name: "ring", Queue: &events, Drops: &c.EventsDropped}}
		return
	}
	s.Taskstats = &metrics.Taskstats{Seen: c.Records, Missed: c.TasksMissed, Unmatched: c.RecordsStray}
	s.Sockets = []metrics.Socket{
		{Name: "connector", Queue: &events, Drops: &c.EventsDropped},
		{Name: "taskstats", Queue: &records, Drops: &c.RecordsLost},
	}
}

// reading is an open job as a scrape looks at it. Its members are listed only where no cgroup answers for them.
type reading struct {
	job.Brief
	members glance
	sample  *sample // stays what it was when the job ends meanwhile
}

// readings runs in the loop.
func (d *jobd) readings() ([]reading, error) {
	briefs := d.table.Briefs()
	out := make([]reading, len(briefs))
	for i, b := range briefs {
		out[i].Brief, out[i].sample = b, d.meter.sample(b.JID)
		if b.Placement.BaseCPU != nil {
			continue
		}
		g, err := d.glance(job.Info{JID: b.JID})
		if err != nil {
			return nil, err
		}
		out[i].members = g
	}
	return out, nil
}

// measureJobs adds up by user: what jobs that have ended used, and what the open ones have so far.
func (d *jobd) measureJobs(s *metrics.Snapshot, open []reading, spent map[string]store.Total) {
	d.meter.read(d.engine, d.cgroups, open)
	users := make(map[string]*metrics.User)
	user := func(name string) *metrics.User {
		if users[name] == nil {
			users[name] = &metrics.User{Name: name, CPU: new(float64), ReadBytes: new(float64), WriteBytes: new(float64)}
		}
		return users[name]
	}
	add := func(u *metrics.User, t store.Total) {
		*u.CPU, *u.ReadBytes, *u.WriteBytes = *u.CPU+t.CPU, *u.ReadBytes+t.Read, *u.WriteBytes+t.Write
	}
	for name, sp := range spent {
		if name == store.Forgotten && d.cfg.Metrics.Users {
			continue // what comes to it has been said of somebody, and would be counted twice
		}
		add(user(name), sp)
	}
	for i := range open {
		in := &open[i].Brief
		s.Jobs[in.State]++
		u := user(in.User)
		u.Jobs++
		u.Processes += in.Processes
		add(u, d.meter.used(open[i].sample))
	}
	for _, u := range users {
		s.Users = append(s.Users, *u)
	}
	slices.SortFunc(s.Users, func(a, b metrics.User) int { return strings.Compare(a.Name, b.Name) })
}

func (d *jobd) measureStore(s *metrics.Snapshot) {
	st, keep := d.store.Stats(), &d.settings().Keep
	s.Store = &metrics.Store{Commits: st.Commits, Queued: st.Queued, Dropped: st.Dropped, Errors: st.Errors, LastCommit: st.LastCommit,
		Halted: !st.Halted.IsZero(), QueuedJobs: st.QueuedJobs, DroppedJobs: st.DroppedJobs,
		Commit:      &metrics.Histogram{Bounds: store.CommitBounds[:], Counts: st.Took[:], Sum: st.TookSum.Seconds()},
		KeepRecords: max(days(keep.ProcessDays), 0), KeepJobs: max(days(keep.JobDays), 0),
	}
	if st.FileSize > 0 {
		s.Store.Bytes = &st.FileSize
	}
	if free, err := store.FreeBytes(d.cfg.StateDir); err == nil {
		s.Store.Free = &free
	}
	floor := max(keep.floor(), 0)
	s.Store.Floor = &floor
	if a := d.auditing().status(); a.On {
		s.Audit = &metrics.Audit{Sent: a.Sent, Dropped: a.Dropped}
	}
}

// read takes samples, the oldest first, until the time is up.
func (m *meter) read(from charger, cgroups *kernel.Cgroups, open []reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type turn struct {
		r *reading
		s *sample
	}
	order := make([]turn, len(open))
	for i := range open {
		order[i] = turn{&open[i], open[i].sample}
	}
	slices.SortFunc(order, func(a, b turn) int { return a.s.at.Compare(b.s.at) })
	charges := sync.OnceValue(func() kernel.Charges { // all tasks are gone through for that
		c, _ := from.Charges() // where it fails the members tell
		return c
	})
	end := time.Now().Add(meterMost)
	for _, o := range order {
		d := o.r.Departed // what has departed is known without reading
		used := spending{d.CPU, d.ReadBytes, d.WriteBytes}
		if now := time.Now(); now.Before(end) {
			o.s.at = now
			readJob(&used, charges, cgroups, o.r)
		}
		o.s.used.atLeast(used)
	}
}

// readJob reads what the scheduler charged to a job, or to its cgroup; where neither is known, what its living members used.
func readJob(used *spending, charges func() kernel.Charges, cgroups *kernel.Cgroups, r *reading) {
	if cpu, ok := kernel.CgroupCPU(cgroups, r.Placement); ok {
		used.cpu = max(used.cpu, cpu.Total)
		return
	}
	if ns, ok := charges()[kernel.Label(r.JID)]; ok {
		used.cpu = max(used.cpu, ns)
		return
	}
	for _, id := range r.members.members {
		if u, err := kernel.Proc.LiveCPU(id.PID); err == nil {
			used.cpu += r.members.before[id].OffLive(u).CPU
		}
	}
}

// sample gives that of an open job. It is made in the loop: account, which takes it away, runs there, too.
func (m *meter) sample(jid job.JID) *sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.jobs[jid]
	if s == nil {
		if m.jobs == nil {
			m.jobs = make(map[job.JID]*sample)
		}
		s = &sample{}
		m.jobs[jid] = s
	}
	return s
}

func (m *meter) used(s *sample) store.Total {
	m.mu.Lock()
	defer m.mu.Unlock()
	return store.Total{CPU: float64(s.used.cpu) / 1e9, Read: float64(s.used.read), Write: float64(s.used.write)}
}
