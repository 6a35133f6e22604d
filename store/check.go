package store

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Checked is what a check looked at, and what it found.
type Checked struct {
	Pages, Blocks, Records, Jobs, Open, Moments, Parts int64

	Problems []string // a sentence each; empty: all is well
	More     int64    // problems beyond those
}

// problemsMost is how many problems are told of.
const problemsMost = 1000

// Check looks through all of a database: every page, every block, every job, every entry of an index both ways, and whether
// the process records of a job are within its sums. It is for a database that nobody writes to: opened for reading, or a
// backup. tell hears how far it is, in pages first, then in blocks; it may be nil. The error is that it could not be
// looked at, not that something is wrong with it.
func (s *Store) Check(ctx context.Context, tell func(done, all int64)) (Checked, error) {
	c := checking{s: s, ctx: ctx, tell: tell, sums: make(map[job.JID]*jobSums)}
	if c.tell == nil {
		c.tell = func(int64, int64) {}
	}
	err := c.pages()
	if err == nil && len(c.out.Problems) == 0 { // bbolt's own check may not survive pages that make no sense
		err = c.contents()
	}
	if err != nil {
		return c.out, fmt.Errorf("cannot check the store %s: %w", s.path, err)
	}
	return c.out, nil
}

// checking is a Check under way.
type checking struct {
	s    *Store
	ctx  context.Context
	tell func(done, all int64)
	out  Checked
	sums map[job.JID]*jobSums

	done, all int64
}

// jobSums is what the records of a job add up to.
type jobSums struct {
	records int64 // of whole processes
	cpu     int64 // ns
}

func (c *checking) problem(format string, args ...any) {
	if len(c.out.Problems) >= problemsMost {
		c.out.More++
		return
	}
	c.out.Problems = append(c.out.Problems, fmt.Sprintf(format, args...))
}

// pages goes through the tree without bbolt.
func (c *checking) pages() error {
	st, err := c.s.file.Stat()
	if err != nil {
		return err
	}
	f := newPageFile(c.s.file, st.Size())
	w := f.walker(func([]string, []byte, []byte) {}, func(err error) { c.problem("%s", err) })
	w.tick = func(n int) {
		c.out.Pages += int64(n)
		c.tell(c.out.Pages, int64(f.meta.high))
	}
	w.tree()
	if _, err := f.free(); err != nil && f.good {
		c.problem("the freelist: %s", err)
	}
	return c.ctx.Err()
}

func (c *checking) contents() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return c.s.view(func(tx *bolt.Tx) error {
		c.structure(tx)
		c.all = 0
		if err := eachBlock(tx, func(string, []byte, []byte) error { c.all++; return nil }); err != nil {
			return err
		}
		c.days(tx)
		if err := c.blocks(tx); err != nil {
			return err
		}
		c.jobs(tx)
		c.open(tx)
		c.moments(tx)
		return c.ctx.Err()
	})
}

// structure is bbolt's own check.
func (c *checking) structure(tx *bolt.Tx) {
	for err := range tx.Check() {
		c.problem("%s", err)
	}
}

// checkStructure looks at the pages alone.
func (s *Store) checkStructure() ([]string, error) {
	c := checking{s: s, ctx: context.Background(), tell: func(int64, int64) {}}
	if err := c.pages(); err != nil || len(c.out.Problems) > 0 {
		return c.out.Problems, err
	}
	err := s.view(func(tx *bolt.Tx) error { c.structure(tx); return nil })
	return c.out.Problems, err
}

func (c *checking) blocks(tx *bolt.Tx) error {
	var dec decoder
	return eachBlock(tx, func(day string, key, v []byte) error {
		c.done++
		c.tell(c.done, c.all)
		recs, err := dec.decode(v)
		if err != nil {
			c.problem("block %x of %s: %s", key, day, err)
			return c.ctx.Err()
		}
		c.header(&dec.header, recs, day, key)
		c.sumsOf(&dec, recs, day, key)
		c.out.Blocks++
		c.out.Records += int64(len(recs))
		for i := range recs {
			r := &recs[i]
			if got := dayOf(r.End); got != day {
				c.problem("block %x of %s has a record of %s", key, day, got)
			}
			c.add(r)
		}
		return c.ctx.Err()
	})
}

// header compares what a block says of itself, by which a reader passes over it, with its records.
func (c *checking) header(h *header, recs []job.Record, day string, key []byte) {
	low, high, first, last := recs[0].JID, recs[0].JID, recs[0].End, recs[0].End
	for i := range recs {
		low, high = min(low, recs[i].JID), max(high, recs[i].JID)
		first, last = min(first, recs[i].End), max(last, recs[i].End)
	}
	if h.low != low || h.high != high {
		c.problem("block %x of %s is said to have jobs from %v to %v, and has them from %v to %v", key, day, h.low, h.high, low, high)
	}
	if h.first != first || h.last != last {
		c.problem("block %x of %s is said to have ends from %d to %d, and has them from %d to %d", key, day, h.first, h.last, first, last)
	}
}

// sumsOf compares the sums of a block with its records.
func (c *checking) sumsOf(dec *decoder, recs []job.Record, day string, key []byte) {
	got, err := dec.summed()
	if err == nil {
		err = checkSums(got, recs, isOpenKey(key))
	}
	if err != nil {
		c.problem("block %x of %s: %s", key, day, err)
	}
}

func has(b *bolt.Bucket, key []byte) bool {
	k, _ := b.Cursor().Seek(key)
	return bytes.Equal(k, key)
}

// add takes a record of a whole process into its job's sums.
func (c *checking) add(r *job.Record) {
	if r.Partial {
		return
	}
	sum := c.sums[r.JID]
	if sum == nil {
		sum = new(jobSums)
		c.sums[r.JID] = sum
	}
	sum.records++
	if r.Used && r.Usage.Groups.Has(watch.GroupCPU) {
		sum.cpu += r.Usage.CPU
	}
}

// days looks whether each day has what makes it one.
func (c *checking) days(tx *bolt.Tx) {
	_ = tx.Bucket([]byte("proc")).ForEachBucket(func(day []byte) error {
		if _, ok := readDay(tx, string(day)); !ok {
			c.problem("day %s has no bucket of blocks", day)
		}
		return nil
	})
}

func (c *checking) jobs(tx *bolt.Tx) {
	jobs, ended := tx.Bucket([]byte("jobs")), tx.Bucket([]byte("ended"))
	from := keptFrom(tx, "records_from")
	_ = jobs.ForEach(func(k, v []byte) error {
		c.out.Jobs++
		value := endedValue(tx, k, v)
		if value == nil {
			c.problem("job %x has ended, and what ended has of it is missing", k)
			return nil
		}
		j, err := decodeJob(k, value)
		switch {
		case err != nil:
			c.problem("%s", err)
		case !bytes.Equal(k, be64(uint64(j.JID))):
			c.problem("job %x is kept as job %v", k, j.JID)
		case !has(ended, append(be64(endOf(j)), k...)):
			c.problem("job %v is not among the ended by its end", j.JID)
		default:
			c.sum(j, from)
		}
		return nil
	})
	_ = ended.ForEach(func(k, v []byte) error {
		if len(k) != 16 {
			c.problem("a key of ended has %d bytes", len(k))
		} else if at := jobs.Get(k[8:]); at == nil || len(v) > 0 && !bytes.Equal(at, k[:8]) {
			c.problem("ended has job %x, and jobs does not say so", k[8:])
		}
		return nil
	})
}

// sum compares a job's figures with its records. The records may be fewer: some can have been lost, or have left without.
func (c *checking) sum(j *job.Saved, from uint64) {
	s := c.sums[j.JID]
	if s == nil || j.Estimated || unixKey(j.Started) < from {
		return
	}
	if s.records > int64(j.TotalProcesses) {
		c.problem("job %v had %d processes, and there are records of %d", j.JID, j.TotalProcesses, s.records)
	}
	if j.CPU != nil && s.cpu > *j.CPU {
		c.problem("job %v used %d ns of CPU, and its records have %d", j.JID, *j.CPU, s.cpu)
	}
}

func (c *checking) open(tx *bolt.Tx) {
	jobs := tx.Bucket([]byte("jobs"))
	_ = tx.Bucket([]byte("open")).ForEach(func(k, v []byte) error {
		c.out.Open++
		j, err := decodeJob(k, v)
		switch {
		case err != nil:
			c.problem("%s", err)
		case !bytes.Equal(k, be64(uint64(j.JID))):
			c.problem("open job %x is kept as job %v", k, j.JID)
		case has(jobs, k):
			c.problem("job %v is open and has ended", j.JID)
		}
		return nil
	})
}

func (c *checking) moments(tx *bolt.Tx) {
	each := func(bucket string, n *int64, read func(k, v []byte) error) {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return
		}
		_ = b.ForEach(func(k, v []byte) error {
			*n++
			if err := read(k, v); err != nil {
				c.problem("%s", err)
			}
			return nil
		})
	}
	each("moments", &c.out.Moments, func(k, v []byte) error { _, err := decodeMoment(k, v); return err })
	each("parts", &c.out.Parts, func(k, v []byte) error { _, err := decodePart(k, v); return err })
	var totals int64
	each(bucketTotals, &totals, func(k, v []byte) error { _, err := decodeTotal(k, v); return err })
}
