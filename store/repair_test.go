package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
)

// TestCheckFinds: each kind of damage is told of.
func TestCheckFinds(t *testing.T) {
	flipped := func(b *bolt.Bucket) error {
		k, v := b.Cursor().First()
		v = bytes.Clone(v)
		v[len(v)-1] ^= 1
		return b.Put(bytes.Clone(k), v)
	}
	first := func(tx *bolt.Tx) *bolt.Bucket {
		p := tx.Bucket([]byte("proc"))
		k, _ := p.Cursor().First()
		return p.Bucket(k)
	}
	firstDay := func(tx *bolt.Tx) dayBlocks { return dayBlocks{first(tx).Bucket([]byte("blocks"))} }
	for _, c := range []struct {
		name string
		edit func(*bolt.Tx) error
		want string
	}{
		{"block", func(tx *bolt.Tx) error {
			return firstDay(tx).changeFirst(func(v []byte) []byte { v[len(v)-1] ^= 1; return v })
		}, "block"},
		{"job", func(tx *bolt.Tx) error { return flipped(tx.Bucket([]byte("ended"))) }, "cannot read job"},
		{"open job", func(tx *bolt.Tx) error { return flipped(tx.Bucket([]byte("open"))) }, "cannot read job"},
		{"moment", func(tx *bolt.Tx) error { return flipped(tx.Bucket([]byte("moments"))) }, "cannot read moment"},
		{"part", func(tx *bolt.Tx) error { return flipped(tx.Bucket([]byte("parts"))) }, "cannot read part"},
		{"block of other jobs", func(tx *bolt.Tx) error {
			return firstDay(tx).changeFirst(reheaded(func(h *header) { h.low++ }))
		}, "is said to have jobs from"},
		{"block of other times", func(tx *bolt.Tx) error {
			return firstDay(tx).changeFirst(reheaded(func(h *header) { h.last-- }))
		}, "is said to have ends from"},
		{"day without blocks", func(tx *bolt.Tx) error { return first(tx).DeleteBucket([]byte("blocks")) }, "has no bucket of blocks"},
		{"ended misses one", func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("ended"))
			k, _ := b.Cursor().First()
			return b.Delete(bytes.Clone(k))
		}, "is missing"},
		{"jobs misses one", func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("jobs"))
			k, _ := b.Cursor().First()
			return b.Delete(bytes.Clone(k))
		}, "jobs does not say so"},
		{"open and ended", func(tx *bolt.Tx) error {
			j := saved(job.NewJID(7, 2))
			v, err := encodeJob(&j)
			return errors.Join(err, tx.Bucket([]byte("open")).Put(be64(uint64(j.JID)), v))
		}, "is open and has ended"},
		{"too many records", func(tx *bolt.Tx) error {
			j := ended(saved(job.NewJID(7, 2)), day0.Add(time.Second))
			j.TotalProcesses = 39
			v, err := encodeJob(&j)
			return errors.Join(err, tx.Bucket([]byte("ended")).Put(append(be64(endOf(&j)), be64(uint64(j.JID))...), v))
		}, "had 39 processes, and there are records of 40"},
		{"too much CPU", func(tx *bolt.Tx) error {
			j := ended(saved(job.NewJID(7, 2)), day0.Add(time.Second))
			j.TotalProcesses, j.CPU = 40, new(int64)
			v, err := encodeJob(&j)
			return errors.Join(err, tx.Bucket([]byte("ended")).Put(append(be64(endOf(&j)), be64(uint64(j.JID))...), v))
		}, "used 0 ns of CPU"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobd.db")
			must(t, fullBooks(t, path, 20).Close())
			edit(t, path, c.edit)
			got, err := readOnly(t, path).Check(t.Context(), nil)
			must(t, err)
			if !strings.Contains(strings.Join(got.Problems, "\n"), c.want) {
				t.Errorf("%q", got.Problems)
			}
		})
	}
}

// reheaded gives a block that says something else of itself.
func reheaded(change func(*header)) func([]byte) []byte {
	return func(v []byte) []byte {
		h, err := readHeader(v)
		if err != nil {
			panic(err)
		}
		change(&h)
		w := binary.AppendUvarint(bytes.Clone(v[:sumEnd]), uint64(h.count))
		w = binary.AppendUvarint(w, uint64(h.low))
		w = binary.AppendUvarint(w, uint64(h.high-h.low))
		w = binary.AppendVarint(w, h.first)
		w = append(binary.AppendUvarint(w, uint64(h.last-h.first)), h.body...)
		binary.BigEndian.PutUint32(w[1:], checksum(w))
		return w
	}
}

func repaired(t testing.TB, path string) (contents, Repaired) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "repaired.db")
	r, err := Repair(t.Context(), path, to, Options{Now: day0}, nil)
	must(t, err)
	s := readOnly(t, to)
	c := contentsOf(t, s)
	wellKept(t, s)
	isGap := func(m job.Moment) bool { return m.Kind == job.MomentGap }
	if lossy := len(r.Damage) > 0 || r.BadBlocks+r.BadValues > 0; slices.ContainsFunc(c.Moments, isGap) != lossy {
		t.Errorf("%+v: a gap says so where something was lost", r)
	}
	c.Moments = slices.DeleteFunc(c.Moments, isGap)
	if int(r.Jobs) != len(c.Ended) || int(r.Open) != len(c.Open) || int(r.Records) != len(c.Records) || int(r.Parts) != len(c.Parts) || int(r.Moments) != len(c.Moments) {
		t.Errorf("%+v", r)
	}
	return c, r
}

// TestRepairOfGood: nothing is lost of a file that is whole, and nothing that was dropped comes back.
func TestRepairOfGood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := fullBooks(t, path, 300)
	s.SetKeep(Keep{Records: 24 * time.Hour, Jobs: time.Hour, Floor: -1})
	must(t, s.Retain(t.Context(), day0.Add(3*24*time.Hour)))
	want := contentsOf(t, s)
	hid := s.HID()
	_, limit, err := s.Reserve(1)
	must(t, err)
	must(t, s.Close())
	before := read(t, path)
	got, r := repaired(t, path)
	if d := cmp.Diff(want, got); d != "" || len(r.Damage) > 0 || r.BadBlocks+r.BadValues > 0 || r.FreeLost {
		t.Errorf("%+v %s", r, d)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file has changed")
	}
	to := filepath.Join(t.TempDir(), "out.db")
	_, err = Repair(t.Context(), path, to, Options{Now: day0}, nil)
	must(t, err)
	s = opened(t, to, Options{})
	if first, _, err := s.Reserve(1); err != nil || first < limit || s.HID() != hid {
		t.Error(first, limit, err)
	}
	if _, err := Repair(t.Context(), path, to, Options{}, nil); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
}

// TestRepairWithoutRoot: with the first pages and the root gone, all the leaves are still found.
func TestRepairWithoutRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := fullBooks(t, path, 300)
	want := contentsOf(t, s)
	must(t, s.Close())
	_, _, err := Compact(t.Context(), path, nil) // so that no old pages are about
	must(t, err)
	page := int64(os.Getpagesize())
	f := newPageFile(bytes.NewReader(read(t, path)), int64(len(read(t, path))))
	for _, at := range []int64{0, page, int64(f.meta.root) * page} {
		overwrite(at, make([]byte, page))(t, path)
	}
	got, r := repaired(t, path)
	if len(got.Records) < len(want.Records)*9/10 || len(got.Ended) < len(want.Ended)*9/10 || len(r.Damage) == 0 || !r.FreeLost {
		t.Errorf("%d of %d records, %d of %d jobs: %q", len(got.Records), len(want.Records), len(got.Ended), len(want.Ended), r.Damage)
	}
	within(t, want, got)
}

// within: all that was got was there, and nothing is there twice.
func within(t *testing.T, want, got contents) {
	t.Helper()
	records := make(map[string]int)
	for _, r := range want.Records {
		records[string(be64(uint64(r.End)))+string(be64(uint64(r.JID)))]++
	}
	for _, r := range got.Records {
		k := string(be64(uint64(r.End))) + string(be64(uint64(r.JID)))
		if records[k]--; records[k] < 0 {
			t.Fatal("a record is there twice, or never was")
		}
	}
	jobs := make(map[job.JID]job.Saved)
	for _, j := range slices.Concat(want.Ended, want.Open) {
		jobs[j.JID] = j
	}
	for _, j := range slices.Concat(got.Ended, got.Open) {
		if d := cmp.Diff(jobs[j.JID], j); d != "" {
			t.Fatal(d)
		}
		delete(jobs, j.JID)
	}
}

// TestRepairOfDamage flips bits and cuts, at random: what lies in pages that were not hit is all there, as it was.
func TestRepairOfDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := fullBooks(t, path, 150)
	want := contentsOf(t, s)
	must(t, s.Close())
	whole := read(t, path)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := bytes.Clone(whole)
		if rng.IntN(3) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		for range rng.IntN(20) {
			if len(b) > 0 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
		}
		p := filepath.Join(t.TempDir(), "damaged.db")
		must(t, os.WriteFile(p, b, 0o600))
		got, r := repaired(t, p)
		within(t, want, got)
		mustHave(t, seed, whole, b, got, r)
	}
}

// mustHave: every block that is untouched in its page must have been taken.
func mustHave(t *testing.T, seed uint64, whole, b []byte, got contents, r Repaired) {
	t.Helper()
	have := make(map[int64]bool)
	for _, r := range got.Records {
		have[r.End] = true
	}
	f := newPageFile(bytes.NewReader(whole), int64(len(whole)))
	var dec decoder
	unit := f.unit
	w := f.walker(nil, func(error) {})
	w.each = func([]string, []byte, []byte) {}
	w.tree()
	reachable := slices.Clone(w.seen)
	for id := uint64(2); id < f.pages(); id++ {
		p, err := f.read(id)
		from, to := int64(id)*unit, int64(id+p.overflow+1)*unit
		if err != nil || p.flags != flagLeaf || !reachable[id] || to > int64(len(b)) || !bytes.Equal(whole[from:to], b[from:to]) {
			continue
		}
		list, _ := p.leaf()
		for _, e := range list {
			if e.bucket || len(e.key) != 16 && len(e.key) != 1 {
				continue
			}
			recs, err := dec.decode(e.value)
			if err != nil {
				continue
			}
			for i := range recs {
				if !have[recs[i].End] {
					t.Fatalf("seed %d: block %x of page %d was not hit, and a record of it is not there: %+v", seed, e.key, id, r)
				}
			}
		}
	}
}

func FuzzPages(f *testing.F) {
	path := filepath.Join(f.TempDir(), "jobd.db")
	s := fullBooks(f, path, 3)
	must(f, s.Close())
	_, _, err := Compact(f.Context(), path, nil)
	must(f, err)
	b := read(f, path)
	f.Add(b[:min(len(b), 16*os.Getpagesize())], uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint32, v byte) {
		b = bytes.Clone(b)
		for id := range len(b) / os.Getpagesize() { // so that the fuzzer need not guess the ids
			binary.NativeEndian.PutUint64(b[id*os.Getpagesize():], uint64(id))
		}
		if len(b) > 0 {
			b[int(at)%len(b)] = v
		}
		p := newPageFile(bytes.NewReader(b), int64(len(b)))
		n := 0
		w := p.walker(func(_ []string, k, v []byte) { n += len(k) + len(v) }, func(error) {})
		w.tree()
		free, _ := p.free()
		w.orphans(free)
		if n > depthMost*len(b) {
			t.Errorf("%d bytes out of %d", n, len(b))
		}
	})
}

// TestInlineBucketsDontNest: a bucket that stands in a leaf holds no buckets, so that a file that says otherwise cannot send
// a reader through 2^50 of them.
func TestInlineBucketsDontNest(t *testing.T) {
	inline := func(p []byte) string { return string(append(make([]byte, bucketSize), p...)) } // root 0: it stands here
	inner := leafPage(0, "k", "v")
	outer := leafPage(flagBucket, "a", inline(leafPage(flagBucket, "b", inline(inner))))
	seen, bad := 0, 0
	w := &walker{each: func([]string, []byte, []byte) { seen++ }, bad: func(error) { bad++ }}
	w.elements(parsePage(outer), "page", 0, false)
	if seen != 0 || bad != 1 {
		t.Errorf("%d values, %d complaints", seen, bad)
	}
	w.elements(parsePage(leafPage(flagBucket, "a", inline(inner))), "page", 0, false)
	if seen != 1 || bad != 1 {
		t.Errorf("one level: %d values, %d complaints", seen, bad)
	}
}

// leafPage makes a leaf of bbolt's with one element.
func leafPage(flags uint32, key, value string) []byte {
	ne := binary.NativeEndian
	b := make([]byte, pageHeader+elementSize)
	ne.PutUint16(b[8:], flagLeaf)
	ne.PutUint16(b[10:], 1)
	e := b[pageHeader:]
	ne.PutUint32(e, flags)
	ne.PutUint32(e[4:], elementSize)
	ne.PutUint32(e[8:], uint32(len(key)))
	ne.PutUint32(e[12:], uint32(len(value)))
	return append(append(b, key...), value...)
}

// TestTimeIsKept: since when jobd has not been running is what the file's time says, whatever was done to it meanwhile.
func TestTimeIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	s.PutRecord(load(1)[0])
	must(t, s.Close())
	must(t, os.Chtimes(path, time.Time{}, day0))
	looked := func(path string) {
		t.Helper()
		st, err := os.Stat(path)
		if must(t, err); !st.ModTime().Equal(day0) {
			t.Errorf("the file is of %v, want %v", st.ModTime(), day0)
		}
	}
	_, _, err := Compact(t.Context(), path, nil)
	must(t, err)
	looked(path)
	_, err = Repair(t.Context(), path, path+".repaired", Options{Now: day0}, nil)
	must(t, err)
	looked(path + ".repaired")
}
