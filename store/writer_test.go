package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
)

// until waits for a condition; it fails the test only when it has not come in a very long time.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in 20 s not:", what)
		}
	}
}

func TestCommitAfterDelay(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Delay: 20 * time.Millisecond})
	for i := range 3 {
		s.PutRecord(load(1)[0])
		until(t, "a commit by itself", func() bool { return s.Stats().Commits == uint64(i+1) })
	}
	if st := s.Stats(); st.Records != 3 || st.Queued != 0 || st.LastCommit.IsZero() || st.FileSize == 0 {
		t.Errorf("%+v", st)
	}
}

func TestCommitAtOnce(t *testing.T) {
	recs := load(20)
	for _, c := range []struct {
		name string
		do   func(*Store)
	}{
		{"enough records", func(s *Store) {
			for _, r := range recs[:10] {
				s.PutRecord(r)
			}
		}},
		{"enough jobs", func(s *Store) {
			for i := range 5 {
				s.PutJob(saved(job.NewJID(7, uint32(i+1))))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Batch: 10, Jobs: 5}) // the delay is an hour
			c.do(s)
			until(t, "a commit", func() bool { return s.Stats().Commits == 1 })
		})
	}
}

// TestGroup: what came together is committed together, and a flush with nothing to do is no commit.
func TestGroup(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	for _, r := range load(500) {
		s.PutRecord(r)
	}
	flush(t, s)
	flush(t, s)
	if st := s.Stats(); st.Commits != 1 || st.Records != 500 {
		t.Errorf("%+v", st)
	}
}

func TestCoalesce(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	one, two := job.NewJID(7, 1), job.NewJID(7, 2)
	for i := range 10_000 {
		j := saved(one)
		j.TotalProcesses = i
		s.PutJob(j)
	}
	s.PutJob(saved(two))
	s.EndJob(ended(saved(two), day0))
	s.PutJob(saved(two))                                  // late
	s.EndJob(ended(saved(two), day0.Add(10*time.Second))) // a second end
	if w := s.Waiting(); len(w) != 2 || w[0].TotalProcesses != 9999 || w[1].State != job.Ended {
		t.Errorf("%+v", w)
	}
	flush(t, s)
	if w := s.Waiting(); len(w) != 0 {
		t.Errorf("%+v", w)
	}
	s.PutJob(saved(two)) // as late, with the end on disk
	s.EndJob(ended(saved(two), day0.Add(20*time.Second)))
	flush(t, s)
	open, err := s.OpenJobs()
	if err != nil || len(open) != 1 || open[0].TotalProcesses != 9999 {
		t.Errorf("%+v, %v", open, err)
	}
	got, err := s.Job(two)
	if err != nil || got.Ended == nil || !got.Ended.Equal(day0) {
		t.Errorf("%+v, %v", got, err)
	}
	if n := len(endedJobs(t, s)); n != 1 {
		t.Errorf("%d ended jobs", n)
	}
	if _, err := s.Job(3); !errors.Is(err, job.ErrNoJob) {
		t.Error(err)
	}
}

func endedJobs(t testing.TB, s *Store) (out []job.Saved) {
	t.Helper()
	for j, err := range s.Ended(time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, j)
	}
	return out
}

// TestJobIsKept: nothing of a job is lost on its way.
func TestJobIsKept(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	n, u, v, jid := 22, uint32(1000), int64(1<<60+1), job.NewJID(7, 1)
	j := saved(job.NewJID(7, 2))
	j.RPort, j.UID, j.LoginUID, j.AuditSession, j.ParentJID, j.CPU, j.MaxRSS = &n, u, &u, &u, &jid, &v, &v
	j.Marks = []job.Mark{{Service: "su", User: "root", UID: &u, PID: 5, Time: day0.Add(1), Closed: true}}
	j.Tags = map[string]string{"project": "ü\n\x00"}
	j.Placement = job.Placement{Cgroup: "/jobd/2", Own: true, Audit: &u, BaseCPU: &v, POEStart: 1 << 63, Detached: []job.Known{{PID: 1, Start: 2}}}
	j.Entrants = []job.Entrant{{Known: job.Known{PID: 3, Start: 4}}, {Known: job.Known{PID: 5, Start: 6}, Before: job.Spent{CPU: 7, WriteBytes: 8}}}
	s.PutJob(j)
	flush(t, s)
	got, err := s.Job(j.JID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(j, got); d != "" {
		t.Error(d)
	}
}

// TestRecordsBeforeEnd: whoever finds an ended job finds the records that were handed over before its end.
func TestRecordsBeforeEnd(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Delay: time.Microsecond, Batch: 3})
	recs := load(1)
	done := make(chan struct{})
	const jobs = 300
	go func() {
		defer close(done)
		for i := range jobs {
			r := *recs[0]
			r.JID = job.NewJID(7, uint32(i+1))
			s.PutRecord(&r)
			s.EndJob(ended(saved(r.JID), day0))
		}
	}()
	for i := range jobs {
		jid := job.NewJID(7, uint32(i+1))
		until(t, "the end of a job", func() bool { _, err := s.Job(jid); return err == nil })
		if n := len(records(t, s, jid)); n != 1 {
			t.Fatalf("job %d has ended with %d records", i+1, n)
		}
	}
	<-done
}

func records(t testing.TB, s *Store, jid job.JID) (out []*job.Record) {
	t.Helper()
	for r, err := range s.Records(jid) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// TestQueueFull: records are dropped and counted, jobs are not.
func TestQueueFull(t *testing.T) {
	var log logged
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Records: 100, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i, r := range load(150) {
		s.PutRecord(r)
		s.PutJob(saved(job.NewJID(7, uint32(i+1))))
	}
	if st := s.Stats(); st.Dropped != 50 || st.Queued != 100 || st.QueuedJobs != 150 {
		t.Errorf("%+v", st)
	}
	flush(t, s)
	flush(t, s)
	if st := s.Stats(); st.Records != 100 || st.Queued != 0 || st.DroppedJobs != 0 {
		t.Errorf("%+v", st)
	}
	if n := log.count("queue is full"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	s.Close()
	s.PutRecord(load(1)[0])
	s.PutJob(saved(1))
	if st := s.Stats(); st.Dropped != 51 || st.DroppedJobs != 1 {
		t.Errorf("after Close: %+v", st)
	}
	if err := s.Flush(context.Background()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestJobsBounded(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Jobs: 2})
	q := newQueue(Options{Jobs: 2, Records: 1}) // no writer empties this one
	for i := range 40 {
		q.putJob(&waitingJob{saved: saved(job.NewJID(7, uint32(i+1)))})
	}
	if st := q.snapshot(); st.QueuedJobs != 32 || st.DroppedJobs != 8 {
		t.Errorf("%+v", st)
	}
	j := saved(1)
	j.Started = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) // has no JSON
	s.PutJob(j)
	s.PutJob(saved(2))
	flush(t, s)
	if st := s.Stats(); st.DroppedJobs != 1 || st.QueuedJobs != 0 {
		t.Errorf("%+v", st)
	}
}

// TestDiskFull: nothing that was taken is lost; it waits, and is written when there is room again.
func TestDiskFull(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{MaxSize: 1 << 20, Records: 50_000, Delay: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	recs := load(60_000)
	given := 0
	for s.Stats().Errors < 3 {
		if given < len(recs) {
			s.PutRecord(recs[given])
			given++
		}
	}
	jid := job.NewJID(7, 1)
	s.EndJob(ended(saved(jid), day0))
	if err := s.Flush(context.Background()); !errors.Is(err, berrors.ErrMaxSizeReached) {
		t.Fatal(err)
	}
	for ; given < len(recs); given++ {
		s.PutRecord(recs[given])
	}
	if st := s.Stats(); !st.Failing || !errors.Is(st.LastError, berrors.ErrMaxSizeReached) || st.Records+st.Dropped+uint64(st.Queued) != 60_000 {
		t.Errorf("%+v", st)
	}
	if n := log.count("cannot write"); n < 1 || uint64(n) >= s.Stats().Errors { // a larger batch may find room again
		t.Errorf("logged %d times", n)
	}
	roomAgain(t, s)
	until(t, "a commit after there is room", func() bool { return !s.Stats().Failing && s.Stats().Queued == 0 })
	if _, err := s.Job(jid); err != nil {
		t.Error(err)
	}
	st := s.Stats()
	if st.Records+st.Dropped != 60_000 || st.LastError == nil {
		t.Errorf("%+v", st)
	}
	if n := uint64(countAll(t, s)); n != st.Records {
		t.Errorf("%d records on disk, %d counted", n, st.Records)
	}
}

// roomAgain lifts the limit while no commit is under way.
func roomAgain(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.Update(func(*bolt.Tx) error { s.db.MaxSize = 0; return nil }); err != nil {
		t.Fatal(err)
	}
}

func countAll(t testing.TB, s *Store) (n int) {
	t.Helper()
	for _, err := range s.AllRecords(time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestCloseWithFullDisk(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{MaxSize: 1})
	for _, r := range load(3000) {
		s.PutRecord(r)
	}
	if err := s.Close(); !errors.Is(err, berrors.ErrMaxSizeReached) {
		t.Error(err)
	}
}

// TestReadersBesideWriter: each reader sees whole commits, and ever more.
func TestReadersBesideWriter(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Delay: time.Microsecond})
	const jobs, each = 150, 4
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() { readAll(t, s, stop, each) })
	}
	recs := load(jobs * each)
	for i := range jobs {
		jid := job.NewJID(7, uint32(i+1))
		s.PutJob(saved(jid))
		for k := range each {
			r := recs[i*each+k]
			r.JID = jid
			s.PutRecord(r)
		}
		s.EndJob(ended(saved(jid), day0.Add(time.Duration(i)*time.Second)))
		_, _, _ = s.Reserve(1)
	}
	flush(t, s)
	close(stop)
	wg.Wait()
	if n := len(endedJobs(t, s)); n != jobs {
		t.Errorf("%d jobs", n)
	}
	if n := countAll(t, s); n != jobs*each {
		t.Errorf("%d records", n)
	}
}

func readAll(t *testing.T, s *Store, stop <-chan struct{}, each int) {
	for seen := 0; ; {
		js := endedJobs(t, s)
		if len(js) < seen {
			t.Errorf("%d ended jobs, were %d", len(js), seen)
		}
		seen = len(js)
		if len(js) > 0 {
			if n := len(records(t, s, js[rand.IntN(len(js))].JID)); n != each {
				t.Errorf("%d records of an ended job", n)
			}
		}
		_ = s.Stats()
		_ = s.Waiting()
		select {
		case <-stop:
			return
		default:
		}
	}
}

// TestRecordsAreCopied: whoever hands a record over uses it again, and so does the queue with its own.
func TestRecordsAreCopied(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Batch: 64})
	want := load(500)
	var hand job.Record
	for i, r := range want {
		hand = *r
		s.PutRecord(&hand)
		if i%100 == 99 {
			must(t, s.Flush(context.Background()))
		}
	}
	hand = job.Record{}
	var got []job.Record
	for r, err := range s.AllRecords(time.Time{}, time.Time{}) {
		must(t, err)
		got = append(got, *r)
	}
	slices.Reverse(got) // newest first
	inOrder(want)
	sameRecords(t, want, got)
}
