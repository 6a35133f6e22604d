package metrics

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/prometheus/client_golang/prometheus"
)

// page is one scrape in the making.
type page struct {
	c       *Collector
	metrics []prometheus.Metric
}

func (p *page) snapshot(s *Snapshot) {
	p.info(s)
	p.jobs(s)
	p.users(s.Users)
	p.engine(s.Engine)
	p.taskstats(s.Taskstats)
	p.store(s.Store)
	p.size(nameJournalSize, s.Journal)
	p.logins(s.Logins)
	p.requests(s.Requests)
	p.sockets(s.Sockets)
	p.watching(s.Watching)
	p.audit(s.Audit)
}

func (p *page) info(s *Snapshot) {
	engine := ""
	if s.Engine != nil {
		engine = s.Engine.Name
	}
	if s.Version != "" || engine != "" || s.Cgroup != "" {
		p.put(nameInfo, 1, clean(s.Version), clean(engine), clean(s.Cgroup))
	}
	seen := make(map[string]bool)
	for _, w := range s.Witnesses {
		if w = p.c.label(nameWitness, 0, w); !seen[w] {
			seen[w] = true
			p.put(nameWitness, 1, w)
		}
	}
}

func (p *page) jobs(s *Snapshot) {
	if s.Jobs != nil {
		for _, state := range []job.State{job.Open, job.Lingering} {
			p.put(nameJobs, float64(s.Jobs[state]), string(state))
		}
	}
	if s.Drained != nil {
		p.put(nameDrained, oneIf(*s.Drained))
	}
	b := s.Balance
	if b == nil {
		return
	}
	p.count(nameJoined, b.Attached, "attached")
	p.count(nameJoined, b.Inherited, "inherited")
	p.count(nameJoined, b.Adopted, "adopted")
	p.count(nameDeparted, b.Departed)
	p.put(nameMembers, float64(b.Live))
	p.put(nameBalanceError, float64(b.Error()))
}

func (p *page) users(users []User) {
	if users == nil {
		return
	}
	rows, folded := p.c.users.rows(users)
	for _, r := range rows {
		labels := []string{r.label}
		if p.c.users.noNames {
			labels = nil
		}
		p.put(nameUserJobs, float64(r.jobs), labels...)
		p.put(nameUserProcesses, float64(r.processes), labels...)
		p.known(nameUserCPU, r.cpu, labels...)
		p.known(nameUserRead, r.read, labels...)
		p.known(nameUserWrite, r.write, labels...)
	}
	if !p.c.users.noNames {
		p.put(nameUsersFolded, float64(folded))
	}
}

func (p *page) engine(e *Engine) {
	if e == nil {
		return
	}
	for _, k := range watch.Kinds() {
		if n, ok := e.Events[k]; ok {
			p.count(nameEvents, n, k.String())
		}
	}
	p.count(nameEventsLost, e.Lost)
	p.count(nameUnwitnessed, e.Unwitnessed)
	p.count(nameResyncs, e.Resyncs)
	p.count(nameRefused, e.Refused)
	p.count(nameRecordsMissed, e.RecordsMissed)
	p.count(nameRecordsUntold, e.RecordsUntold)
	p.put(nameRecordsDue, float64(e.RecordsDue))
	p.count(nameExecsUnread, e.ExecsUnread)
	p.count(nameUnlabelled, e.Unlabelled)
	if e.DegradedSince.IsZero() {
		p.put(nameDegraded, 0)
		return
	}
	p.put(nameDegraded, 1)
	p.time(nameDegradedSince, e.DegradedSince)
}

func (p *page) taskstats(t *Taskstats) {
	if t == nil {
		return
	}
	p.count(nameTaskstats, t.Seen)
	p.count(nameTaskstatsMissed, t.Missed)
	p.count(nameTaskstatsUnmatched, t.Unmatched)
}

func (p *page) store(s *Store) {
	if s == nil {
		return
	}
	p.count(nameStoreCommits, s.Commits)
	p.put(nameStoreQueued, float64(s.Queued))
	p.count(nameStoreDropped, s.Dropped)
	p.put(nameStoreQueuedJobs, float64(s.QueuedJobs))
	p.count(nameStoreDropJobs, s.DroppedJobs)
	p.histogram(nameStoreCommit, s.Commit)
	p.count(nameStoreErrors, s.Errors)
	p.put(nameStoreHalted, oneIf(s.Halted))
	p.size(nameStoreSize, s.Bytes)
	p.size(nameStoreFree, s.Free)
	p.size(nameStoreFloor, s.Floor)
	for of, keep := range map[string]time.Duration{"records": s.KeepRecords, "jobs": s.KeepJobs} {
		if keep > 0 {
			p.put(nameStoreKeep, keep.Seconds(), of)
		}
	}
	p.time(nameStoreLastCommit, s.LastCommit)
}

func (p *page) watching(w *Watching) {
	if w != nil {
		p.put(nameStreams, float64(w.Streams))
		p.put(nameSubscriptions, float64(w.Subscriptions))
	}
}

func (p *page) audit(a *Audit) {
	if a != nil {
		p.count(nameAudit, a.Sent)
		p.count(nameAuditDropped, a.Dropped)
	}
}

func (p *page) logins(l *Logins) {
	if l == nil {
		return
	}
	p.counts(nameLogins, l.Answered)
	p.counts(nameLoginsRefused, l.Refused)
	p.histogram(nameLoginDuration, l.Latency)
}

func (p *page) requests(requests []Request) {
	sums := make(map[[2]string]uint64, len(requests))
	for _, r := range requests {
		sums[[2]string{p.c.label(nameRequests, 0, r.Verb), p.c.label(nameRequests, 1, r.Result)}] += r.Count
	}
	for l, n := range sums {
		p.count(nameRequests, n, l[0], l[1])
	}
}

func (p *page) sockets(sockets []Socket) {
	queues, drops := make(map[string]int64), make(map[string]uint64)
	for _, s := range sockets {
		name := p.c.label(nameSocketDrops, 0, s.Name)
		if s.Queue != nil {
			queues[name] += *s.Queue
		}
		if s.Drops != nil {
			drops[name] += *s.Drops
		}
	}
	for name, n := range queues {
		p.put(nameSocketQueue, float64(n), name)
	}
	for name, n := range drops {
		p.count(nameSocketDrops, n, name)
	}
}

// counts puts a counter with one label. Places are given in the order of the alphabet, so that it is the same each time.
func (p *page) counts(name string, by map[string]uint64) {
	sums := make(map[string]uint64, len(by))
	for _, k := range slices.Sorted(maps.Keys(by)) {
		sums[p.c.label(name, 0, k)] += by[k]
	}
	for l, n := range sums {
		p.count(name, n, l)
	}
}

func (p *page) histogram(name string, h *Histogram) {
	if h == nil {
		return
	}
	if !h.valid() {
		p.c.failures++
		return
	}
	total, below := uint64(0), make(map[float64]uint64, len(h.Bounds))
	for i, n := range h.Counts {
		total += n
		if i < len(h.Bounds) {
			below[h.Bounds[i]] = total
		}
	}
	p.metrics = append(p.metrics, prometheus.MustNewConstHistogram(p.c.descs[name].desc, total, h.Sum, below))
}

// valid holds a histogram to what an exposition can say.
func (h *Histogram) valid() bool {
	if len(h.Counts) != len(h.Bounds)+1 {
		return false
	}
	for i, b := range h.Bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= h.Bounds[i-1] {
			return false
		}
	}
	return true
}

func (p *page) time(name string, t time.Time) {
	if !t.IsZero() {
		p.put(name, float64(t.UnixNano())/1e9)
	}
}

func (p *page) size(name string, bytes *int64) {
	if bytes != nil {
		p.put(name, float64(*bytes))
	}
}

func (p *page) known(name string, v *float64, labels ...string) {
	if v != nil {
		p.put(name, *v, labels...)
	}
}

func (p *page) count(name string, n uint64, labels ...string) { p.put(name, float64(n), labels...) }

// put adds a value. Labels are the page's own words or have been through clean, so it can only fail by a bug here.
func (p *page) put(name string, v float64, labels ...string) {
	d := p.c.descs[name]
	p.metrics = append(p.metrics, prometheus.MustNewConstMetric(d.desc, d.kind, v, labels...))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
