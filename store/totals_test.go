package store

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	bolt "go.etcd.io/bbolt"

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

// Who is forgotten by uid has no name left in the sums, though none of the jobs is in the books any more, and is not said under what a
// counter was called; who keeps sums hears of it before.
func TestTotalsForgetByUID(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{KeepJobs: time.Hour, Now: day0.Add(48 * time.Hour)})
	alice, bob := spentJob(1, "al\x01ice", 1e9, 10), spentJob(2, "bob", 1e9, 10)
	alice.UID, bob.UID = 1042, 1043
	s.EndJob(ended(alice, day0))
	s.EndJob(ended(bob, day0))
	s.PutSaid(map[string]Total{"al-ice": {CPU: 9}, "bob": {CPU: 3}})
	flush(t, s)
	must(t, s.Retain(t.Context(), day0.Add(48*time.Hour)))
	for j, err := range s.EndedJobs(JobQuery{}) {
		t.Fatal("there is still a job, or an error:", j, err)
	}
	var told []string
	who := Person{UID: new(uint32(1042)), Sums: func(names []string) ([]string, error) {
		told = names
		s.PutSaid(map[string]Total{"al-ice": {CPU: 10}}) // a scrape that was under way
		return []string{"al-ice"}, nil
	}}
	if _, _, err := s.Forget(t.Context(), who, nil); err != nil {
		t.Fatal(err)
	}
	want := Totals{
		Used: map[string]Total{Forgotten: {CPU: 1, Read: 10}, "bob": {CPU: 1, Read: 10}},
		Said: map[string]Total{"bob": {CPU: 3}},
	}
	if d := cmp.Diff(want, totalsOf(t, s)); d != "" || len(told) != 1 || told[0] != "al\x01ice" {
		t.Errorf("told of %q:\n%s", told, d)
	}
}

// A sum that is damaged begins anew, and the log says so; the others are as they were.
func TestTotalsDamaged(t *testing.T) {
	var log bytes.Buffer
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for seq, user := range []string{"alice", "bob", "carol"} {
		s.EndJob(ended(spentJob(uint32(seq+1), user, 1e9, 10), day0))
	}
	flush(t, s)
	must(t, s.update(func(tx *bolt.Tx) error {
		for _, user := range []string{"alice", "bob"} {
			if err := tx.Bucket([]byte(bucketTotals)).Put(totalKey(totalUsed, user), []byte("no sum at all")); err != nil {
				return err
			}
		}
		return nil
	}))
	got, err := s.Totals()
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "alice") || !strings.Contains(err.Error(), "bob") || len(got.Used) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	s.EndJob(ended(spentJob(7, "alice", 2e9, 5), day0))
	flush(t, s)
	if n := strings.Count(log.String(), "cannot read a sum of use: it begins anew"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if got, _ = s.Totals(); got.Used["alice"] != (Total{CPU: 2, Read: 5}) {
		t.Errorf("%v", got)
	}
}

func FuzzTotal(f *testing.F) {
	key := totalKey(totalUsed, "alice")
	f.Add(key, encodeTotal(key, sum{Total{1.5, 2, 3}, new(uint32(1042))}))
	f.Add(key, encodeTotal(key, sum{Total: Total{1.5, 2, 3}}))
	f.Add([]byte{}, encodeTotal(nil, sum{}))
	f.Fuzz(func(t *testing.T, key, v []byte) {
		if got, err := decodeTotal(key, v); err == nil {
			again, err := decodeTotal(key, encodeTotal(key, got))
			if err != nil || again.Total != got.Total || !cmp.Equal(again.uid, got.uid) {
				t.Errorf("%v is read as %v, %v", got, again, err)
			}
		}
		if len(v) > frameSize { // the checksum right
			_, _ = decodeTotal(key, frame(kindTotal, append(append([]byte(nil), v...), key...))[:len(v)])
		}
	})
}
