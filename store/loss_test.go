package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
)

func moments(t testing.TB, s *Store) []job.Moment {
	t.Helper()
	ms, err := s.Moments(time.Time{}, time.Time{})
	must(t, err)
	return ms
}

func parts(t testing.TB, s *Store, from, to time.Time) (out []job.Part) {
	t.Helper()
	for p, err := range s.Parts(from, to) {
		must(t, err)
		out = append(out, p)
	}
	return out
}

func TestMoments(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	n, since := uint64(7), day0.Add(-time.Hour)
	start := job.Moment{Time: day0, Kind: job.MomentStart, BootID: "b", Text: "ü"}
	gap := job.Moment{Time: day0.Add(time.Hour), Since: &since, Kind: job.MomentGap, Events: &n, Records: new(uint64)}
	stop := job.Moment{Time: day0, Kind: job.MomentStop}
	for _, m := range []job.Moment{gap, start, stop} {
		s.PutMoment(m)
	}
	flush(t, s)
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     []job.Moment
	}{
		{"all", time.Time{}, time.Time{}, []job.Moment{start, stop, gap}},
		{"before the gap", time.Time{}, since, nil},
		{"in the gap", since, since.Add(1), []job.Moment{gap}},
		{"from the marks on", day0, day0.Add(1), []job.Moment{start, stop, gap}},
		{"up to the marks", time.Time{}, day0, []job.Moment{gap}},
		{"the end of the gap", gap.Time, time.Time{}, []job.Moment{gap}},
		{"after the gap", gap.Time.Add(1), time.Time{}, nil},
	} {
		got, err := s.Moments(c.from, c.to)
		must(t, err)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Error(c.name, d)
		}
	}
	wellKept(t, s)
}

func TestParts(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	var want []job.Part
	for i := range 3000 {
		want = append(want, job.Part{JID: job.NewJID(7, uint32(i%3+1)), At: day0.UnixNano() + int64(i/3), Unattributed: int64(i) - 5})
	}
	for i := range want {
		s.PutPart(want[len(want)-1-i])
	}
	flush(t, s)
	if d := cmp.Diff(want, parts(t, s, time.Time{}, time.Time{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want[30:60], parts(t, s, day0.Add(10), day0.Add(20))); d != "" {
		t.Error(d)
	}
	wellKept(t, s)
}

// TestGapOfFullQueue: what a full queue cost is in the books, one gap for one streak, and no record of it twice.
func TestGapOfFullQueue(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Records: 100, BootID: "b"})
	for range 2 {
		begin := time.Now()
		for _, r := range load(150) {
			s.PutRecord(r)
		}
		flush(t, s) // the records that were kept
		for _, r := range load(110) {
			s.PutRecord(r) // as full: the streak goes on
		}
		flush(t, s)
		flush(t, s)
		ms := moments(t, s)
		m := ms[len(ms)-1]
		if m.Kind != job.MomentGap || m.Records == nil || *m.Records != 60 || m.Since == nil || m.Since.Before(begin.Truncate(0)) || m.Time.Before(*m.Since) || m.BootID != "b" {
			t.Errorf("%+v", m)
		}
	}
	if n := len(moments(t, s)); n != 2 {
		t.Errorf("%d gaps", n)
	}
	for _, r := range load(130) {
		s.PutRecord(r)
	}
	path := s.path
	must(t, s.Close()) // tells what was lost right before
	s = opened(t, path, Options{})
	if ms := moments(t, s); len(ms) != 3 || *ms[2].Records != 30 {
		t.Errorf("%+v", ms)
	}
}

// TestGapByItself: nothing else has to be handed over for a gap to be written.
func TestGapByItself(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Records: 1, Delay: time.Millisecond})
	until(t, "a loss", func() bool {
		for _, r := range load(10) {
			s.PutRecord(r)
		}
		return s.Stats().Dropped > 0
	})
	until(t, "a gap", func() bool { return len(moments(t, s)) > 0 })
}

// TestFloor: with little room history halts, says so, keeps what is small, loses no more than what finds no room in memory,
// and goes on by itself.
func TestFloor(t *testing.T) {
	var log logged
	var room atomic.Int64
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{
		Records: 100, Delay: time.Millisecond, Floor: 1000, Log: slog.New(slog.NewTextHandler(&log, nil)),
		free: func(string) (int64, error) { return room.Load(), nil },
	})
	jid := job.NewJID(7, 1)
	s.EndJob(ended(saved(jid), day0))
	until(t, "a halt", func() bool { return !s.Stats().Halted.IsZero() })
	for _, r := range load(130) {
		s.PutRecord(r)
	}
	s.PutMoment(job.Moment{Time: day0, Kind: job.MomentConfig})
	if err := s.Flush(t.Context()); !errors.Is(err, ErrHalted) {
		t.Error(err)
	}
	if _, _, err := s.Reserve(10); err != nil {
		t.Error("logins wait:", err)
	}
	st := s.Stats()
	if !st.Failing || st.Errors != 0 || st.Dropped != 30 || st.Queued != 100 || st.QueuedJobs != 1 || !errors.Is(st.HaltedWhy, ErrHalted) || st.LastError == nil {
		t.Errorf("%+v", st)
	}
	room.Store(1000)
	until(t, "history to go on", func() bool { st := s.Stats(); return st.Halted.IsZero() && st.Queued == 0 })
	if st = s.Stats(); st.Failing || st.HaltedWhy != nil || st.Records != 100 || st.QueuedJobs != 0 {
		t.Errorf("%+v", st)
	}
	until(t, "a gap", func() bool { return len(moments(t, s)) == 2 })
	if m := moments(t, s)[1]; *m.Records != 30 || !strings.Contains(string(m.Text), "halted") {
		t.Errorf("%+v", m)
	}
	if _, err := s.Job(jid); err != nil {
		t.Error(err)
	}
	if a, b := log.count("cannot write"), log.count("can be written again"); a != 1 || b != 1 {
		t.Errorf("logged %d and %d times", a, b)
	}
	room.Store(0)
	s.PutRecord(load(1)[0])
	must(t, s.Close()) // with the last of the room
}

// TestNothingLostNoGap: a halt that cost nothing is no gap.
func TestNothingLostNoGap(t *testing.T) {
	var room atomic.Int64
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{Delay: time.Millisecond, Floor: 1, free: func(string) (int64, error) { return room.Load(), nil }})
	s.PutRecord(load(1)[0])
	until(t, "a halt", func() bool { return !s.Stats().Halted.IsZero() })
	room.Store(1)
	flush(t, s)
	if ms := moments(t, s); len(ms) > 0 || countAll(t, s) != 1 {
		t.Errorf("%+v", ms)
	}
}

// TestIntegrationSmallDisk fills a file system of 3 MiB. It runs itself again in a mount namespace of its own.
func TestIntegrationSmallDisk(t *testing.T) {
	if dir := os.Getenv("STORE_SMALL_DISK"); dir != "" {
		fillSmallDisk(t, dir)
		return
	}
	skip := t.Skipf
	if os.Getenv("JOBD_INTEGRATION") == "1" {
		skip = t.Fatalf
	}
	if os.Geteuid() != 0 {
		skip("mounting needs root")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestIntegrationSmallDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_SMALL_DISK="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // private: what it mounts goes with it
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func fillSmallDisk(t *testing.T, dir string) {
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"))
	s := opened(t, filepath.Join(dir, "jobd.db"), Options{Records: 2000, Floor: -1, Delay: time.Millisecond})
	ballast := filepath.Join(dir, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 1<<20), 0o600))
	recs := load(50_000)
	given := uint64(0)
	until(t, "a full disk", func() bool {
		for range 500 {
			s.PutRecord(recs[given%50_000])
			given++
		}
		return s.Stats().Dropped > 0 && !s.Stats().Halted.IsZero()
	})
	if st := s.Stats(); !errors.Is(st.LastError, syscall.ENOSPC) && !errors.Is(st.LastError, ErrHalted) {
		t.Error(st.LastError)
	}
	s.EndJob(ended(saved(job.NewJID(7, 1)), day0))
	must(t, os.Remove(ballast))
	until(t, "room again", func() bool { st := s.Stats(); return st.Halted.IsZero() && st.Queued == 0 && st.QueuedJobs == 0 })
	st, lost := s.Stats(), uint64(0)
	until(t, "gaps for all that was lost", func() bool {
		lost = 0
		for _, m := range moments(t, s) {
			lost += *m.Records
		}
		return lost == st.Dropped
	})
	if st.Records+st.Dropped != given || lost != st.Dropped || uint64(countAll(t, s)) != st.Records {
		t.Errorf("%d given, %d lost by the gaps, %d on disk: %+v", given, lost, countAll(t, s), st)
	}
	wellKept(t, s)
}

// TestRetention: whole days go, in steps, with what belongs to them; what is left is whole, and the books say what went.
func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{KeepRecords: 3 * day, KeepJobs: 5 * day})
	s.db.NoSync = true
	for d := range 10 { // day0 is a noon
		at := day0.Add(time.Duration(d) * day)
		for i, r := range load(1000) {
			r.End += int64(time.Duration(d) * day)
			r.JID = job.NewJID(7, uint32(100*d+i%100+1))
			s.PutRecord(r)
		}
		s.PutPart(job.Part{JID: 1, At: at.UnixNano(), Unattributed: 1})
		s.PutMoment(job.Moment{Time: at, Kind: job.MomentStart})
		for i := range 300 {
			j := ended(saved(job.NewJID(7, uint32(1000*d+i+1))), at.Add(time.Duration(i)))
			j.Started, j.TotalProcesses = at, 1000
			s.EndJob(j)
		}
		flush(t, s)
	}
	now := day0.Add(9*day + time.Hour)
	must(t, s.Retain(t.Context(), now))
	firstRecord, firstJob := day0.Add(6*day).Truncate(day), day0.Add(4*day).Truncate(day)
	if n := countAll(t, s); n != 4000 {
		t.Errorf("%d records", n)
	}
	if n := len(endedJobs(t, s)); n != 6*300 {
		t.Errorf("%d jobs", n)
	}
	if n := len(parts(t, s, time.Time{}, time.Time{})); n != 4 {
		t.Errorf("%d parts", n)
	}
	byKind := make(map[job.MomentKind]int)
	for _, m := range moments(t, s) {
		byKind[m.Kind]++
		if m.Kind == job.MomentDropped && !m.Time.Equal(now) {
			t.Errorf("%+v", m)
		}
	}
	if d := cmp.Diff(map[job.MomentKind]int{job.MomentStart: 6, job.MomentDropped: 2}, byKind); d != "" {
		t.Error(d)
	}
	records, jobs := keptSince(t, s)
	if !records.Equal(firstRecord) || !jobs.Equal(firstJob) {
		t.Error(records, jobs)
	}
	if _, err := s.Job(job.NewJID(7, 1)); !errors.Is(err, job.ErrNoJob) {
		t.Error(err)
	}
	f, err := s.Figures()
	if err != nil || f.Records != 4000 || f.Jobs != 1800 || f.Days != 4 || f.Oldest.Before(firstRecord) || f.Buckets["dropped"] > 100 {
		t.Errorf("%+v, %v", f, err)
	}
	wellKept(t, s)
	must(t, s.Retain(t.Context(), now))
	must(t, s.Retain(t.Context(), day0)) // a clock that was set back
	if again, _ := keptSince(t, s); !again.Equal(records) || len(moments(t, s)) != 8 {
		t.Error(again, moments(t, s))
	}
}

// keptSince is what was dropped, by meta.
func keptSince(t *testing.T, s *Store) (records, jobs time.Time) {
	t.Helper()
	must(t, s.view(func(tx *bolt.Tx) error {
		records = time.Unix(0, int64(keptFrom(tx, "records_from")))
		jobs = time.Unix(0, int64(keptFrom(tx, "jobs_from")))
		return nil
	}))
	return records, jobs
}

// TestRetentionSteps: a day is gone for readers with the first step, and each step takes out little.
func TestRetentionSteps(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	s.db.NoSync = true
	var enc encoder
	must(t, s.update(func(tx *bolt.Tx) error {
		d, err := openDay(tx, dayOf(day0.UnixNano()))
		must(t, err)
		for i, r := range load(5 * stepBlocks) {
			r.JID = job.NewJID(7, uint32(i+1))
			must(t, d.settle(&enc, []*job.Record{r}))
		}
		return nil
	}))
	now := day0.Add(100 * 24 * time.Hour)
	steps := 0
	for more := true; more; steps++ {
		before := s.db.Stats()
		var err error
		more, err = s.retain(now)
		must(t, err)
		if n := countAll(t, s); n != 0 {
			t.Fatalf("%d records of a day that is dropped", n)
		}
		after := s.db.Stats()
		if n := after.TxStats.GetWrite() - before.TxStats.GetWrite(); n > 200 {
			t.Errorf("a step wrote %d times", n)
		}
		s.PutRecord(load(1)[0]) // comes late for a day that is being cleared
		flush(t, s)
		must(t, s.update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("proc")).DeleteBucket([]byte(dayOf(day0.UnixNano()))) }))
	}
	if steps < 5 {
		t.Errorf("%d steps", steps)
	}
	wellKept(t, s)
}

func TestKeepForEver(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{KeepRecords: -1, KeepJobs: -1})
	s.PutRecord(load(1)[0])
	s.EndJob(ended(saved(1), day0))
	flush(t, s)
	must(t, s.Retain(context.Background(), day0.Add(100*365*24*time.Hour)))
	if countAll(t, s) != 1 || len(endedJobs(t, s)) != 1 || len(moments(t, s)) != 0 {
		t.Error("something is gone")
	}
}

// TestChoreWaitsForNobody: while somebody is being forgotten, the writer goes on.
func TestChoreWaitsForNobody(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	s.keeping.Lock()
	defer s.keeping.Unlock()
	next := make(chan time.Time)
	go func() { next <- s.chore() }()
	select {
	case at := <-next:
		if !at.After(time.Now()) {
			t.Errorf("it is tried again at once, at %v", at)
		}
	case <-time.After(10 * time.Second):
		t.Error("the writer waits")
	}
}
