package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// anyRecord draws records without regard to what a kernel would say: the codec keeps whatever it is given.
func anyRecord(t *rapid.T) *job.Record {
	num := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<40), rapid.Int64())
	r := &job.Record{
		JID: job.JID(rapid.OneOf(rapid.Uint64Range(1, 5), rapid.Uint64()).Draw(t, "jid")),
		PID: rapid.Int32().Draw(t, "pid"), Start: num.Draw(t, "start"), End: num.Draw(t, "end"), Status: num.Draw(t, "status"),
		Exited: rapid.Bool().Draw(t, "exited"), Forked: rapid.Bool().Draw(t, "forked"),
		Estimated: rapid.Bool().Draw(t, "estimated"), Used: rapid.Bool().Draw(t, "used"),
	}
	u := &r.Usage
	u.Groups, u.Comm = watch.Group(rapid.Uint16().Draw(t, "groups")), rapid.OneOf(rapid.Just("bash"), rapid.String()).Draw(t, "comm")
	u.UID, u.GID, u.PPID = rapid.Uint32().Draw(t, "uid"), rapid.Uint32().Draw(t, "gid"), rapid.Int32().Draw(t, "ppid")
	u.BTime, u.Threads = num.Draw(t, "btime"), rapid.Int32().Draw(t, "threads")
	u.Nice, u.Sched, u.Flags = rapid.Int8().Draw(t, "nice"), rapid.Uint8().Draw(t, "sched"), rapid.Uint8().Draw(t, "flags")
	for i, p := range usageFields(u) {
		*p = num.Draw(t, fmt.Sprint("usage", i))
	}
	return r
}

func TestBlockRoundTrip(t *testing.T) {
	var enc encoder
	var dec decoder
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOfN(rapid.Custom(anyRecord), 1, 40).Draw(t, "records")
		v, _ := enc.encode(recs)
		got, err := dec.decode(v)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(recs) {
			t.Fatalf("%d records, want %d", len(got), len(recs))
		}
		for i := range got {
			if d := cmp.Diff(recs[i], &got[i]); d != "" {
				t.Fatal(d)
			}
		}
		checkHeader(t, v, recs)
	})
}

func checkHeader(t *rapid.T, v []byte, recs []*job.Record) {
	h, err := readHeader(v)
	if err != nil || h.count != len(recs) {
		t.Fatalf("header %+v, %v", h, err)
	}
	for _, r := range recs {
		if r.JID < h.low || r.JID > h.high || r.End < h.first || r.End > h.last {
			t.Fatalf("record of %v at %d is outside of what the header says: %+v", r.JID, r.End, h)
		}
	}
}

// TestEveryFieldIsKept holds the codec to the structs: a field that is added to them and forgotten here fails.
func TestEveryFieldIsKept(t *testing.T) {
	r := mixed(rand.New(rand.NewPCG(1, 2)), 0)
	r.Usage.Flags, r.Usage.Nice, r.Usage.Sched = 7, -5, 3
	r.Forked, r.Estimated = true, true
	for i, p := range usageFields(&r.Usage) {
		*p = int64(1000 + i)
	}
	v, _ := new(encoder).encode([]*job.Record{r})
	got, err := new(decoder).decode(v)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, &got[0]); d != "" {
		t.Error(d)
	}
	if n := fields(job.Record{}); n != 10 {
		t.Errorf("job.Record has %d fields, the codec knows 10", n)
	}
	if n := fields(watch.Usage{}); n != 10+usages {
		t.Errorf("watch.Usage has %d fields, the codec knows %d", n, 10+usages)
	}
}

func TestBlockDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var recs []*job.Record
	for i := range 50 {
		recs = append(recs, mixed(rng, i))
	}
	v, _ := new(encoder).encode(recs)
	var dec decoder
	for n := range v {
		if _, err := dec.decode(v[:n]); !errors.Is(err, errBlock) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(v), err)
		}
		w := append([]byte(nil), v...)
		w[n] ^= 0x40
		if _, err := dec.decode(w); !errors.Is(err, errBlock) {
			t.Fatalf("byte %d changed: %v", n, err)
		}
	}
}

// TestLaterColumns: a block with columns that this program doesn't know can still be read.
func TestLaterColumns(t *testing.T) {
	rows := make([]row, 3)
	for i := range rows {
		rows[i][colPID] = int64(100 + i)
	}
	b := appendColumns(nil, rows)
	b = append(b, modePlain, 0, 1, 5, 6, 7)
	got := make([]row, 3)
	r := reader{b: b}
	r.columns(columns+1, got)
	if r.err != nil || len(r.b) != 0 {
		t.Fatalf("%v, %d bytes left", r.err, len(r.b))
	}
	if d := cmp.Diff(rows, got); d != "" {
		t.Error(d)
	}
}

func FuzzBlock(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	v, _ := new(encoder).encode([]*job.Record{mixed(rng, 0), mixed(rng, 1), mixed(rng, 2)})
	f.Add(v)
	f.Add([]byte{1, 1, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, v []byte) {
		var d decoder
		_, _ = d.decode(v)
		if len(v) >= sumEnd { // past the checksum
			w := append([]byte(nil), v...)
			binary.BigEndian.PutUint32(w[2:], checksum(w))
			again(t, &d, w)
		}
	})
}

func FuzzBody(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	var e encoder
	e.encode([]*job.Record{mixed(rng, 0), mixed(rng, 1), mixed(rng, 2)})
	f.Add(e.body, 3)
	f.Fuzz(func(t *testing.T, body []byte, count int) {
		if count < 1 || count > 100 {
			return
		}
		var d decoder
		_, _ = d.records(body, count)
	})
}

// again: what can be decoded decodes to the same when it is encoded anew.
func again(t *testing.T, d *decoder, v []byte) {
	first, err := d.decode(v)
	if err != nil {
		return
	}
	ptrs := make([]*job.Record, len(first))
	for i := range first {
		ptrs[i] = &first[i]
	}
	w, _ := new(encoder).encode(ptrs)
	second, err := d.decode(w)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, second); d != "" {
		t.Fatal(d)
	}
}

func TestColumnExtremes(t *testing.T) {
	for _, vals := range [][]int64{
		{0}, {math.MinInt64, math.MaxInt64}, {math.MaxInt64, math.MinInt64, 0, -1, 1},
		{-4e6, 8e6, 0, 4e6}, {math.MinInt64}, {5, 5, 5}, {1, 2, 3, 4},
	} {
		rows := make([]row, len(vals))
		column := make([]uint64, len(vals))
		for i, v := range vals {
			rows[i][colComm], column[i] = v, uint64(v)
		}
		b := appendColumn(nil, column)
		got := make([]row, len(vals))
		r := reader{b: pad(b)}
		r.columns(colComm+1, got)
		if r.err != nil {
			t.Fatal(r.err)
		}
		if d := cmp.Diff(rows, got); d != "" {
			t.Error(vals, d)
		}
	}
}

// pad puts a column of zeros in front.
func pad(b []byte) []byte { return append([]byte{modeSame, 0}, b...) }
