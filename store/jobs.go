package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"strings"
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

	user string // whose use it adds to when it has ended …
	used *sum   // … nil: nobody's, and no sum is read
}

// fillAppend is for buckets whose keys grow: bbolt's half-full pages would never be filled up.
const fillAppend = 0.9

func (o *jobOp) put(tx *bolt.Tx, bad func(error)) error {
	open, jobs := tx.Bucket([]byte("open")), tx.Bucket([]byte("jobs"))
	key := be64(uint64(o.jid))
	if jobs.Get(key) != nil {
		return open.Delete(key) // it has ended before, and that stays so
	}
	if !o.ended {
		return open.Put(key, o.value)
	}
	if err := open.Delete(key); err != nil {
		return err
	}
	if o.used != nil {
		if err := addUsed(tx, o.user, *o.used, bad); err != nil {
			return err
		}
	}
	return putEnded(tx, append(be64(o.end), key...), o.value)
}

// putEnded writes an ended job under its key in ended, and where to find it by its JID.
func putEnded(tx *bolt.Tx, key, value []byte) error {
	jobs, ended := tx.Bucket([]byte("jobs")), tx.Bucket([]byte("ended"))
	jobs.FillPercent, ended.FillPercent = fillAppend, fillAppend
	if err := jobs.Put(key[8:], key[:8]); err != nil {
		return err
	}
	return ended.Put(key, value)
}

// endedValue gives the value of an ended job, from what jobs has under its JID. In files of schema 1 that was the job.
func endedValue(tx *bolt.Tx, key, v []byte) []byte {
	if len(v) != 8 {
		return v
	}
	return tx.Bucket([]byte("ended")).Get(append(bytes.Clone(v), key...))
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
			out = append(out, *j)
			return nil
		})
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// Job gives one job, open or ended, as the disk knows it. The error is job.ErrNoJob where there is none.
func (s *Store) Job(jid job.JID) (out job.Saved, err error) {
	err = s.jobValue(jid, func(key, v []byte) error {
		j, err := decodeJob(key, v)
		if err == nil {
			out = *j
		}
		return err
	})
	return out, err
}

// Head is Job with no more filled in than EndedJobs shows: it costs a fraction.
func (s *Store) Head(jid job.JID) (out job.Saved, err error) {
	err = s.jobValue(jid, func(key, v []byte) error {
		k := new(keptJob)
		if head, _, err := jobParts(v); err == nil && k.decodeHead(string(head)) == nil {
			k.Seq = k.JID.Seq()
			out = k.Saved
			return nil
		}
		j, err := decodeJob(key, v) // of schema 1, or damaged
		if err == nil {
			out = *j
		}
		return err
	})
	return out, err
}

// jobValue finds the value of a job, which is valid during the call of f only.
func (s *Store) jobValue(jid job.JID, f func(key, v []byte) error) error {
	return s.view(func(tx *bolt.Tx) error {
		key := be64(uint64(jid))
		v := endedValue(tx, key, tx.Bucket([]byte("jobs")).Get(key))
		if v == nil {
			v = tx.Bucket([]byte("open")).Get(key)
		}
		if v == nil {
			return fmt.Errorf("%d: %w", jid.Seq(), job.ErrNoJob)
		}
		return f(key, v)
	})
}

// Ended gives the ended jobs that were there at some time from from on and before to, the newest end first. A zero time
// is no bound. An error tells of a job that could not be read; those after it follow.
func (s *Store) Ended(from, to time.Time) iter.Seq2[job.Saved, error] {
	return func(yield func(job.Saved, error) bool) {
		for j, err := range s.EndedJobs(JobQuery{From: from, To: to}) {
			if err != nil {
				j = &job.Saved{}
			}
			if !yield(*j, err) {
				return
			}
		}
	}
}

// JobQuery says which ended jobs are asked for: those that were there at some time from From on and before To (a zero time
// is no bound), that are User's ("": anybody's), and that Want says yes to.
type JobQuery struct {
	From, To time.Time
	User     string

	// Want is asked about each; nil: all are wanted. It must not keep what it is given, of which only this much is filled in:
	// JID, Seq, User, UID, GID, Service, TTY, RHost, Started, Ended, Command, ExitStatus, CPU, MaxRSS, PeakMemory, ReadBytes,
	// WriteBytes, TotalProcesses, Tags, CPUUnattributed, Parted. Passing over a job costs a fraction of what giving it does.
	Want func(*job.Saved) bool
}

// EndedJobs gives the ended jobs that are asked for, the newest end first. Errors are as with Ended.
func (s *Store) EndedJobs(q JobQuery) iter.Seq2[*job.Saved, error] {
	return func(yield func(*job.Saved, error) bool) {
		w := window{JobQuery: q, started: math.MaxUint64, next: be64(math.MaxUint64)}
		if !q.From.IsZero() {
			w.lowest = unixKey(q.From)
		}
		if !q.To.IsZero() {
			w.started = unixKey(q.To)
		}
		for !w.done {
			if err := s.endedPage(&w); err != nil {
				yield(nil, err)
				return
			}
			if !w.give(yield) {
				return
			}
		}
	}
}

// give yields what is wanted of a page.
func (w *window) give(yield func(*job.Saved, error) bool) (more bool) {
	heads := w.heads()
	for i := range w.ends {
		v := w.value(i)
		if len(heads) > 0 && heads[i] != "" && !w.wants(heads[i]) {
			continue
		}
		j, err := decodeJob(w.jids[i][:], v)
		if err == nil && v[0] == '{' && !w.wantOld(j) {
			continue
		}
		if !yield(j, err) {
			return false
		}
	}
	return true
}

// wants is about a job with a head. One that cannot be read is wanted: the error is given instead of it.
func (w *window) wants(head string) bool {
	if !strings.Contains(head, w.User) { // most of those that are others'
		return false
	}
	if w.look.decodeHead(head) != nil {
		return true
	}
	w.look.Seq = w.look.JID.Seq()
	return w.wantsJob(&w.look.Saved)
}

func (w *window) wantsJob(j *job.Saved) bool {
	return (w.User == "" || j.User == w.User) && (w.Want == nil || w.Want(j))
}

// wantOld is about a job of schema 1, which has no head.
func (w *window) wantOld(j *job.Saved) bool { return unixKey(j.Started) < w.started && w.wantsJob(j) }

// heads gives the heads of a page's jobs, parts of one text; where there is none, nothing.
func (w *window) heads() []string {
	if w.Want == nil && w.User == "" {
		return nil
	}
	w.text, w.headEnds = w.text[:0], w.headEnds[:0]
	for i := range w.ends {
		head, _, _ := jobParts(w.value(i)) // the error comes again when it is given
		w.text = append(w.text, head...)
		w.headEnds = append(w.headEnds, len(w.text))
	}
	text, from := string(w.text), 0
	out := w.headsOf[:0]
	for _, end := range w.headEnds {
		out, from = append(out, text[from:end]), end
	}
	w.headsOf = out
	return out
}

// window goes through the ended jobs, some at a time.
type window struct {
	JobQuery
	lowest  uint64 // the lowest end
	started uint64 // the first start that is out
	next    []byte // every key below it is still to come
	done    bool
	look    keptJob

	jids   [][8]byte
	values []byte // one after the other …
	ends   []int  // … up to here each

	text     []byte // the same of heads
	headEnds []int
	headsOf  []string
}

func (w *window) value(i int) []byte {
	from := 0
	if i > 0 {
		from = w.ends[i-1]
	}
	return w.values[from:w.ends[i]]
}

// How much of ended is gone through in one transaction: jobs that are taken, and jobs that are passed over.
const (
	windowJobs = 256
	windowPast = 8192
)

// endedPage copies some jobs out, so that no transaction is open while the caller looks at them.
func (s *Store) endedPage(w *window) error {
	w.jids, w.values, w.ends = w.jids[:0], w.values[:0], w.ends[:0]
	return s.view(func(tx *bolt.Tx) error {
		lowest := be64(max(w.lowest, keptFrom(tx, "jobs_from")))
		c := tx.Bucket([]byte("ended")).Cursor()
		n := 0
		k, v := before(c, w.next)
		for ; k != nil && bytes.Compare(k, lowest) >= 0; k, v = c.Prev() {
			if len(w.ends) == windowJobs || n == windowPast {
				return nil
			}
			if len(k) != 16 {
				return fmt.Errorf("a key of ended has %d bytes: %w", len(k), ErrCorrupt)
			}
			w.next = append(w.next[:0], k...)
			n++
			if start, ok := startOf(v); ok && start >= w.started {
				continue
			}
			if len(v) == 0 {
				v = tx.Bucket([]byte("jobs")).Get(k[8:])
			}
			w.jids = append(w.jids, [8]byte(k[8:]))
			w.values = append(w.values, v...)
			w.ends = append(w.ends, len(w.values))
		}
		w.done = true
		return nil
	})
}

// before sets the cursor on the last key below key.
func before(c *bolt.Cursor, key []byte) (k, v []byte) {
	if k, _ := c.Seek(key); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// keptFrom reads a date of meta, Unix ns: what was before has been dropped. 0: nothing has.
func keptFrom(tx *bolt.Tx, key string) uint64 {
	v := tx.Bucket([]byte("meta")).Get([]byte(key))
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}
