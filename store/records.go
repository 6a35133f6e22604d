package store

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

const (
	blockSize  = 4096 // records in a block at most
	blockReuse = 1024 // a block with fewer is taken up again by the next commit, so that a quiet host makes no tiny ones
)

// blockRef is where a block is.
type blockRef struct {
	day string
	key []byte
}

func dayOf(ns int64) string { return time.Unix(0, ns).UTC().Format(time.DateOnly) }

// putRecords writes records into the days on which their processes ended.
func (s *Store) putRecords(tx *bolt.Tx, recs []*job.Record) error {
	slices.SortStableFunc(recs, byEnd)
	for len(recs) > 0 {
		day := dayOf(recs[0].End)
		next := time.Unix(0, recs[0].End).UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		n := 1
		for n < len(recs) && recs[n].End < next.UnixNano() {
			n++
		}
		if err := s.putDay(tx, day, recs[:n]); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

func (s *Store) putDay(tx *bolt.Tx, day string, recs []*job.Record) error {
	d, err := openDay(tx, day)
	if err != nil {
		return err
	}
	key := s.reuse(d, day, &recs)
	for len(recs) > 0 {
		n := min(len(recs), blockSize)
		if key == nil {
			seq, err := d.blocks.NextSequence()
			if err != nil {
				return err
			}
			key = append(be64(uint64(max(recs[0].End, 0))), be64(seq)...)
		}
		value, jids := s.enc.encode(recs[:n])
		if err := d.put(key, value, jids); err != nil {
			return err
		}
		s.tail = blockRef{day, key}
		recs, key = recs[n:], nil
	}
	return nil
}

// dayBuckets are the buckets of one day.
type dayBuckets struct{ blocks, jobs *bolt.Bucket }

func openDay(tx *bolt.Tx, day string) (d dayBuckets, err error) {
	b, err := tx.Bucket([]byte("proc")).CreateBucketIfNotExists([]byte(day))
	if err != nil {
		return d, err
	}
	if d.blocks, err = b.CreateBucketIfNotExists([]byte("blocks")); err != nil {
		return d, err
	}
	d.blocks.FillPercent = fillAppend
	d.jobs, err = b.CreateBucketIfNotExists([]byte("jobs"))
	return d, err
}

// readDay gives a day's buckets, false where there is none.
func readDay(tx *bolt.Tx, day string) (d dayBuckets, ok bool) {
	b := tx.Bucket([]byte("proc")).Bucket([]byte(day))
	if b == nil {
		return d, false
	}
	d.blocks, d.jobs = b.Bucket([]byte("blocks")), b.Bucket([]byte("jobs"))
	return d, d.blocks != nil && d.jobs != nil
}

func (d dayBuckets) put(key, value []byte, jids []job.JID) error {
	if err := d.blocks.Put(key, value); err != nil {
		return err
	}
	for _, j := range jids {
		if err := d.jobs.Put(append(be64(uint64(j)), key...), nil); err != nil {
			return err
		}
	}
	return nil
}

// reuse takes up the block that was written last where it is small: it gives its key, and puts its records in front of
// the new ones. Its key stays, so that what points to it stays right. One that cannot be read is left alone.
func (s *Store) reuse(d dayBuckets, day string, recs *[]*job.Record) []byte {
	key := s.tail.key
	if s.tail.day != day {
		k, _ := d.blocks.Cursor().Last()
		key = bytes.Clone(k)
	}
	v := d.blocks.Get(key)
	h, err := readHeader(v)
	if err != nil || h.count >= blockReuse || h.count+len(*recs) > blockSize {
		return nil
	}
	var dec decoder
	old, err := dec.decode(v)
	if err != nil {
		return nil
	}
	all := make([]*job.Record, 0, len(old)+len(*recs))
	for i := range old {
		all = append(all, &old[i])
	}
	*recs = append(all, *recs...)
	slices.SortStableFunc(*recs, byEnd)
	return key
}

// Records gives the process records of a job, newest day first, in a day the newest block first, in a block by end,
// newest first: two records can be out of order by the time that one of them waited to be handed over. An error tells of
// a block that could not be read; the others follow.
func (s *Store) Records(jid job.JID) iter.Seq2[*job.Record, error] {
	want := func(d dayBuckets) (keys [][]byte) {
		prefix := be64(uint64(jid))
		c := d.jobs.Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			keys = append(keys, bytes.Clone(k[8:]))
		}
		return keys
	}
	return s.records("", "9999-99-99", want, func(r *job.Record) bool { return r.JID == jid })
}

// AllRecords gives the process records of all jobs whose process ended at from or later and before to, in the order of
// Records. A zero time is no bound.
func (s *Store) AllRecords(from, to time.Time) iter.Seq2[*job.Record, error] {
	first, last := int64(math.MinInt64), int64(math.MaxInt64) // last is the first that is out
	if !from.IsZero() {
		first = int64(unixKey(from))
	}
	if !to.IsZero() {
		last = int64(unixKey(to))
	}
	want := func(d dayBuckets) (keys [][]byte) {
		c := d.blocks.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			// A block that doesn't say when it is from is taken as well: reading it gives the error.
			if h, err := readHeader(v); err != nil || h.last >= first && h.first < last {
				keys = append(keys, bytes.Clone(k))
			}
		}
		return keys
	}
	return s.records(dayOf(first), dayOf(last), want, func(r *job.Record) bool { return r.End >= first && r.End < last })
}

// records goes through the days from first to last, the blocks in them that are wanted, and the records in those that
// match. Each step is a transaction of its own: what retention takes away meanwhile is passed over.
func (s *Store) records(first, last string, want func(dayBuckets) [][]byte, match func(*job.Record) bool) iter.Seq2[*job.Record, error] {
	return func(yield func(*job.Record, error) bool) {
		days, err := s.days(first, last)
		if err != nil {
			yield(nil, err)
			return
		}
		var dec decoder
		for _, day := range slices.Backward(days) {
			keys, err := s.blocks(day, want)
			if err != nil && !yield(nil, err) {
				return
			}
			for _, key := range slices.Backward(keys) {
				recs, err := s.block(&dec, blockRef{day, key})
				if err != nil && !yield(nil, err) {
					return
				}
				for i := range slices.Backward(recs) {
					if match(&recs[i]) && !yield(&recs[i], nil) {
						return
					}
				}
			}
		}
	}
}

func (s *Store) days(first, last string) (days []string, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("proc")).ForEachBucket(func(k []byte) error {
			if d := string(k); d >= first && d <= last {
				days = append(days, d)
			}
			return nil
		})
	})
	return days, err
}

func (s *Store) blocks(day string, want func(dayBuckets) [][]byte) (keys [][]byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if d, ok := readDay(tx, day); ok {
			keys = want(d)
		}
		return nil
	})
	return keys, err
}

func (s *Store) block(dec *decoder, ref blockRef) (recs []job.Record, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		d, ok := readDay(tx, ref.day)
		if !ok {
			return nil
		}
		v := d.blocks.Get(ref.key)
		if v == nil {
			return nil
		}
		var err error
		if recs, err = dec.decode(v); err != nil {
			return fmt.Errorf("cannot read block %x of %s: %w: %w", ref.key, ref.day, err, ErrCorrupt)
		}
		return nil
	})
	return recs, err
}
