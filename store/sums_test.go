package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// totals are sums by command, added up.
type totals map[string]job.Sum

func (m totals) record(r *job.Record) {
	s := m[summedBy(r)]
	s.Add(r)
	m[summedBy(r)] = s
}

// sum takes in a sum of other records.
func (m totals) sum(comm string, o *job.Sum) {
	s, ok := m[comm]
	if !ok {
		s.Groups = o.Groups
	}
	m[comm] = job.Sum{
		Records: s.Records + o.Records, Processes: s.Processes + o.Processes, Wall: s.Wall + o.Wall, CPU: s.CPU + o.CPU,
		User: s.User + o.User, System: s.System + o.System, MaxRSS: max(s.MaxRSS, o.MaxRSS), CoreMem: s.CoreMem + o.CoreMem,
		Read: s.Read + o.Read, Write: s.Write + o.Write, Groups: s.Groups & o.Groups, Estimated: s.Estimated || o.Estimated,
	}
}

// TestBlockSums: the sums of a block are those of the records that it gives; an open block has none.
func TestBlockSums(t *testing.T) {
	var enc encoder
	var dec decoder
	rapid.Check(t, func(rt *rapid.T) {
		recs := rapid.SliceOfN(rapid.Custom(anyRecord), 1, 40).Draw(rt, "records")
		for n := rapid.IntRange(0, 150).Draw(rt, "more"); len(recs) < n; { // of many names: enough for codes
			r := *recs[rapid.IntRange(0, len(recs)-1).Draw(rt, "again")]
			r.Usage.Comm, r.Used = rapid.StringN(1, 3, 3).Draw(rt, "comm"), true
			recs = append(recs, &r)
		}
		open := rapid.Bool().Draw(rt, "open")
		v := enc.block(recs, !open)
		got, err := dec.decode(v)
		must(t, err)
		want := make(totals)
		for i := range got {
			want.record(&got[i])
		}
		list, err := dec.summed()
		must(t, err)
		if open != (len(list) == 0) {
			rt.Fatalf("open %v: %d sums", open, len(list))
		}
		sums := make(totals)
		for i := range list {
			if _, twice := sums[list[i].comm]; twice {
				rt.Fatalf("%q comes twice", list[i].comm)
			}
			sums[list[i].comm] = list[i].sum
		}
		if !open {
			same(rt, "sums", want, sums)
		}
		must(t, checkSums(list, got, open))
	})
}

// TestScanSums: what comes in sum and what comes record by record is together what comes record by record.
func TestScanSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
		s.db.NoSync = true
		defer func() { must(t, s.Close()) }()
		m := &shelf{s: s, l: newLoader(time.Second, mixed)}
		for range rapid.IntRange(1, 3).Draw(rt, "commits") {
			m.add(rt, rapid.SampledFrom([]int{1, 30, 500, 2 * settleFrom, 5 * settleFrom}).Draw(rt, "n"))
		}
		if rapid.Bool().Draw(rt, "settle") {
			must(t, s.update(settleAll))
		}
		open, edges := headers(t, s)
		at := rapid.OneOf(rapid.Just(time.Time{}), rapid.Custom(func(rt *rapid.T) time.Time {
			edges := append(edges, m.recs[rapid.IntRange(0, len(m.recs)-1).Draw(rt, "record")].End)
			return time.Unix(0, rapid.SampledFrom(edges).Draw(rt, "edge")+rapid.Int64Range(-1, 1).Draw(rt, "beside"))
		}))
		for range 5 {
			q := Query{From: at.Draw(rt, "from"), To: at.Draw(rt, "to"), Oldest: rapid.Bool().Draw(rt, "oldest"), Fields: byCommand}
			want, got := make(totals), make(totals)
			must(t, s.Scan(q, func(r *job.Record) bool { want.record(r); return true }))
			single := make(totals)
			q.Sums = got.sum
			must(t, s.Scan(q, func(r *job.Record) bool { single.record(r); return true }))
			if q.From.IsZero() && q.To.IsZero() && open == 0 && len(single) > 0 {
				rt.Fatal("settled records are given one by one")
			}
			for comm, sum := range single {
				got.sum(comm, &sum)
			}
			same(rt, "totals", want, got)
		}
		q := Query{Jobs: []job.JID{m.recs[0].JID}, Sums: func(string, *job.Sum) { rt.Fatal("a sum is not of the job") }}
		must(t, s.Scan(q, func(*job.Record) bool { return true }))
	})
}

// headers gives how many records are in open blocks, and the first and the last end in each of the others.
func headers(t *testing.T, s *Store) (open int, edges []int64) {
	must(t, s.view(func(tx *bolt.Tx) error {
		return eachBlock(tx, func(_ string, key, v []byte) error {
			h, err := readHeader(v)
			if isOpenKey(key) {
				open += h.count
			} else {
				edges = append(edges, h.first, h.last)
			}
			return err
		})
	}))
	return open, edges
}

// TestForgetSums: what a person ran is in the sums of what is forgotten.
func TestForgetSums(t *testing.T) {
	s := twoPeople(t, Options{})
	_, _, err := s.Forget(t.Context(), Person{User: secret}, nil)
	must(t, err)
	got := make(totals)
	must(t, s.Scan(Query{Sums: got.sum}, func(*job.Record) bool { t.Error("all is settled"); return false }))
	if len(got) != 2 || got["forgotten"].Records != 1501 || got["bash"].Records != 499 {
		t.Errorf("%+v", got)
	}
}

// TestCheckSums: a check tells of sums that are not those of the records, and of a settled block that has none.
func TestCheckSums(t *testing.T) {
	recs := load(settleFrom)
	for _, c := range []struct {
		name, want string
		block      func(e *encoder) []byte
	}{
		{"none", "it has sums of 0 commands", func(e *encoder) []byte { v := e.encodeOpen(recs); return v }},
		{"of fewer", "is not that of its records", func(e *encoder) []byte {
			e.encode(recs)
			e.sums.cells = [sumColumns][]uint64{sumComm: e.sums.cells[sumComm]}
			e.sums.rows[1].CPU++
			sums := e.sumsAlone()
			v := e.encodeOpen(recs)
			return sealed(append(v[:len(v)-1], sums...)) // in place of the empty table
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobd.db")
			s := opened(t, path, Options{})
			for _, r := range recs {
				s.PutRecord(r)
			}
			must(t, s.Close())
			edit(t, path, func(tx *bolt.Tx) error {
				d, _ := readDay(tx, dayOf(day0.UnixNano()))
				return d.changeFirst(func([]byte) []byte { return c.block(new(encoder)) })
			})
			got, err := readOnly(t, path).Check(t.Context(), nil)
			must(t, err)
			if len(got.Problems) != 1 || !strings.Contains(got.Problems[0], c.want) {
				t.Errorf("%q", got.Problems)
			}
		})
	}
}

func (e *encoder) sumsAlone() []byte {
	e.body = e.body[:0]
	e.appendSums()
	return append([]byte(nil), e.body...)
}
