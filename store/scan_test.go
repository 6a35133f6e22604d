package store

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// shelf is records on disk, and beside them as a slice.
type shelf struct {
	s    *Store
	l    *loader
	recs []*job.Record
}

// add commits n more records, with ends as they come: of jobs of the time and, now and then, of older ones.
func (m *shelf) add(t *rapid.T, n int) {
	for range n {
		r := m.l.next()
		r.JID = job.NewJID(7, uint32(1+len(m.recs)/40+m.l.rng.IntN(20)))
		if m.l.rng.IntN(500) == 0 {
			r.JID = job.NewJID(7, uint32(1+m.l.rng.IntN(20+len(m.recs)/40)))
		}
		r.End += m.l.rng.Int64N(int64(30 * time.Hour))
		if r.PID = int32(len(m.recs)); m.l.rng.IntN(50) == 0 {
			u := r.Usage
			r.Partial, r.Earlier = true, &u
		}
		m.s.PutRecord(r)
		m.recs = append(m.recs, r)
	}
	if err := m.s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// jobs is what a query asks for: all, none, or some, of which the books may have records or not.
func (m *shelf) jobs(t *rapid.T) (out []job.JID) {
	n := rapid.SampledFrom([]int{-1, -1, 0, 1, 1, 5, 70}).Draw(t, "jobs")
	if n == 0 {
		return []job.JID{}
	}
	for range n {
		seq := rapid.Uint32Range(0, uint32(30+len(m.recs)/40)).Draw(t, "seq")
		out = append(out, job.NewJID(rapid.SampledFrom([]uint32{7, 7, 7, 7, 6, 8}).Draw(t, "hid"), seq))
	}
	return out
}

// check compares what a query gives with what it should.
func (m *shelf) check(t *rapid.T) {
	q := Query{Oldest: rapid.Bool().Draw(t, "oldest")}
	q.Jobs = m.jobs(t)
	at := rapid.OneOf(rapid.Just(time.Time{}), rapid.Custom(func(t *rapid.T) time.Time {
		if len(m.recs) > 0 && rapid.Bool().Draw(t, "exact") {
			return time.Unix(0, rapid.SampledFrom(m.recs).Draw(t, "record").End)
		}
		return day0.Add(time.Duration(rapid.Int64Range(0, int64(31*time.Hour)).Draw(t, "at")))
	}))
	q.From, q.To = at.Draw(t, "from"), at.Draw(t, "to")
	got := make(map[int32]job.Record)
	err := m.s.Scan(q, func(r *job.Record) bool {
		if _, twice := got[r.PID]; twice {
			t.Fatalf("record %d comes twice", r.PID)
		}
		c := *r
		c.Execs = slices.Clone(r.Execs)
		if r.Earlier != nil {
			u := *r.Earlier
			c.Earlier = &u
		}
		got[r.PID] = c
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, r := range m.recs {
		end := time.Unix(0, r.End)
		if q.Jobs != nil && !slices.Contains(q.Jobs, r.JID) || !q.From.IsZero() && end.Before(q.From) || !q.To.IsZero() && !end.Before(q.To) {
			continue
		}
		want++
		if g := got[r.PID]; !alike(r, &g) {
			t.Fatal(cmp.Diff(*r, g))
		}
	}
	if len(got) != want {
		t.Fatalf("%d records, want %d", len(got), want)
	}
}

// alike is reflect.DeepEqual, for very many records.
func alike(a, b *job.Record) bool {
	earlier := a.Earlier == b.Earlier || a.Earlier != nil && b.Earlier != nil && *a.Earlier == *b.Earlier
	return a.JID == b.JID && a.PID == b.PID && a.Start == b.Start && a.End == b.End && a.Status == b.Status && a.Exited == b.Exited &&
		a.Forked == b.Forked && a.Estimated == b.Estimated && a.Used == b.Used && a.Partial == b.Partial && a.Exe == b.Exe &&
		a.Usage == b.Usage && earlier && slices.Equal(a.Execs, b.Execs)
}

// forget takes one uid out of the books, and out of the slice.
func (m *shelf) forget(t *rapid.T) {
	if len(m.recs) == 0 {
		return
	}
	uid := rapid.SampledFrom(m.recs).Draw(t, "record").Usage.UID
	if uid == 0 || uid == forgottenUID {
		return
	}
	want := 0
	for i, r := range m.recs {
		if r.Used && r.Usage.Groups.Has(watch.GroupBasic) && r.Usage.UID == uid {
			c := *r
			c.Exe, c.Execs, c.Usage.UID, c.Usage.GID, c.Usage.Comm = "", nil, 65534, 65534, "forgotten"
			m.recs[i] = &c
			want++
		}
	}
	if _, n, err := m.s.Forget(context.Background(), Person{UID: &uid}, nil); err != nil || int(n) != want {
		t.Fatalf("%d records forgotten, want %d: %v", n, want, err)
	}
}

// TestRecordsModel: in whatever portions records come, from block to block, each is given once for every query.
func TestRecordsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "jobd.db")
		open := func() *Store {
			s, err := Open(path, Options{Now: day0, Delay: time.Hour, Batch: 1 << 30, KeepRecords: -1, Floor: -1})
			if err != nil {
				rt.Fatal(err)
			}
			s.db.NoSync = true
			return s
		}
		m := &shelf{s: open(), l: newLoader(busy, mixed)}
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"few":  func(rt *rapid.T) { m.add(rt, rapid.IntRange(1, 40).Draw(rt, "n")) },
			"some": func(rt *rapid.T) { m.add(rt, rapid.IntRange(40, 400).Draw(rt, "n")) },
			"many": func(rt *rapid.T) {
				if len(m.recs) < 2000 {
					m.add(rt, rapid.IntRange(1500, 4500).Draw(rt, "n"))
				}
			},
			"settle": func(rt *rapid.T) { must(t, m.s.update(settleAll)) },
			"reopen": func(rt *rapid.T) { must(t, m.s.Close()); m.s = open() },
			"forget": m.forget,
			"check":  m.check,
		})
	})
}

// TestScanBesideMerging: while records go from block to block a scan gives each once, and all that were there.
func TestScanBesideMerging(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	s.db.NoSync = true
	const n = 3000
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for _, oldest := range []bool{false, true} {
		wg.Go(func() {
			for before := 0; ; {
				seen := make([]bool, n)
				count, last := 0, -1
				err := s.Scan(Query{Oldest: oldest, Fields: FieldComm}, func(r *job.Record) bool {
					if seen[r.PID] {
						t.Errorf("record %d comes twice", r.PID)
					}
					seen[r.PID] = true
					count, last = count+1, max(last, int(r.PID))
					return true
				})
				if err != nil || count != last+1 || count < before {
					t.Errorf("%v: %d records, the last is %d, were %d", err, count, last, before)
				}
				before = count
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i, r := range newLoader(busy, mixed).take(n) {
		r.PID = int32(i)
		if s.PutRecord(r); i%3 == 0 {
			flush(t, s)
		}
	}
	flush(t, s)
	close(stop)
	wg.Wait()
}

// TestQuiet: with one record a commit the blocks are as dense as with many.
func TestQuiet(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	s.db.NoSync = true
	const n = 9000
	for _, r := range newLoader(time.Millisecond, mixed).take(n) {
		s.PutRecord(r)
		flush(t, s)
	}
	if got := blockCount(t, s); got > 2+openLevels {
		t.Errorf("%d records in commits of one make %d blocks", n, got)
	}
	if got := countAll(t, s); got != n {
		t.Errorf("%d records", got)
	}
}

// TestDamagedOpenBlock: an open block that cannot be read is put aside and told, and does not hold up what comes.
func TestDamagedOpenBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	for _, r := range load(7) {
		s.PutRecord(r)
	}
	must(t, s.Close())
	edit(t, path, func(tx *bolt.Tx) error {
		d, _ := readDay(tx, dayOf(day0.UnixNano()))
		v := bytes.Clone(d.get(openKey(0)))
		v[len(v)/2] ^= 1
		return d.put(openKey(0), v)
	})
	s = opened(t, path, Options{})
	for range 2 {
		for _, r := range load(7) {
			s.PutRecord(r)
		}
		flush(t, s)
	}
	seen := 0
	err := s.Scan(Query{}, func(*job.Record) bool { seen++; return true })
	if seen != 14 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d records, %v", seen, err)
	}
}

// TestScanStops: nothing is given after false, and no error made of it.
func TestScanStops(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	if _, ok, err := s.OldestRecord(); ok || err != nil {
		t.Error(ok, err)
	}
	for i := range 3 {
		for _, r := range load(50) {
			r.End += int64(i) * int64(24*time.Hour)
			s.PutRecord(r)
		}
	}
	flush(t, s)
	seen := 0
	if err := s.Scan(Query{}, func(*job.Record) bool { seen++; return seen < 70 }); err != nil || seen != 70 {
		t.Error(seen, err)
	}
	if day, ok, err := s.OldestRecord(); !ok || err != nil || !day.Equal(day0.Truncate(24*time.Hour)) {
		t.Error(day, ok, err)
	}
	s.Close()
	if err := s.Scan(Query{}, func(*job.Record) bool { return true }); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestManyDamagedBlocks: the first few are told, the others counted.
func TestManyDamagedBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	for i := range 8 {
		r := load(1)[0]
		r.End += int64(i) * int64(24*time.Hour)
		s.PutRecord(r)
	}
	must(t, s.Close())
	edit(t, path, func(tx *bolt.Tx) error {
		for i := range 7 {
			d, _ := readDay(tx, dayOf(day0.Add(time.Duration(i)*24*time.Hour).UnixNano()))
			if err := d.put(openKey(0), []byte{blockVersion, 0}); err != nil {
				return err
			}
		}
		return nil
	})
	s = opened(t, path, Options{})
	seen := 0
	err := s.Scan(Query{}, func(*job.Record) bool { seen++; return true })
	if seen != 1 || !errors.Is(err, ErrCorrupt) || !bytes.Contains([]byte(err.Error()), []byte("and 4 more")) {
		t.Errorf("%d records, %v", seen, err)
	}
}

// TestJobsPassOver: of a block without the jobs that are asked for no more is read than its beginning; of one with them
// all of it is.
func TestJobsPassOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	for i, r := range load(2 * settleFrom) {
		r.JID = job.NewJID(7, uint32(10+i%2*10)) // 10 and 20
		s.PutRecord(r)
	}
	must(t, s.Close())
	edit(t, path, func(tx *bolt.Tx) error {
		d, _ := readDay(tx, dayOf(day0.UnixNano()))
		return d.changeFirst(func(v []byte) []byte { v[len(v)-1] ^= 1; return v })
	})
	s = opened(t, path, Options{})
	for seq, bad := range map[uint32]bool{5: false, 10: true, 15: false, 20: true, 25: false} {
		n := 0
		err := s.Scan(Query{Jobs: []job.JID{job.NewJID(7, seq)}}, func(*job.Record) bool { n++; return true })
		if n != 0 || errors.Is(err, ErrCorrupt) != bad {
			t.Errorf("job %d: %d records, %v", seq, n, err)
		}
	}
}

// TestForeignBuckets: what else stands beside a day's blocks is neither read nor in the way.
func TestForeignBuckets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{KeepRecords: -1})
	for _, r := range load(100) {
		s.PutRecord(r)
	}
	must(t, s.Close())
	edit(t, path, func(tx *bolt.Tx) error {
		b, err := tx.Bucket([]byte("proc")).Bucket([]byte(dayOf(day0.UnixNano()))).CreateBucket([]byte("jobs"))
		for i := range uint64(3000) {
			err = errors.Join(err, b.Put(append(be64(i), make([]byte, 16)...), nil))
		}
		return err
	})
	s = opened(t, path, Options{})
	for _, r := range load(100) {
		s.PutRecord(r)
	}
	flush(t, s)
	if n := countAll(t, s); n != 200 {
		t.Errorf("%d records", n)
	}
	wellKept(t, s)
	must(t, s.Retain(context.Background(), day0.Add(1000*24*time.Hour)))
	if n := countAll(t, s); n != 0 {
		t.Errorf("%d records of a day that is dropped", n)
	}
	wellKept(t, s)
}
