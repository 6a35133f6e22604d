package main

import (
	"math"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// pastOf is what the books have of an open job from before jobd was started.
type pastOf struct {
	asOf   int64
	until  int64                   // when the books ended: what is said to be of after that is of before the clock was set back
	since  []*job.Record           // of members that left after the job was written down
	parts  map[int32][]*job.Record // partial records of processes that may live, by pid
	gone   map[int32]bool          // pids of which a last record has been seen
	parted int64                   // CPU that parts hold, ns: the journal may know of one that was not on disk yet
}

// readPasts begins to read what the books have of open jobs, while their members are looked for, and gives what waits for it.
func (d *jobd) readPasts(open []job.Saved) func() (map[job.JID]*pastOf, error) {
	type read struct {
		past map[job.JID]*pastOf
		err  error
	}
	done := make(chan read, 1)
	go func() {
		past, err := d.pasts(open)
		done <- read{past, err}
	}()
	return func() (map[job.JID]*pastOf, error) {
		r := <-done
		return r.past, r.err
	}
}

// pasts reads the books once for all open jobs: there can be thousands, and the books can be large.
func (d *jobd) pasts(open []job.Saved) (map[job.JID]*pastOf, error) {
	out := make(map[job.JID]*pastOf, len(open))
	q := store.Query{Fields: store.FieldStatus | store.FieldCPU | store.FieldMemory | store.FieldIO | store.FieldRest}
	for _, s := range open {
		out[s.JID] = &pastOf{asOf: s.AsOf, until: d.booksEnd(s), parts: make(map[int32][]*job.Record), gone: make(map[int32]bool)}
		q.Jobs = append(q.Jobs, s.JID)
	}
	if len(open) == 0 {
		return out, nil
	}
	err := d.store.Scan(q, func(r *job.Record) bool { // newest first
		out[r.JID].take(r)
		return true
	})
	if err := d.unlessDamaged("records of open jobs", err); err != nil {
		return nil, err
	}
	for p, err := range d.store.Parts(time.Time{}, time.Time{}) {
		if err := d.unlessDamaged("parts of jobs", err); err != nil {
			return nil, err
		}
		if past := out[p.JID]; past != nil && err == nil {
			past.parted += p.Unattributed
		}
	}
	return out, nil
}

// booksEnd is when the last record of a job can have been written. After a power cut nobody knows: a file system may have been
// about to write down when it was.
func (d *jobd) booksEnd(s job.Saved) int64 {
	if string(s.BootID) != d.boot || d.whole.IsZero() {
		return math.MaxInt64
	}
	return d.whole.Add(killCosts).UnixNano()
}

// take keeps a copy of a record that matters: it is valid during the call only.
func (p *pastOf) take(r *job.Record) {
	c := *r
	c.Earlier, c.Execs = nil, nil
	switch {
	case r.Partial && !p.gone[r.PID]:
		p.parts[r.PID] = append(p.parts[r.PID], &c)
	case !r.Partial:
		p.gone[r.PID] = true
		if r.End > p.asOf && r.End <= p.until {
			p.since = append(p.since, &c)
		}
	}
}

// unended are the partial records of processes that nobody saw leave: there is no other record of what they used.
func (p *pastOf) unended(members []watch.ID) (out []*job.Record) {
	for pid, recs := range p.parts {
		i := slices.IndexFunc(members, func(id watch.ID) bool { return id.PID == pid })
		if i < 0 {
			out = append(out, recs...)
			continue
		}
		own := ownParts(members[i], recs)
		for _, r := range recs {
			if !slices.Contains(own, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// ownParts are those partial records of a pid that are of the process that has it now: from after it was started.
func ownParts(id watch.ID, parts []*job.Record) (own []*job.Record) {
	if len(parts) == 0 {
		return nil
	}
	st, err := kernel.Proc.Stat(id.PID)
	if err != nil {
		return nil
	}
	start, _ := kernel.StartTime(st)
	for _, r := range parts {
		if r.End > start.UnixNano() {
			own = append(own, r)
		}
	}
	return own
}
