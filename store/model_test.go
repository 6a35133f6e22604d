package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// model is the store as a map and two slices, with no thought given to disks.
type model struct {
	open, ended map[job.JID]job.Saved
	records     []*job.Record
	moments     []job.Moment
	parts       map[job.Part]bool

	recordsFrom, jobsFrom time.Time // what was dropped
}

func (m model) clone() model {
	c := m
	c.open, c.ended, c.parts = maps.Clone(m.open), maps.Clone(m.ended), maps.Clone(m.parts)
	c.records, c.moments = slices.Clone(m.records), slices.Clone(m.moments)
	return c
}

// drop leaves out what is older; only late things can be.
func (m *model) drop(recordsFrom, jobsFrom time.Time) {
	older := func(ns int64, than time.Time) bool { return !than.IsZero() && ns < than.UnixNano() }
	m.records = slices.DeleteFunc(m.records, func(r *job.Record) bool { return older(r.End, recordsFrom) })
	maps.DeleteFunc(m.parts, func(p job.Part, _ bool) bool { return older(p.At, recordsFrom) })
	maps.DeleteFunc(m.ended, func(_ job.JID, j job.Saved) bool { return older(j.Ended.UnixNano(), jobsFrom) })
	m.moments = slices.DeleteFunc(m.moments, func(p job.Moment) bool { return older(p.Time.UnixNano(), jobsFrom) })
}

// machine drives a store and the model beside it.
type machine struct {
	path    string
	s       *Store
	now     model // all that was handed over
	durable model // what a kill leaves
	limit   uint32
	n       int
}

func (m *machine) jid(t *rapid.T) job.JID {
	return job.NewJID(7, rapid.Uint32Range(1, 12).Draw(t, "seq"))
}

func (m *machine) put(t *rapid.T) {
	j := saved(m.jid(t))
	m.n++
	j.TotalProcesses, j.Estimated = m.n, true // its sums are made up
	m.s.PutJob(j)
	if _, ok := m.now.ended[j.JID]; !ok {
		m.now.open[j.JID] = j
	}
}

func (m *machine) end(t *rapid.T) {
	j := ended(saved(m.jid(t)), day0.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))*time.Hour))
	m.n++
	j.TotalProcesses, j.Estimated = m.n, true // its sums are made up
	m.s.EndJob(j)
	if _, ok := m.now.ended[j.JID]; !ok {
		delete(m.now.open, j.JID)
		m.now.ended[j.JID] = j
	}
}

func (m *machine) record(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "n") {
		r := anyRecord(t)
		r.JID = m.jid(t)
		r.End = day0.UnixNano() + rapid.Int64Range(0, int64(60*time.Hour)).Draw(t, "after")
		m.s.PutRecord(r)
		m.now.records = append(m.now.records, r)
	}
}

func (m *machine) moment(t *rapid.T) {
	p := job.Moment{Time: m.at(t), Kind: job.MomentStart, Text: job.Text(fmt.Sprint(m.n))}
	m.n++
	m.s.PutMoment(p)
	m.now.moments = append(m.now.moments, p)
}

func (m *machine) part(t *rapid.T) {
	p := job.Part{JID: m.jid(t), At: m.at(t).Add(time.Duration(m.n)).UnixNano(), Unattributed: rapid.Int64().Draw(t, "ns")}
	m.n++
	m.s.PutPart(p)
	m.now.parts[p] = true
}

func (m *machine) at(t *rapid.T) time.Time {
	return day0.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "hour")) * time.Hour)
}

// retain drops what is older than a day up to which everything is kept.
func (m *machine) retain(t *rapid.T) {
	m.flush(t)
	cut := m.at(t).Truncate(24 * time.Hour)
	if err := m.s.Retain(t.Context(), cut.Add(defaultKeepRecords)); err != nil {
		t.Fatal(err)
	}
	d := &m.durable
	if slices.ContainsFunc(d.records, func(r *job.Record) bool { return r.End < cut.UnixNano() }) && cut.After(d.recordsFrom) {
		d.recordsFrom = cut
	}
	d.drop(cut, time.Time{})
	if err := m.s.Retain(t.Context(), cut.Add(defaultKeepJobs)); err != nil { // all records go with that
		t.Fatal(err)
	}
	late := cut.Add(defaultKeepJobs - defaultKeepRecords)
	if len(d.records) > 0 {
		d.recordsFrom = late
	}
	for _, j := range d.ended {
		if j.Ended.Before(cut) && cut.After(d.jobsFrom) {
			d.jobsFrom = cut
		}
	}
	d.drop(late, cut)
	m.now = d.clone()
}

// compact closes the file, has it written anew, and goes on with that.
func (m *machine) compact(t *rapid.T) {
	m.closed(t)
	if _, _, err := Compact(t.Context(), m.path, nil); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// repair goes on with what a repair takes out of a file that is whole: all of it, but for what came late.
func (m *machine) repair(t *rapid.T, tb testing.TB) {
	m.closed(t)
	to := filepath.Join(tb.TempDir(), "repaired.db")
	r, err := Repair(t.Context(), m.path, to, Options{Now: day0}, nil)
	if err != nil || len(r.Damage) > 0 || r.BadBlocks+r.BadValues > 0 {
		t.Fatalf("%v: %+v", err, r)
	}
	m.durable.drop(m.durable.recordsFrom, m.durable.jobsFrom)
	m.now, m.path = m.durable.clone(), to
	m.open(t)
}

func (m *machine) flush(t *rapid.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	m.durable = m.now.clone()
}

func (m *machine) reserve(t *rapid.T) {
	first, limit, err := m.s.Reserve(rapid.Uint32Range(0, 50).Draw(t, "numbers"))
	if err != nil || first < m.limit || first == 0 {
		t.Fatalf("%d to %d, %v; up to %d were given before", first, limit, err, m.limit)
	}
	m.limit = limit
}

func (m *machine) closed(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.durable = m.now.clone()
}

func (m *machine) reopen(t *rapid.T) {
	m.closed(t)
	m.open(t)
}

// kill goes on with what is on disk at this moment.
func (m *machine) kill(t *rapid.T, tb testing.TB) {
	to := copied(tb, m.path)
	_ = m.s.Close()
	m.path, m.now = to, m.durable.clone()
	m.open(t)
}

func (m *machine) open(t *rapid.T) {
	var err error
	if m.s, err = Open(m.path, Options{HID: 7, Now: day0, Delay: time.Hour, Batch: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	m.s.db.NoSync = true // a copy of the file sees it all the same
}

// check compares all that can be asked for with the model as it was at the last commit.
func (m *machine) check(t *rapid.T) {
	open, err := m.s.OpenJobs()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "open jobs", sorted(m.durable.open), open)
	var got []job.Saved
	for j, err := range m.s.Ended(time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, j)
	}
	m.durable.checkRest(t, m.s)
	visible := maps.Clone(m.durable.ended)
	maps.DeleteFunc(visible, func(_ job.JID, j job.Saved) bool { return j.Ended.Before(m.durable.jobsFrom) })
	want := sorted(visible)
	slices.SortStableFunc(want, func(a, b job.Saved) int { return a.Ended.Compare(*b.Ended) })
	slices.Reverse(want)
	same(t, "ended jobs", want, got)
	m.checkRecords(t)
}

// checkRest compares moments and parts, and has all of it checked.
func (m *model) checkRest(t *rapid.T, s *Store) {
	got, err := s.Moments(time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(p job.Moment) bool { return p.Kind == job.MomentDropped })
	want := slices.Clone(m.moments)
	slices.SortStableFunc(want, func(a, b job.Moment) int { return a.Time.Compare(b.Time) })
	if len(want)+len(got) > 0 {
		same(t, "moments", want, got)
	}
	n := 0
	for p, err := range s.Parts(time.Time{}, time.Time{}) {
		if n++; err != nil || !m.parts[p] {
			t.Fatalf("part %+v, %v", p, err)
		}
	}
	if n != len(m.parts) {
		t.Fatalf("%d parts, want %d", n, len(m.parts))
	}
	if c, err := s.Check(t.Context(), nil); err != nil || len(c.Problems) > 0 {
		t.Fatal(err, c.Problems)
	}
}

func sorted(m map[job.JID]job.Saved) (out []job.Saved) {
	for _, j := range m {
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b job.Saved) int { return cmp.Compare(a.JID, b.JID) })
	return out
}

func (m *machine) checkRecords(t *rapid.T) {
	from, to := day0.Add(10*time.Hour), day0.Add(40*time.Hour)
	jid := m.jid(t)
	for _, c := range []struct {
		what  string
		got   func(func(*job.Record, error) bool)
		match func(*job.Record) bool
	}{
		{"records", m.s.AllRecords(time.Time{}, time.Time{}), func(*job.Record) bool { return true }},
		{"records of a window", m.s.AllRecords(from, to), func(r *job.Record) bool {
			return r.End >= from.UnixNano() && r.End < to.UnixNano()
		}},
		{"records of a job", m.s.Records(jid), func(r *job.Record) bool { return r.JID == jid }},
	} {
		var got, want []string
		for r, err := range c.got {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, spelled(r))
		}
		for _, r := range m.durable.records {
			if c.match(r) {
				want = append(want, spelled(r))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		same(t, c.what, want, got)
	}
}

// spelled is all of a record as text.
func spelled(r *job.Record) string {
	c := *r
	c.Earlier = nil
	return fmt.Sprintf("%+v earlier %+v", c, r.Earlier)
}

func same(t *rapid.T, what string, want, got any) {
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// TestModel: whatever is done in whatever order, reopened and killed in between, the store and the dumb model agree.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{path: filepath.Join(t.TempDir(), "jobd.db")}
		m.durable = model{open: map[job.JID]job.Saved{}, ended: map[job.JID]job.Saved{}, parts: map[job.Part]bool{}}
		m.now = m.durable.clone()
		m.open(rt)
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "end": m.end, "record": m.record, "flush": m.flush, "reserve": m.reserve, "reopen": m.reopen,
			"moment": m.moment, "part": m.part, "retain": m.retain, "compact": m.compact,
			"repair": func(rt *rapid.T) { m.repair(rt, t) },
			"kill":   func(rt *rapid.T) { m.kill(rt, t) },
			"":       m.check,
		})
	})
}
