package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jobd-project/jobd/job"
)

func totalsOf(t testing.TB, s *Store) Totals {
	t.Helper()
	got, err := s.Totals()
	must(t, err)
	return got
}

func spentJob(seq uint32, user string, cpu, read int64) job.Saved {
	j := saved(job.NewJID(7, seq))
	j.User, j.CPU, j.ReadBytes, j.WriteBytes = user, &cpu, &read, nil
	return j
}

// A job's use is in its user's total once, whatever is said of its end again, and once more is never.
func TestTotals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	if d := cmp.Diff(Totals{}, totalsOf(t, s), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("a fresh file has totals:\n%s", d)
	}
	a, b := spentJob(1, "alice", 1_500_000_000, 10), spentJob(2, "alice", 500_000_000, 5)
	s.PutJob(a)
	s.EndJob(ended(b, day0))
	flush(t, s)
	for range 2 {
		s.EndJob(ended(a, day0.Add(time.Second)))
		flush(t, s)
	}
	s.EndJob(ended(spentJob(3, "", -1, 0), day0))
	s.PutSaid(map[string]Total{"alice": {CPU: 2.25}, "other": {Read: 7}})
	s.PutSaid(map[string]Total{"alice": {CPU: 2.5}})
	flush(t, s)
	want := Totals{
		Used: map[string]Total{"alice": {CPU: 2, Read: 15}, "": {}},
		Said: map[string]Total{"alice": {CPU: 2.5}, "other": {Read: 7}},
	}
	if d := cmp.Diff(want, totalsOf(t, s)); d != "" {
		t.Error(d)
	}
	must(t, s.Close())
	s = opened(t, path, Options{})
	s.EndJob(ended(b, day0))
	flush(t, s)
	if d := cmp.Diff(want, totalsOf(t, s)); d != "" {
		t.Errorf("opened again:\n%s", d)
	}
	must(t, s.Close())
	if _, _, err := Compact(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	again := path + ".repaired"
	if _, err := Repair(t.Context(), path, again, Options{}, nil); err != nil {
		t.Fatal(err)
	}
	s = opened(t, again, Options{})
	if d := cmp.Diff(want, totalsOf(t, s)); d != "" {
		t.Errorf("compacted and repaired:\n%s", d)
	}
	if c, err := s.Check(t.Context(), nil); err != nil || len(c.Problems) > 0 {
		t.Errorf("check: %v, %v", c.Problems, err)
	}
}

// Who is forgotten leaves the sum behind.
func TestTotalsForget(t *testing.T) {
	s := twoPeople(t, Options{})
	s.PutSaid(map[string]Total{secret: {CPU: 9}, "trillian": {CPU: 3}})
	flush(t, s)
	before := totalsOf(t, s)
	if _, _, err := s.Forget(t.Context(), Person{UID: new(uint32(1042))}, nil); err != nil {
		t.Fatal(err)
	}
	got := totalsOf(t, s)
	want := Totals{
		Used: map[string]Total{Forgotten: before.Used[secret], "trillian": before.Used["trillian"]},
		Said: map[string]Total{"trillian": {CPU: 3}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzTotal(f *testing.F) {
	key := totalKey(totalUsed, "alice")
	f.Add(key, encodeTotal(key, Total{1.5, 2, 3}))
	f.Add([]byte{}, encodeTotal(nil, Total{}))
	f.Fuzz(func(t *testing.T, key, v []byte) {
		if sum, err := decodeTotal(key, v); err == nil {
			again, err := decodeTotal(key, encodeTotal(key, sum))
			if err != nil || again != sum {
				t.Errorf("%v is read as %v, %v", sum, again, err)
			}
		}
		if len(v) > frameSize { // the checksum right
			_, _ = decodeTotal(key, frame(kindTotal, append(append([]byte(nil), v...), key...))[:len(v)])
		}
	})
}
