package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// jobOp is a state of a job, ready to be written.
type jobOp struct {
	jid   job.JID
	end   uint64
	ended bool
	value []byte
}

// fillAppend is for buckets whose keys grow: bbolt's half-full pages would never be filled up.
const fillAppend = 0.9

func (o *jobOp) put(tx *bolt.Tx) error {
	open, jobs, ended := tx.Bucket([]byte("open")), tx.Bucket([]byte("jobs")), tx.Bucket([]byte("ended"))
	key := be64(uint64(o.jid))
	if jobs.Get(key) != nil {
		return open.Delete(key) // it has ended before, and that stays so
	}
	if !o.ended {
		return open.Put(key, o.value)
	}
	jobs.FillPercent, ended.FillPercent = fillAppend, fillAppend
	if err := open.Delete(key); err != nil {
		return err
	}
	if err := jobs.Put(key, o.value); err != nil {
		return err
	}
	return ended.Put(append(be64(o.end), key...), nil)
}

// endOf is the key of a job's end, Unix ns. A job without one counts as ended when it started.
func endOf(s *job.Saved) uint64 {
	if s.Ended != nil {
		return unixKey(*s.Ended)
	}
	return unixKey(s.Started)
}

// unixKey gives Unix ns for a key; what is outside of 1970 to 2262 becomes the nearest that can be told.
func unixKey(t time.Time) uint64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return uint64(t.UnixNano())
}

func decodeJob(key, v []byte) (job.Saved, error) {
	var s job.Saved
	if err := json.Unmarshal(v, &s); err != nil {
		return job.Saved{}, fmt.Errorf("cannot read job %x: %w: %w", key, err, ErrCorrupt)
	}
	return s, nil
}

// OpenJobs lists the jobs that are open as far as the disk knows, by JID. An error tells of those that could not be read;
// the others are there all the same.
func (s *Store) OpenJobs() ([]job.Saved, error) {
	var out []job.Saved
	var bad error
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("open")).ForEach(func(k, v []byte) error {
			j, err := decodeJob(k, v)
			if err != nil {
				bad = err
				return nil
			}
			out = append(out, j)
			return nil
		})
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// Job gives one job, open or ended, as the disk knows it. The error is job.ErrNoJob where there is none.
func (s *Store) Job(jid job.JID) (job.Saved, error) {
	var out job.Saved
	err := s.view(func(tx *bolt.Tx) error {
		key := be64(uint64(jid))
		v := tx.Bucket([]byte("jobs")).Get(key)
		if v == nil {
			v = tx.Bucket([]byte("open")).Get(key)
		}
		if v == nil {
			return fmt.Errorf("%d: %w", jid.Seq(), job.ErrNoJob)
		}
		var err error
		out, err = decodeJob(key, v)
		return err
	})
	return out, err
}

// Ended gives the jobs that ended at from or later and before to, newest first. A zero time is no bound. An error tells
// of a job that could not be read; those after it follow.
func (s *Store) Ended(from, to time.Time) iter.Seq2[job.Saved, error] {
	return func(yield func(job.Saved, error) bool) {
		lowest, next := be64(0), be64(math.MaxUint64) // next: every key below it is still to come
		if !from.IsZero() {
			lowest = be64(unixKey(from))
		}
		if !to.IsZero() {
			next = be64(unixKey(to))
		}
		for {
			page, err := s.endedPage(lowest, next)
			if err != nil {
				yield(job.Saved{}, err)
				return
			}
			if len(page) == 0 {
				return
			}
			for _, e := range page {
				next = e.key
				if !yield(e.decode()) {
					return
				}
			}
		}
	}
}

type endedJob struct{ key, value []byte }

func (e endedJob) decode() (job.Saved, error) { return decodeJob(e.key[8:], e.value) }

// endedPage copies some jobs out, so that no transaction is open while the caller looks at them.
func (s *Store) endedPage(lowest, below []byte) ([]endedJob, error) {
	var page []endedJob
	err := s.view(func(tx *bolt.Tx) error {
		jobs := tx.Bucket([]byte("jobs"))
		c := tx.Bucket([]byte("ended")).Cursor()
		for k := before(c, below); k != nil && bytes.Compare(k, lowest) >= 0 && len(page) < 256; k, _ = c.Prev() {
			if len(k) != 16 {
				return fmt.Errorf("a key of ended has %d bytes: %w", len(k), ErrCorrupt)
			}
			page = append(page, endedJob{bytes.Clone(k), bytes.Clone(jobs.Get(k[8:]))})
		}
		return nil
	})
	return page, err
}

// before sets the cursor on the last key below key.
func before(c *bolt.Cursor, key []byte) []byte {
	if k, _ := c.Seek(key); k == nil {
		k, _ = c.Last()
		return k
	}
	k, _ := c.Prev()
	return k
}
