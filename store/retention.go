package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// What is older than it is to be kept is dropped in small steps, each a transaction of its own, so that no commit waits
// for long: a day of process records disappears at once, by moving its bucket into another, and is cleared there.
const (
	choreFirst = 10 * time.Minute      // after the start: the clock may have to be set first
	choreNext  = time.Hour             // and then
	chorePause = 20 * time.Millisecond // between steps: other writers get in
	stepKeys   = 1024                  // entries that a step takes out at most
	stepBlocks = 64                    // blocks that a step takes out at most
)

// chore makes a step, and says when the next is due.
func (s *Store) chore() time.Time {
	if !s.keeping.TryLock() { // somebody is being forgotten: what is to be committed does not wait for that
		return time.Now().Add(time.Minute)
	}
	more, err := s.dropStep(time.Now())
	s.keeping.Unlock()
	switch {
	case err != nil:
		s.opt.Log.Error("cannot drop what is too old from the store", "path", s.path, "error", err)
	case more:
		return time.Now().Add(chorePause)
	}
	return time.Now().Add(choreNext)
}

// Retain drops all that is too old at a given time. The writer does that by itself, every hour.
func (s *Store) Retain(ctx context.Context, now time.Time) error {
	for {
		more, err := s.retain(now)
		if err != nil {
			return fmt.Errorf("cannot drop what is too old: %w", err)
		}
		if !more {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// retain makes a step; more: there is at least one more to do.
func (s *Store) retain(now time.Time) (more bool, err error) {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	return s.dropStep(now)
}

// dropStep is one step, for whoever holds keeping.
func (s *Store) dropStep(now time.Time) (more bool, err error) {
	r := retention{now: now, opt: &s.opt, keep: *s.keep.Load()}
	var step func(*bolt.Tx) error
	if err := s.view(func(tx *bolt.Tx) error { step = r.find(tx); return nil }); err != nil || step == nil {
		return false, err
	}
	return true, s.update(step)
}

// retention is one step.
type retention struct {
	now  time.Time
	opt  *Options
	keep Keep
}

// before gives the beginning of the first day that is kept, Unix ns; false: all is.
func (r *retention) before(keep time.Duration) (ns uint64, ok bool) {
	if keep < 0 {
		return 0, false
	}
	ns = unixKey(r.now.Add(-keep).UTC().Truncate(24 * time.Hour))
	return ns, ns > 0
}

// find looks for something to do; nil: there is nothing.
func (r *retention) find(tx *bolt.Tx) func(*bolt.Tx) error {
	if k, _ := tx.Bucket([]byte("dropped")).Cursor().First(); k != nil {
		return r.clear
	}
	if cut, ok := r.before(r.keep.Records); ok {
		if k, _ := tx.Bucket([]byte("proc")).Cursor().First(); k != nil && string(k) < dayOf(int64(cut)) {
			return r.dropDays
		}
		if olderThan(tx, "parts", cut) {
			return func(tx *bolt.Tx) error { return deleteBelow(tx, "parts", cut) }
		}
	}
	if cut, ok := r.before(r.keep.Jobs); ok {
		if olderThan(tx, "ended", cut) {
			return r.dropJobs
		}
		if olderThan(tx, "moments", cut) {
			return func(tx *bolt.Tx) error { return deleteBelow(tx, "moments", cut) }
		}
	}
	return nil
}

func olderThan(tx *bolt.Tx, bucket string, cut uint64) bool {
	k, _ := tx.Bucket([]byte(bucket)).Cursor().First()
	return k != nil && bytes.Compare(k, be64(cut)) < 0
}

// dropDays moves the buckets of days, which takes as long for a large one as for a small one.
func (r *retention) dropDays(tx *bolt.Tx) error {
	cut, _ := r.before(r.keep.Records)
	proc, dropped := tx.Bucket([]byte("proc")), tx.Bucket([]byte("dropped"))
	var days []string
	for k, _ := proc.Cursor().First(); k != nil && string(k) < dayOf(int64(cut)) && len(days) < stepBlocks; {
		day := string(k)
		seq, err := dropped.NextSequence()
		if err != nil {
			return err
		}
		to, err := dropped.CreateBucket(be64(seq)) // a day may come back with late records, and be dropped again
		if err != nil {
			return err
		}
		if err := tx.MoveBucket(bytes.Clone(k), proc, to); err != nil {
			return err
		}
		days = append(days, day)
		k, _ = proc.Cursor().First()
	}
	what := "the process records of " + days[0]
	if n := len(days); n > 1 {
		what += fmt.Sprintf(" to %s, %d days,", days[n-1], n)
	}
	return r.note(tx, "records_from", cut, what, r.keep.Records)
}

// note writes down from when on there is anything, and that something was dropped.
func (r *retention) note(tx *bolt.Tx, key string, cut uint64, what string, keep time.Duration) error {
	if err := tx.Bucket([]byte("meta")).Put([]byte(key), be64(max(cut, keptFrom(tx, key)))); err != nil {
		return err
	}
	text := fmt.Sprintf("%s were dropped: they are kept for %d days", what, int(keep.Hours()/24))
	return putMoment(tx, &job.Moment{Time: r.now.UTC(), Kind: job.MomentDropped, BootID: job.Text(r.opt.BootID), Text: job.Text(text)})
}

// clear takes a part out of a day that was dropped, and in the end its bucket.
func (r *retention) clear(tx *bolt.Tx) error {
	dropped := tx.Bucket([]byte("dropped"))
	name, _ := dropped.Cursor().First()
	name = bytes.Clone(name)
	b := dropped.Bucket(name)
	if b == nil {
		return dropped.Delete(name)
	}
	day, _ := b.Cursor().First()
	if day == nil {
		return dropped.DeleteBucket(name)
	}
	d := b.Bucket(day)
	if d == nil {
		return errors.Join(b.Delete(bytes.Clone(day)), dropped.DeleteBucket(name))
	}
	left, err := deleteSome(d.Bucket([]byte("blocks")), be64(math.MaxUint64), stepBlocks)
	if err != nil || left {
		return err
	}
	return dropped.DeleteBucket(name)
}

// deleteSome deletes entries from the first on, as long as they are below a key; left: there are more.
func deleteSome(b *bolt.Bucket, below []byte, most int) (left bool, err error) {
	if b == nil {
		return false, nil
	}
	var keys [][]byte
	c := b.Cursor()
	k, _ := c.First()
	for ; k != nil && bytes.Compare(k, below) < 0 && len(keys) < most; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	left = k != nil && bytes.Compare(k, below) < 0
	for _, k := range keys { // deleting while a cursor is on its way would pass over some
		if err := deleteEntry(b, k); err != nil {
			return left, err
		}
	}
	return left, nil
}

func deleteEntry(b *bolt.Bucket, key []byte) error {
	if b.Bucket(key) != nil {
		return b.DeleteBucket(key)
	}
	return b.Delete(key)
}

func deleteBelow(tx *bolt.Tx, bucket string, cut uint64) error {
	_, err := deleteSome(tx.Bucket([]byte(bucket)), be64(cut), stepKeys)
	return err
}

// dropJobs deletes some ended jobs. From the first step on none of them is given any more.
func (r *retention) dropJobs(tx *bolt.Tx) error {
	cut, _ := r.before(r.keep.Jobs)
	if keptFrom(tx, "jobs_from") < cut {
		what := "the jobs that ended before " + dayOf(int64(cut))
		if err := r.note(tx, "jobs_from", cut, what, r.keep.Jobs); err != nil {
			return err
		}
	}
	ended, jobs := tx.Bucket([]byte("ended")), tx.Bucket([]byte("jobs"))
	c := ended.Cursor()
	var keys [][]byte
	for k, _ := c.First(); k != nil && bytes.Compare(k, be64(cut)) < 0 && len(keys) < stepKeys/2; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := ended.Delete(k); err != nil {
			return err
		}
		if len(k) != 16 {
			continue
		}
		if err := jobs.Delete(k[8:]); err != nil {
			return err
		}
	}
	return nil
}
