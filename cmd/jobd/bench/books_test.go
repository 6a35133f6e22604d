package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/store"
)

// perCommit is how many records a commit has while 20,000 come in a second.
const perCommit = 20_000

// books measures the books of a month: how fast they are written, what they take, and how long questions take that people
// ask, beside GNU sa on the same processes.
func (b *bench) books() error {
	if err := b.sizes(); err != nil {
		return err
	}
	home, err := b.newHome()
	if err != nil {
		return err
	}
	w := &written{path: filepath.Join(home, "state", "jobd.db"), acct: filepath.Join(home, "pacct")}
	if err := w.write(b.ctx); err != nil {
		return err
	}
	b.reportWritten(w)
	return b.questions(home, w)
}

// sizes measures what a record takes in the file, as it is written a second's worth at a time and one by one. These files
// are in memory: what counts is their bytes.
func (b *bench) sizes() error {
	dir, where := "/dev/shm", "in memory"
	if _, err := os.Stat(dir); err != nil {
		dir, where = b.dir, "on disk"
	}
	dir, err := os.MkdirTemp(dir, "jobd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, c := range []struct {
		records, jobs, commit int
		what                  string
	}{
		{1_000_000, 6250, perCommit, "20,000 a second"}, // from builds: nothing else makes so many
		{1_000_000, 100_000, 1, "one a second"},
	} {
		f, took, err := fill(b.ctx, filepath.Join(dir, fmt.Sprint(c.commit)), c.records, c.jobs, c.commit)
		if err != nil {
			return err
		}
		each := func(bytes int64) float64 { return float64(bytes) / float64(c.records) }
		b.add(row{
			what:     "file for a process record, of " + c.what,
			measured: fmt.Sprintf("%.1f bytes", each(f.Bytes)),
			beside:   fmt.Sprintf("%.1f in the blocks, %.1f unused", each(f.BlockBytes), each(f.Free)),
			target:   "≤ 24", ok: met(each(f.Bytes) <= 24),
		})
		b.add(row{
			what:     fmt.Sprintf("  of %s jobs, %s commits, %s", number(c.jobs), number(c.records/c.commit), where),
			measured: fmt.Sprintf("%.0f a second", float64(c.records/c.commit)/took.Seconds()),
		})
	}
	return nil
}

// fill writes records that came at the rate at which they are committed, without their jobs.
func fill(ctx context.Context, path string, records, jobs, commit int) (f store.Figures, took time.Duration, err error) {
	s, err := store.Open(path, store.Options{Now: time.Now(), Delay: time.Hour, Batch: 1 << 30})
	if err != nil {
		return f, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	second := time.Duration(records) * time.Second
	l := newLoad(time.Now(), second/time.Duration(commit), job.NewJID(s.HID(), 1), jobs, records)
	for i := range records {
		r, _ := l.record(i)
		if s.PutRecord(r); (i+1)%commit > 0 {
			continue
		}
		start := time.Now()
		if err := s.Flush(ctx); err != nil {
			return f, 0, err
		}
		took += time.Since(start)
	}
	if f, err = s.Figures(); err == nil && f.Records != int64(records) {
		err = fmt.Errorf("the file has %d records, %d were written", f.Records, records)
	}
	return f, took, err
}

// written is the month on disk: as jobd keeps it, and as process accounting would have.
type written struct {
	path, acct string
	put        time.Duration // that handing over and committing took
	making     time.Duration // that making it up took
	figures    store.Figures
	cpu        int64 // ns, of all jobs
}

// write makes up the month and writes it down as fast as it goes: a second's worth of records is handed over, with the
// ends of jobs as they come, and waited for.
func (w *written) write(ctx context.Context) (err error) {
	if err := os.Mkdir(filepath.Dir(w.path), 0o750); err != nil {
		return err
	}
	s, err := store.Open(w.path, store.Options{Now: time.Now()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	file, err := os.Create(w.acct)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	start := time.Now()
	first, _, err := s.Reserve(monthJobs)
	if err != nil {
		return err
	}
	l := newLoad(time.Now(), monthSpan, job.NewJID(s.HID(), first), monthJobs, monthProcs)
	for at := 0; at < monthProcs; at += perCommit {
		if err := w.second(ctx, s, l, at, out); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	w.making = time.Since(start) - w.put
	if st := s.Stats(); st.Dropped+st.DroppedJobs > 0 {
		return fmt.Errorf("the store dropped %d records and %d jobs", st.Dropped, st.DroppedJobs)
	}
	w.figures, err = s.Figures()
	return err
}

// second hands over a second's worth, and waits until it is on disk. Only that is on the clock.
func (w *written) second(ctx context.Context, s *store.Store, l *load, at int, out *bufio.Writer) error {
	records, ended := make([]*job.Record, perCommit), make(map[int]job.Saved)
	var line []byte
	for i := range records {
		r, last := l.record(at + i)
		if records[i] = r; last {
			j := l.closed(at + i)
			ended[i], w.cpu = j, w.cpu+*j.CPU
		}
		line = appendAcct(line[:0], r)
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	start := time.Now()
	for i, r := range records {
		s.PutRecord(r)
		if j, ok := ended[i]; ok {
			s.EndJob(j)
		}
	}
	err := s.Flush(ctx)
	w.put += time.Since(start)
	return err
}

func (b *bench) reportWritten(w *written) {
	f, rate := &w.figures, monthProcs/w.put.Seconds()
	b.add(row{
		what:     fmt.Sprintf("%s records and %s ended jobs written", number(monthProcs), number(monthJobs)),
		measured: number(int(rate)) + " records/s", beside: fmt.Sprintf("%.1f s to make them up", w.making.Seconds()),
		target: "20,000", ok: met(rate >= 20_000),
	})
	b.add(row{
		what:     "  the file, jobs and all",
		measured: fmt.Sprintf("%.1f MiB", float64(f.Bytes)/(1<<20)),
		beside: fmt.Sprintf("%.1f bytes in use for a record, %.1f of them in blocks, %.0f for a job; %.1f MiB unused",
			float64(f.Buckets["proc"])/monthProcs, float64(f.BlockBytes)/monthProcs,
			float64(f.Buckets["jobs"]+f.Buckets["ended"])/monthJobs, float64(f.Free)/(1<<20)),
	})
}

// number writes a whole number as people read it.
func number(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", number(n/1000), n%1000)
}
