package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// Fields are the parts of a record that a Scan fills in.
type Fields uint16

// The parts. Always there are JID, PID, Start, End, the flags (Exited … Partial), and of Usage Groups and Elapsed.
const (
	FieldComm    Fields = 1 << iota // Usage.Comm
	FieldIDs                        // Usage: UID, GID, PPID
	FieldExe                        // Exe
	FieldExecs                      // Execs
	FieldStatus                     // Status
	FieldCPU                        // Usage: CPU, User, System
	FieldMemory                     // Usage: MaxRSS, MaxVM, CoreMem, VirtMem
	FieldIO                         // Usage: ReadChars … WriteBytes
	FieldEarlier                    // Earlier, all of it
	FieldRest                       // Usage: all else
	fieldLast    = FieldRest
)

// has reports whether any of want is wanted.
func (f Fields) has(want Fields) bool { return f == 0 || f&want != 0 }

// Query says which records a Scan gives, and what of them.
type Query struct {
	From, To time.Time // End at From or later, and before To; zero: no bound
	Jobs     []job.JID // nil: all
	Fields   Fields    // 0: all
	Oldest   bool      // oldest block first, else newest first

	// Sums is given, where it is not nil, what the records of a command add up to in place of the records, for as many of
	// them as the books have in sum: those of whole blocks, when all jobs are wanted. A command comes more than once; what
	// has no usage counts under the empty one. The sum is valid during the call only.
	Sums func(comm string, sum *job.Sum)
}

// Scan calls f with the process records that q asks for, until it returns false: by day, in a day by block, in a block by
// end. Two records can be out of order by the time that one of them waited to be handed over. A record is valid during
// the call only, all but its texts. Each record that was in the books when its day was begun is given once, or is in one sum.
//
// The error tells of blocks that could not be read, the first few of them; the others were. No transaction is held while
// f or q.Sums runs, so that what is dropped or forgotten meanwhile is not given.
func (s *Store) Scan(q Query, f func(*job.Record) bool) error {
	c := scan{s: s, q: q, f: f, first: math.MinInt64, last: math.MaxInt64}
	if !q.From.IsZero() {
		c.first = int64(unixKey(q.From))
	}
	if !q.To.IsZero() {
		c.last = int64(unixKey(q.To))
	}
	if q.Jobs != nil {
		c.jobs = append([]job.JID{}, q.Jobs...)
		slices.Sort(c.jobs)
	}
	days, err := s.days(dayOf(c.first), dayOf(c.last))
	if err != nil {
		return err
	}
	if !q.Oldest {
		slices.Reverse(days)
	}
	for _, day := range days {
		if !c.day(day) {
			break
		}
	}
	return c.trouble()
}

// OldestRecord gives the beginning of the earliest day of which there are process records; false: there are none.
func (s *Store) OldestRecord() (time.Time, bool, error) {
	days, err := s.days("", "9999-99-99")
	if err != nil || len(days) == 0 {
		return time.Time{}, false, err
	}
	t, err := time.Parse(time.DateOnly, days[0])
	if err != nil {
		return time.Time{}, false, fmt.Errorf("cannot read the day %q: %w: %w", days[0], err, ErrCorrupt)
	}
	return t, true, nil
}

// scan is a Scan under way.
type scan struct {
	s           *Store
	q           Query
	f           func(*job.Record) bool
	first, last int64     // ends; last is the first that is out
	jobs        []job.JID // ascending; nil: all

	dec    decoder
	wanted []bool // by the block's number of a job
	rec    job.Record
	sums   []named // of the block, where they are to be given
	errs   []error
	more   int // errors that are not told
}

// mostErrors is how many errors are told in full: one disk can damage a million blocks.
const mostErrors = 3

func (c *scan) fail(err error) {
	if len(c.errs) < mostErrors {
		c.errs = append(c.errs, err)
		return
	}
	c.more++
}

func (c *scan) trouble() error {
	if c.more > 0 {
		c.errs = append(c.errs, fmt.Errorf("and %d more such errors", c.more))
	}
	if len(c.errs) == 1 {
		return c.errs[0]
	}
	return errors.Join(c.errs...)
}

// found is a block that is to be read. An open one is kept as it was when the day was begun: what is in it may have gone
// to another block, read already or not listed, by the time that its turn comes.
type found struct {
	key, value []byte
}

// day reads the blocks of a day; false: no more.
func (c *scan) day(day string) bool {
	var blocks []found
	err := c.s.view(func(tx *bolt.Tx) error {
		if d, ok := readDay(tx, day); ok {
			blocks = c.list(d)
		}
		return nil
	})
	if err != nil {
		c.fail(err)
		return !errors.Is(err, ErrClosed)
	}
	if c.q.Oldest {
		slices.Reverse(blocks)
	}
	for _, b := range blocks {
		here, err := c.take(blockRef{day, b.key}, b.value)
		if err != nil {
			c.fail(err)
			if errors.Is(err, ErrClosed) {
				return false
			}
			continue
		}
		if here && !c.give() {
			return false
		}
	}
	return true
}

// list gives the blocks in which there may be records that are asked for, newest first: the open ones, then the settled.
func (c *scan) list(d dayBlocks) (out []found) {
	for level := range openLevels {
		if v := d.get(openKey(level)); v != nil && c.mayHold(v) {
			out = append(out, found{openKey(level), bytes.Clone(v)})
		}
	}
	open := len(out)
	_ = d.each(func(k, v []byte) error {
		if !isOpenKey(k) && c.mayHold(v) {
			out = append(out, found{key: bytes.Clone(k)})
		}
		return nil
	})
	slices.Reverse(out[open:])
	return out
}

// mayHold reports whether a block is from the time that is asked for and has one of the jobs. One that doesn't say so may
// as well: reading it gives the error. Of the many that are passed over no more is read than their beginning.
func (c *scan) mayHold(v []byte) bool {
	h, err := readHeader(v)
	if err != nil {
		return true
	}
	if h.last < c.first || h.first >= c.last {
		return false
	}
	if c.jobs == nil {
		return true
	}
	i, _ := slices.BinarySearch(c.jobs, h.low)
	if i == len(c.jobs) || c.jobs[i] > h.high {
		return false
	}
	return c.dec.list(v) != nil || slices.ContainsFunc(c.dec.jids, c.asked)
}

// asked reports whether a job is among those that are asked for.
func (c *scan) asked(j job.JID) bool {
	_, ok := slices.BinarySearch(c.jobs, j)
	return ok
}

// take unpacks a block; false: nothing in it is asked for, or it is gone.
func (c *scan) take(ref blockRef, v []byte) (here bool, err error) {
	if v != nil {
		here, err = c.unpack(ref, v)
		return here, err
	}
	err = c.s.view(func(tx *bolt.Tx) error {
		if d, ok := readDay(tx, ref.day); ok {
			if v := d.get(ref.key); v != nil {
				here, err = c.unpack(ref, v)
			}
		}
		return err
	})
	return here, err
}

func (c *scan) unpack(ref blockRef, v []byte) (bool, error) {
	if err := c.dec.open(v); err != nil {
		return false, unreadable(ref, err)
	}
	if c.jobs != nil && !c.want() {
		return false, nil
	}
	if c.sums = nil; c.q.Sums != nil && c.jobs == nil && c.whole() {
		if c.sums, c.dec.err = c.dec.summed(); c.dec.err != nil {
			return false, unreadable(ref, c.dec.err)
		}
	}
	if len(c.sums) > 0 {
		return true, nil
	}
	if c.dec.want(c.q.Fields); c.dec.err != nil {
		return false, unreadable(ref, c.dec.err)
	}
	return true, nil
}

// whole reports whether all records of the block are from the time that is asked for.
func (c *scan) whole() bool { return c.dec.first >= c.first && c.dec.last < c.last }

// want notes which of the block's jobs are asked for; false: none.
func (c *scan) want() (any bool) {
	c.wanted = c.wanted[:0]
	for _, j := range c.dec.jids {
		asked := c.asked(j)
		c.wanted = append(c.wanted, asked)
		any = any || asked
	}
	return any
}

// give calls f with the records of a block, or Sums with their sums; false: no more.
func (c *scan) give() bool {
	if len(c.sums) > 0 {
		for i := range c.sums {
			c.q.Sums(c.sums[i].comm, &c.sums[i].sum)
		}
		return true
	}
	d, r := &c.dec, &c.rec
	ends, jobs := d.column(colEnd), d.column(colJob)
	for k := range d.count {
		i := k
		if !c.q.Oldest {
			i = d.count - 1 - k
		}
		if end := int64(ends[i]); end < c.first || end >= c.last || c.jobs != nil && !c.wanted[jobs[i]] {
			continue
		}
		d.execs, d.earlier = d.execs[:0], d.earlier[:0]
		d.record(i, r, c.q.Fields)
		if !c.f(r) {
			return false
		}
	}
	return true
}

// Records gives the process records of a job, newest first as Scan does. An error tells of blocks that could not be read;
// it comes last.
func (s *Store) Records(jid job.JID) iter.Seq2[*job.Record, error] {
	return s.records(Query{Jobs: []job.JID{jid}})
}

// AllRecords gives the process records of all jobs whose process ended at from or later and before to, in the order of
// Records. A zero time is no bound.
func (s *Store) AllRecords(from, to time.Time) iter.Seq2[*job.Record, error] {
	return s.records(Query{From: from, To: to})
}

// records gives records that stay valid.
func (s *Store) records(q Query) iter.Seq2[*job.Record, error] {
	return func(yield func(*job.Record, error) bool) {
		more := true
		err := s.Scan(q, func(r *job.Record) bool {
			c := *r
			c.Execs = slices.Clone(r.Execs)
			if r.Earlier != nil {
				e := *r.Earlier
				c.Earlier = &e
			}
			more = yield(&c, nil)
			return more
		})
		if err != nil && more {
			yield(nil, err)
		}
	}
}
