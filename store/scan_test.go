package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// shelf is records on disk, and beside them as a slice.
type shelf struct {
	s    *Store
	l    *loader
	recs []*job.Record
}

// add commits n more records, of jobs and with ends as they come.
func (m *shelf) add(t *rapid.T, n int) {
	for range n {
		r := m.l.next()
		r.JID = job.NewJID(7, uint32(1+m.l.rng.IntN(100)))
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

// check compares what a query gives with what it should.
func (m *shelf) check(t *rapid.T) {
	q := Query{Oldest: rapid.Bool().Draw(t, "oldest")}
	for range rapid.SampledFrom([]int{0, 0, 1, 5, fewJobs + 1}).Draw(t, "jobs") {
		q.Jobs = append(q.Jobs, job.NewJID(7, rapid.Uint32Range(1, 110).Draw(t, "seq")))
	}
	at := rapid.OneOf(rapid.Just(time.Time{}), rapid.Custom(func(t *rapid.T) time.Time {
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

// index: the jobs of a block are in the index, and nothing else is.
func (m *shelf) index(t *rapid.T) {
	err := m.s.view(func(tx *bolt.Tx) error {
		proc := tx.Bucket([]byte("proc"))
		return proc.ForEachBucket(func(day []byte) error {
			d, _ := readDay(tx, string(day))
			var want, got []string
			err := d.blocks.ForEach(func(k, v []byte) error {
				var dec decoder
				_, err := dec.decode(v)
				for _, j := range dec.jids {
					want = append(want, fmt.Sprintf("%v in %x", j, k))
				}
				return err
			})
			_ = d.jobs.ForEach(func(k, _ []byte) error {
				got = append(got, fmt.Sprintf("%v in %x", job.JID(be(k[:8])), k[8:]))
				return nil
			})
			slices.Sort(want)
			slices.Sort(got)
			same(t, "index", want, got)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func be(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
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
			"index":  m.index,
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
	for _, r := range load(10) {
		s.PutRecord(r)
	}
	must(t, s.Close())
	edit(t, path, func(tx *bolt.Tx) error {
		d, _ := readDay(tx, dayOf(day0.UnixNano()))
		v := bytes.Clone(d.blocks.Get(openKey(0)))
		v[len(v)/2] ^= 1
		return d.blocks.Put(openKey(0), v)
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
	if seen != 4+14 || // the others' one each
		!errors.Is(err, ErrCorrupt) {
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
	first := openKey(openLevels - 1) // which is filled first
	edit(t, path, func(tx *bolt.Tx) error {
		for i := range 7 {
			d, _ := readDay(tx, dayOf(day0.Add(time.Duration(i)*24*time.Hour).UnixNano()))
			if err := d.blocks.Put(first, []byte{blockVersion, 0}); err != nil {
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
