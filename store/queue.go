package store

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job"
)

// queue holds what was handed over and is not on disk yet. Whoever hands over never waits for more than the mutex, which
// nobody holds while doing I/O.
type queue struct {
	first chan struct{} // something waits, where nothing did since the last take
	now   chan struct{} // somebody wants a commit at once

	maxRecords, batch, kickJobs, maxJobs int

	mu      sync.Mutex
	closed  bool
	fresh   bool          // something came since the last take …
	since   time.Time     // … the first of it then
	records []*job.Record // came since the last take
	taken   []*job.Record // being committed, or to be tried again
	spare   []*job.Record // on disk: the next ones are copied to them
	jobs    map[job.JID]*waitingJob
	moments []job.Moment
	parts   []job.Part
	said    map[string]Total // never changed, only replaced
	flushes []chan<- error   // waiting for the next commit to be over
	lost    lost             // since the last gap in the books
	stats   Stats

	saidLast uint64 // goes up with each that replaces said
}

// waitingJob is the latest state of a job. It is never changed, only replaced.
type waitingJob struct {
	saved job.Saved
	ended bool
}

// batch is what one commit is about.
type batch struct {
	records []*job.Record
	jobs    []*waitingJob // by JID
	moments []job.Moment
	parts   []job.Part
	said    map[string]Total
	saidAt  uint64
	lost    lost // what the gap that goes with it says
	flushes []chan<- error
}

func (b *batch) empty() bool {
	return len(b.records) == 0 && len(b.jobs) == 0 && len(b.moments) == 0 && len(b.parts) == 0 && len(b.said) == 0 && b.lost.none()
}

func newQueue(o Options) *queue {
	return &queue{
		first: make(chan struct{}, 1), now: make(chan struct{}, 1), jobs: make(map[job.JID]*waitingJob),
		maxRecords: o.Records, batch: o.Batch, kickJobs: o.Jobs, maxJobs: 16 * o.Jobs,
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (q *queue) putRecord(r *job.Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.records)+len(q.taken) >= q.maxRecords {
		q.lose(lost{records: 1})
		return
	}
	q.records = append(q.records, q.copy(r))
	if len(q.records) == q.batch {
		signal(q.now)
	}
	q.woken()
}

// copy gives a record of the queue's own. In a storm they go round, instead of leaving garbage.
func (q *queue) copy(r *job.Record) *job.Record {
	if len(q.spare) == 0 {
		block := make([]job.Record, spareBlock)
		for i := range block {
			q.spare = append(q.spare, &block[i])
		}
	}
	last := len(q.spare) - 1
	own := q.spare[last]
	q.spare = q.spare[:last]
	*own = *r
	return own
}

// spareBlock is how many records are allocated at once.
const spareBlock = 64

// reuse takes back records that nobody looks at any more, as many as one commit is about.
func (q *queue) reuse(recs []*job.Record) {
	for _, r := range recs[:min(len(recs), max(q.batch-len(q.spare), 0))] {
		r.Exe, r.Execs, r.Earlier, r.Usage.Comm = "", nil, nil, "" // lets go of what it points to
		q.spare = append(q.spare, r)
	}
}

// putJob keeps the latest state of each job; after its end there is no later one.
func (q *queue) putJob(w *waitingJob) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.jobs[w.saved.JID]
	switch {
	case q.closed, old == nil && len(q.jobs) >= q.maxJobs:
		q.lose(lost{jobs: 1})
		return
	case old != nil && old.ended:
		return
	}
	q.jobs[w.saved.JID] = w
	if len(q.jobs) == q.kickJobs {
		signal(q.now)
	}
	q.woken()
}

func (q *queue) putMoment(m job.Moment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.moments) >= q.maxJobs {
		q.lose(lost{others: 1})
		return
	}
	q.moments = append(q.moments, m)
	q.woken()
}

func (q *queue) putPart(p job.Part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.parts) >= q.maxJobs {
		q.lose(lost{others: 1})
		return
	}
	q.parts = append(q.parts, p)
	q.woken()
}

func (q *queue) woken() {
	if !q.fresh {
		q.fresh, q.since = true, time.Now()
		signal(q.first)
	}
}

// take gives all that waits. It stays in the queue until done.
func (q *queue) take() batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.taken) == 0 {
		q.taken, q.records = q.records, q.taken
	} else { // the last commit failed
		q.taken = append(q.taken, q.records...)
		clear(q.records)
		q.records = q.records[:0]
	}
	b := batch{records: q.taken, flushes: q.flushes}
	for _, w := range q.jobs {
		b.jobs = append(b.jobs, w)
	}
	slices.SortFunc(b.jobs, func(a, b *waitingJob) int { return cmp.Compare(a.saved.JID, b.saved.JID) })
	b.moments, b.parts = slices.Clip(q.moments), slices.Clip(q.parts)
	b.said, b.saidAt = q.said, q.saidLast
	q.fresh, q.flushes = false, nil
	b.lost = q.tellLoss()
	return b
}

// finish takes a batch that is on disk out of the queue; one that is not (err) stays, to be tried again.
func (q *queue) finish(b batch, took time.Duration, err error) {
	q.mu.Lock()
	if err == nil {
		q.reuse(q.taken)
		clear(q.taken)
		q.taken = q.taken[:0]
		for _, w := range b.jobs {
			if q.jobs[w.saved.JID] == w {
				delete(q.jobs, w.saved.JID)
			}
		}
		q.moments, q.parts = rest(q.moments, len(b.moments)), rest(q.parts, len(b.parts))
		if q.saidLast == b.saidAt {
			q.said = nil
		}
	} else {
		q.lost = b.lost.with(q.lost)
	}
	q.count(b, took, err)
	q.mu.Unlock()
	for _, c := range b.flushes {
		c <- err
	}
}

// rest is what is left of a list when its first n are on disk.
func rest[T any](list []T, n int) []T {
	if n == len(list) {
		return nil
	}
	return list[n:]
}

func (q *queue) count(b batch, took time.Duration, err error) {
	q.stats.Failing = err != nil
	q.halt(err)
	switch {
	case err != nil:
		q.stats.LastError = err
		if !errors.Is(err, errFloor) { // nothing was tried
			q.stats.Errors++
		}
	case !b.empty():
		q.stats.Commits++
		i, _ := slices.BinarySearch(CommitBounds[:], took.Seconds())
		q.stats.Took[i]++
		q.stats.TookSum += took
		q.stats.Records += uint64(len(b.records))
		q.stats.LastCommit = time.Now()
	}
}

// flush has c told how the next commit went that takes all that waits now.
func (q *queue) flush(c chan<- error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.flushes = append(q.flushes, c)
	signal(q.now)
	return nil
}

// due says when the commit of what came first is due; false: nothing waits.
func (q *queue) due(delay time.Duration) (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.since.Add(delay), q.fresh
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) snapshot() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Queued, s.QueuedJobs = len(q.records)+len(q.taken), len(q.jobs)
	return s
}

func (q *queue) waiting() []job.Saved {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]job.Saved, 0, len(q.jobs))
	for _, w := range q.jobs {
		out = append(out, w.saved)
	}
	slices.SortFunc(out, func(a, b job.Saved) int { return cmp.Compare(a.JID, b.JID) })
	return out
}
