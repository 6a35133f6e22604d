package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// fullBooks has some of everything: n jobs with 40 records each over some days, open ones, moments and parts.
func fullBooks(t testing.TB, path string, n int) *Store {
	s := opened(t, path, Options{HID: 7, KeepJobs: -1, KeepRecords: -1, Batch: 1 << 20, Jobs: 1 << 20})
	s.db.NoSync = true
	recs := load(40 * n)
	for i := range n {
		j := saved(job.NewJID(7, uint32(i+1)))
		j.TotalProcesses = 40
		for _, r := range recs[40*i : 40*i+40] {
			r.JID = j.JID
			r.End += int64(i%5) * int64(24*time.Hour)
			s.PutRecord(r)
		}
		if i%10 == 0 {
			s.PutJob(j)
			s.PutPart(job.Part{JID: j.JID, At: day0.UnixNano() + int64(i), Unattributed: int64(i)})
			s.PutMoment(job.Moment{Time: day0.Add(time.Duration(i)), Kind: job.MomentStart})
		} else {
			s.EndJob(ended(j, day0.Add(time.Duration(i)*time.Second)))
		}
		if i%97 == 0 {
			flush(t, s)
		}
	}
	flush(t, s)
	return s
}

// contents is all that can be asked for.
type contents struct {
	Open, Ended []job.Saved
	Records     []job.Record
	Moments     []job.Moment
	Parts       []job.Part
}

func contentsOf(t testing.TB, s *Store) (c contents) {
	t.Helper()
	var err error
	c.Open, err = s.OpenJobs()
	must(t, err)
	c.Ended, c.Moments, c.Parts = endedJobs(t, s), moments(t, s), parts(t, s, time.Time{}, time.Time{})
	for r, err := range s.AllRecords(time.Time{}, time.Time{}) {
		must(t, err)
		c.Records = append(c.Records, *r)
	}
	return c
}

func readOnly(t testing.TB, path string) *Store {
	t.Helper()
	s, err := OpenReadOnly(path, Options{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// TestBackup: while it is written to, what a backup has is whole, and as it was at one moment.
func TestBackup(t *testing.T) {
	s := fullBooks(t, filepath.Join(t.TempDir(), "jobd.db"), 300)
	want := contentsOf(t, s)
	to := filepath.Join(t.TempDir(), "backup.db")
	f, err := os.Create(to)
	must(t, err)
	busy := slowWriter{f, func() {
		s.PutRecord(load(1)[0])
		flush(t, s)
	}}
	must(t, s.Backup(t.Context(), &busy))
	must(t, f.Close())
	size, err := s.Size()
	must(t, err)
	if st, err := os.Stat(to); err != nil || st.Size() > size {
		t.Error(st.Size(), size, err)
	}
	b := readOnly(t, to)
	if d := cmp.Diff(want, contentsOf(t, b)); d != "" {
		t.Error(d)
	}
	wellKept(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type slowWriter struct {
	f    *os.File
	each func()
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.each()
	return w.f.Write(p)
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	must(t, fullBooks(t, path, 30).Close())
	before := read(t, path)
	s, other := readOnly(t, path), readOnly(t, path)
	s.PutRecord(load(1)[0])
	s.EndJob(saved(1))
	if err := s.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, _, err := s.Reserve(1); err == nil {
		t.Error("a number was reserved")
	}
	refused(t, path, Options{Now: day0, Timeout: 10 * time.Millisecond}, ErrLocked)
	f, err := s.Figures()
	if err != nil || f.Free == 0 || f.Records != 1200 || f.Open != 3 || f.Jobs != 27 || f.Schema != schema || !f.Created.Equal(day0) {
		t.Errorf("%+v, %v", f, err)
	}
	must(t, errors.Join(s.Close(), other.Close()))
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file has changed")
	}
	if _, err := OpenReadOnly(filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, ErrUnreadable) {
		t.Error(err)
	}
}

func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := fullBooks(t, path, 500)
	must(t, s.Retain(t.Context(), day0)) // nothing goes
	must(t, s.update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("proc")).DeleteBucket([]byte("2026-03-05")) }))
	want := contentsOf(t, s)
	if _, _, err := Compact(t.Context(), path, nil); !errors.Is(err, ErrLocked) {
		t.Error("while it is open:", err)
	}
	must(t, s.Close())
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path+".compact", []byte("of one that was killed"), 0o600))
	before, after, err := Compact(t.Context(), path, func(done, all int64) {
		if done > all {
			t.Error(done, all)
		}
	})
	if err != nil || after >= before {
		t.Fatal(before, after, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 || st.Size() != after {
		t.Error(st.Mode(), st.Size(), err)
	}
	b := readOnly(t, path)
	if d := cmp.Diff(want, contentsOf(t, b)); d != "" {
		t.Error(d)
	}
	wellKept(t, b)
	must(t, b.Close())
	s = opened(t, path, Options{HID: 7})
	s.PutMoment(job.Moment{Time: day0}) // a number that was given before would overwrite one
	s.PutRecord(load(1)[0])
	flush(t, s)
	if c := contentsOf(t, s); len(c.Moments) != len(want.Moments)+1 || len(c.Records) != len(want.Records)+1 {
		t.Error("something was overwritten")
	}
}
