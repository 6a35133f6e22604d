package store

import (
	"cmp"
	"context"
	"fmt"
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
}

func (m model) clone() model {
	c := model{open: make(map[job.JID]job.Saved), ended: make(map[job.JID]job.Saved), records: slices.Clone(m.records)}
	for k, v := range m.open {
		c.open[k] = v
	}
	for k, v := range m.ended {
		c.ended[k] = v
	}
	return c
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
	j.TotalProcesses = m.n
	m.s.PutJob(j)
	if _, ok := m.now.ended[j.JID]; !ok {
		m.now.open[j.JID] = j
	}
}

func (m *machine) end(t *rapid.T) {
	j := ended(saved(m.jid(t)), day0.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))*time.Hour))
	m.n++
	j.TotalProcesses = m.n
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

func (m *machine) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.durable = m.now.clone()
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
	want := sorted(m.durable.ended)
	slices.SortStableFunc(want, func(a, b job.Saved) int { return a.Ended.Compare(*b.Ended) })
	slices.Reverse(want)
	same(t, "ended jobs", want, got)
	m.checkRecords(t)
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
		m.durable = model{open: map[job.JID]job.Saved{}, ended: map[job.JID]job.Saved{}}
		m.now = m.durable.clone()
		m.open(rt)
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "end": m.end, "record": m.record, "flush": m.flush, "reserve": m.reserve, "reopen": m.reopen,
			"kill": func(rt *rapid.T) { m.kill(rt, t) },
			"":     m.check,
		})
	})
}
