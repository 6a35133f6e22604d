package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

var (
	anyNum  = rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<40), rapid.Int64())
	anyText = rapid.OneOf(rapid.Just(""), rapid.Just("bash"), rapid.SampledFrom([]string{"/usr/bin/gcc", "/usr/lib/cc1"}), rapid.String())
)

// anyUsage draws figures without regard to what a kernel would say: the codec keeps whatever it is given.
func anyUsage(t *rapid.T) (u watch.Usage) {
	v := reflect.ValueOf(&u).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(anyText.Draw(t, "comm"))
		case reflect.Int8, reflect.Int32, reflect.Int64:
			f.SetInt(anyNum.Draw(t, v.Type().Field(i).Name))
		default:
			f.SetUint(uint64(anyNum.Draw(t, v.Type().Field(i).Name)))
		}
	}
	return u
}

func anyRecord(t *rapid.T) *job.Record {
	r := &job.Record{
		JID: job.JID(rapid.OneOf(rapid.Uint64Range(1, 5), rapid.Uint64()).Draw(t, "jid")),
		PID: rapid.Int32().Draw(t, "pid"), Start: anyNum.Draw(t, "start"), End: anyNum.Draw(t, "end"), Status: anyNum.Draw(t, "status"),
		Exited: rapid.Bool().Draw(t, "exited"), Forked: rapid.Bool().Draw(t, "forked"), Partial: rapid.Bool().Draw(t, "partial"),
		Estimated: rapid.Bool().Draw(t, "estimated"), Used: rapid.Bool().Draw(t, "used"),
		Usage: anyUsage(t), Exe: anyText.Draw(t, "exe"),
	}
	for range rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 16)).Draw(t, "execs") {
		r.Execs = append(r.Execs, job.Exec{At: anyNum.Draw(t, "at"), Exe: anyText.Draw(t, "exe"), Args: anyText.Draw(t, "args")})
	}
	if rapid.IntRange(0, 5).Draw(t, "earlier") == 0 {
		u := anyUsage(t)
		r.Earlier = &u
	}
	return r
}

func TestBlockRoundTrip(t *testing.T) {
	var enc encoder
	var dec decoder
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOfN(rapid.Custom(anyRecord), 1, 40).Draw(t, "records")
		if many := rapid.IntRange(0, 4).Draw(t, "many"); many == 0 { // enough for codes, and much that repeats
			for n := rapid.IntRange(64, 500).Draw(t, "n"); len(recs) < n; {
				r := *recs[rapid.IntRange(0, len(recs)-1).Draw(t, "again")]
				r.End, r.PID = anyNum.Draw(t, "end"), r.PID+int32(len(recs))
				recs = append(recs, &r)
			}
		}
		v := enc.encode(recs)
		got, err := dec.decode(v)
		if err != nil {
			t.Fatal(err)
		}
		sameRecords(t, recs, got)
		checkHeader(t, v, recs)
	})
}

func sameRecords(t rapid.TB, want []*job.Record, got []job.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(want[i], &got[i]) {
			t.Fatal(cmp.Diff(want[i], &got[i]))
		}
	}
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

// fillIn gives every field of a struct another value that is not zero.
func fillIn(v reflect.Value, n *int64) {
	for i := range v.NumField() {
		*n++
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString(fmt.Sprint("text ", *n))
		case reflect.Int8, reflect.Int32, reflect.Int64:
			f.SetInt(*n)
		case reflect.Struct:
			fillIn(f, n)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
			fillIn(f.Index(0), n)
			fillIn(f.Index(1), n)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
			fillIn(f.Elem(), n)
		default:
			f.SetUint(uint64(*n))
		}
	}
}

// TestEveryFieldIsKept holds the codec to the structs: a field that is added to them and forgotten here fails.
func TestEveryFieldIsKept(t *testing.T) {
	var r job.Record
	n := int64(0)
	fillIn(reflect.ValueOf(&r).Elem(), &n)
	v := new(encoder).encode([]*job.Record{&r})
	got, err := new(decoder).decode(v)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got[0]); d != "" {
		t.Error(d)
	}
}

// TestFields: a scan fills in what is asked for, as it is, and all of Usage is some field's.
func TestFields(t *testing.T) {
	recs := load(300)
	n := int64(0)
	fillIn(reflect.ValueOf(recs[7]).Elem(), &n)
	v := new(encoder).encode(recs)
	var dec decoder
	all := make([]job.Record, len(recs))
	for f := Fields(1); f <= fieldLast; f <<= 1 {
		if err := dec.begin(v, f); err != nil {
			t.Fatal(err)
		}
		for i, want := range recs {
			var r job.Record
			dec.record(i, &r, f)
			if r.JID != want.JID || r.PID != want.PID || r.Start != want.Start || r.End != want.End || r.Forked != want.Forked {
				t.Fatalf("fields %#x: %+v, want %+v", f, r, want)
			}
			merge(reflect.ValueOf(&all[i]).Elem(), reflect.ValueOf(r))
		}
	}
	sameRecords(t, recs, all)
}

// merge takes over what is not zero.
func merge(dst, src reflect.Value) {
	for i := range dst.NumField() {
		if d, s := dst.Field(i), src.Field(i); d.Kind() == reflect.Struct {
			merge(d, s)
		} else if !s.IsZero() {
			d.Set(s)
		}
	}
}

func TestBlockDamaged(t *testing.T) {
	v := new(encoder).encode(load(100))
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

// sealed makes the checksum right.
func sealed(v []byte) []byte {
	w := append([]byte(nil), v...)
	binary.BigEndian.PutUint32(w[1:], checksum(w))
	return w
}

// TestBlockForged: whatever a byte is changed to, with a checksum that fits, it is an error or records, no panic.
func TestBlockForged(t *testing.T) {
	recs := load(100)
	n := int64(0)
	fillIn(reflect.ValueOf(recs[3]).Elem(), &n)
	v := new(encoder).encode(recs)
	rng := rand.New(rand.NewPCG(1, 1))
	var dec decoder
	for range 20_000 {
		w := append([]byte(nil), v...)
		for range 1 + rng.IntN(3) {
			w[sumEnd+rng.IntN(len(w)-sumEnd)] = byte(rng.Uint32())
		}
		if _, err := dec.decode(sealed(w)); err != nil && !errors.Is(err, errBlock) {
			t.Fatal(err)
		}
		if _, err := dec.summed(); err != nil && !errors.Is(err, errBlock) {
			t.Fatal(err)
		}
	}
}

// TestLaterColumns: a block with columns that this program doesn't know can still be read, and one that misses some.
func TestLaterColumns(t *testing.T) {
	recs := load(10)
	var e encoder
	e.encode(recs)
	cells := make([]uint64, 10)
	for i := range cells {
		cells[i] = uint64(i * i)
	}
	for _, n := range []int{columns + 1, colUsage} {
		b := binary.AppendUvarint(nil, 10)
		b = binary.AppendUvarint(b, uint64(n))
		for c := range n {
			raw := e.packer.appendColumn(nil, cells, &e.groups, fromRow)
			if c > 0 {
				raw = nil
			}
			b = append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
		}
		r := reader{b: append(b, 1, 2, 3)}
		var d decoder
		d.recs.read(&r, 100)
		if r.err != nil || len(r.b) != 3 {
			t.Fatalf("%v, %d bytes left", r.err, len(r.b))
		}
		if diff := cmp.Diff(cells, d.column(0)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(make([]uint64, 10), d.column(columns-1)); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzBlock(f *testing.F) {
	recs := load(100)
	n := int64(0)
	fillIn(reflect.ValueOf(recs[3]).Elem(), &n)
	for _, n := range []int{1, 3, 100} {
		v := new(encoder).encode(recs[:n])
		f.Add(v)
		v = new(encoder).encodeOpen(recs[:n])
		f.Add(v)
	}
	f.Add([]byte{2, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, v []byte) {
		var d decoder
		_, _ = d.decode(v)
		_ = d.list(v)
		if len(v) >= sumEnd { // past the checksum
			again(t, &d, sealed(v))
		}
	})
}

// again: what can be decoded decodes to the same when it is encoded anew.
func again(t *testing.T, d *decoder, v []byte) {
	first, err := d.decode(v)
	if err != nil {
		return
	}
	_, _ = d.summed()
	if err := new(decoder).list(v); err != nil {
		t.Fatal("its list cannot be read, and all of it can:", err)
	}
	ptrs := make([]*job.Record, len(first))
	for i := range first {
		ptrs[i] = &first[i]
	}
	w := new(encoder).encode(ptrs)
	second, err := d.decode(w)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Fatal(cmp.Diff(first, second))
	}
}

// TestEarlierMissing: records that say that they have earlier use, and a table that has none, are no block.
func TestEarlierMissing(t *testing.T) {
	recs := load(3)
	recs[1].Earlier = &watch.Usage{Comm: "make", CPU: 5}
	var e encoder
	v := e.encodeOpen(recs)
	e.body = e.body[:0]
	e.appendEarlier()
	e.appendSums()
	w := sealed(append(v[:len(v)-len(e.body):len(v)-len(e.body)], 0, 0)) // both tables empty
	if _, err := new(decoder).decode(w); !errors.Is(err, errBlock) {
		t.Error(err)
	}
}
