package store

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// TestBlocks: a quiet host's records gather in blocks, a busy one's are split, and every job is found in both.
func TestBlocks(t *testing.T) {
	for _, each := range []int{20, 10_000} {
		s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
		s.db.NoSync = true
		n := min(60*each, 20_000)
		recs := load(n)
		for i, r := range recs {
			if s.PutRecord(r); (i+1)%each == 0 {
				flush(t, s)
			}
		}
		want := make(map[job.JID]int)
		for _, r := range recs {
			want[r.JID]++
		}
		for jid, n := range want {
			if got := len(records(t, s, jid)); got != n {
				t.Errorf("job %v: %d records, want %d", jid, got, n)
			}
		}
		if got := blockCount(t, s); got > 5+openLevels {
			t.Errorf("%d records in commits of %d make %d blocks", n, each, got)
		}
	}
}

func blockCount(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.view(func(tx *bolt.Tx) error {
		return eachBlock(tx, func(string, []byte, []byte) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDamagedBlock: the records around it are still given, and an error after them.
func TestDamagedBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	for i := range 3 {
		for _, r := range load(100) {
			r.JID, r.End = 1, r.End+int64(i)*int64(24*time.Hour)
			s.PutRecord(r)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bolt.Tx) error {
		d, _ := readDay(tx, "2026-03-05")
		for level := range openLevels { // where 100 records are
			v := bytes.Clone(d.get(openKey(level)))
			if v == nil {
				continue
			}
			v[len(v)/2] ^= 1
			if err := d.put(openKey(level), v); err != nil {
				return err
			}
		}
		return nil
	})
	s = opened(t, path, Options{})
	var good, bad int
	for r, err := range s.Records(1) {
		switch {
		case errors.Is(err, ErrCorrupt):
			bad++
		case err != nil || r == nil:
			t.Error(r, err)
		default:
			good++
		}
	}
	if good != 200 || bad != 1 {
		t.Errorf("%d records, %d errors", good, bad)
	}
}
