package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// Total is a sum of what was used, by a user's jobs over the years: seconds of CPU, and bytes. As nanoseconds, the CPU of a large host
// would be more than 64 bits in a year.
type Total struct{ CPU, Read, Write float64 }

// Totals are the sums that counters of use go on from. Both only grow, but for a person who is forgotten.
type Totals struct {
	Used map[string]Total // by user, of jobs whose end is on disk: each job's use is in it exactly once
	Said map[string]Total // by what a counter is called: what was told of it, and must not be taken back
}

// The bucket has both, told apart by the first letter of the key. A file that no jobd has written to since there are totals has none.
const (
	bucketTotals = "totals"
	totalUsed    = 'u'
	totalSaid    = 's'

	totalName = 1024 // bytes of a name that count; bbolt has room for 32 KiB
)

func totalKey(kind byte, name string) []byte {
	return append([]byte{kind}, name[:min(len(name), totalName)]...)
}

// Totals reads them. An error tells of those that could not be read; the others are there all the same.
func (s *Store) Totals() (Totals, error) {
	t := Totals{Used: make(map[string]Total), Said: make(map[string]Total)}
	var bad []error
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketTotals))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			sum, err := decodeTotal(k, v)
			switch {
			case err != nil:
				bad = append(bad, err)
			case k[0] == totalUsed:
				t.Used[string(k[1:])] = sum.Total
			default:
				t.Said[string(k[1:])] = sum.Total
			}
			return nil
		})
	})
	return t, errors.Join(append(bad, err)...)
}

// PutSaid hands over what is about to be told of some counters. It is on disk when a Flush after it says so.
func (s *Store) PutSaid(said map[string]Total) { s.queue.putSaid(said) }

func (q *queue) putSaid(said map[string]Total) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	all := make(map[string]Total, len(q.said)+len(said)) // the one before may be being committed
	maps.Copy(all, q.said)
	maps.Copy(all, said)
	q.said, q.saidLast = all, q.saidLast+1
	q.woken()
}

func putSaid(tx *bolt.Tx, said map[string]Total) error {
	if len(said) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketTotals))
	if err != nil {
		return err
	}
	for name, t := range said {
		key := totalKey(totalSaid, name)
		if err := b.Put(key, encodeTotal(key, sum{Total: t})); err != nil {
			return err
		}
	}
	return nil
}

// addUsed adds what a job has used, in the transaction that writes down its end. bad hears of a sum that cannot be read: it begins anew, and
// what was said of it holds.
func addUsed(tx *bolt.Tx, user string, more sum, bad func(error)) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucketTotals))
	if err != nil {
		return err
	}
	key := totalKey(totalUsed, user)
	if v := b.Get(key); v != nil {
		old, err := decodeTotal(key, v)
		if err != nil {
			bad(err)
		}
		more.Total = old.Plus(more.Total)
	}
	return b.Put(key, encodeTotal(key, more))
}

// Plus is the sum of both.
func (t Total) Plus(o Total) Total { return Total{t.CPU + o.CPU, t.Read + o.Read, t.Write + o.Write} }

// UsedBy is what a job counts for its user when it has ended. What is not known counts nothing.
func UsedBy(in *job.Info) Total {
	get := func(p *int64) float64 {
		if p == nil {
			return 0
		}
		return float64(max(*p, 0))
	}
	return Total{get(in.CPU) / 1e9, get(in.ReadBytes), get(in.WriteBytes)}
}

// namesOf gives the names under which use of a uid was added up.
func namesOf(tx *bolt.Tx, uid uint32) (names []string) {
	b := tx.Bucket([]byte(bucketTotals))
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, v := c.Seek([]byte{totalUsed}); len(k) > 0 && k[0] == totalUsed; k, v = c.Next() {
		if sum, err := decodeTotal(k, v); err == nil && sum.uid != nil && *sum.uid == uid {
			names = append(names, string(k[1:]))
		}
	}
	return names
}

// forgetSums is the end of it.
func (f *forgetting) forgetSums(ctx context.Context) error {
	if f.who.UID != nil {
		err := f.s.view(func(tx *bolt.Tx) error {
			for _, name := range namesOf(tx, *f.who.UID) {
				f.names[name] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	delete(f.names, "")
	delete(f.names, Forgotten)
	names := slices.Sorted(maps.Keys(f.names))
	said := names
	if f.who.Sums != nil {
		var err error
		if said, err = f.who.Sums(names); err != nil {
			return err
		}
		if err = f.s.Flush(ctx); err != nil { // what was said before waits, perhaps
			return err
		}
	}
	return f.s.update(func(tx *bolt.Tx) error {
		if err := forgetTotals(tx, names, said, f.s.badSum); err != nil {
			return err
		}
		text := fmt.Sprintf("somebody was taken out of %d jobs and %d process records", f.jobs, f.records)
		return putMoment(tx, &job.Moment{
			Time: time.Now().UTC(), Kind: job.MomentForget, BootID: job.Text(f.s.opt.BootID), Text: job.Text(text),
		})
	})
}

// forgetTotals keeps the sums, and forgets whose they were; said is what counters of theirs are called.
func forgetTotals(tx *bolt.Tx, names, said []string, bad func(error)) error {
	b := tx.Bucket([]byte(bucketTotals))
	if b == nil {
		return nil
	}
	for _, label := range said {
		if err := b.Delete(totalKey(totalSaid, label)); err != nil {
			return err
		}
	}
	for _, name := range names {
		key := totalKey(totalUsed, name)
		v := b.Get(key)
		if v == nil {
			continue
		}
		old, err := decodeTotal(key, v)
		if err != nil {
			bad(err)
		}
		if err := b.Delete(key); err != nil {
			return err
		}
		if err := addUsed(tx, Forgotten, sum{Total: old.Total}, bad); err != nil {
			return err
		}
	}
	return nil
}

// badSum says that one is lost.
func (s *Store) badSum(err error) {
	s.opt.Log.Error("cannot read a sum of use: it begins anew", "path", s.path, "error", err)
}

// sum is what the bucket has under a key.
type sum struct {
	Total
	uid *uint32 // of the job that was added last; nil: unknown, or nobody's
}

// A sum is the frame, whose checksum is over the key too, its three numbers, big endian, and the uid, if there is one. Later versions may
// put more behind them.
const (
	totalSize = frameSize + 3*8
	uidSize   = 4
)

func encodeTotal(key []byte, t sum) []byte {
	v := make([]byte, frameSize, totalSize+uidSize+len(key))
	for _, n := range []float64{t.CPU, t.Read, t.Write} {
		v = binary.BigEndian.AppendUint64(v, math.Float64bits(n))
	}
	if t.uid != nil {
		v = binary.BigEndian.AppendUint32(v, *t.uid)
	}
	return frame(kindTotal, append(v, key...))[:len(v)]
}

func decodeTotal(key, v []byte) (t sum, err error) {
	body, err := unframe(kindTotal, append(v[:len(v):len(v)], key...))
	if err == nil && (len(v) < totalSize || len(key) == 0 || key[0] != totalUsed && key[0] != totalSaid) {
		err = errFrame
	}
	if err != nil {
		return sum{}, fmt.Errorf("cannot read total %q: %w: %w", key, err, ErrCorrupt)
	}
	for i, to := range []*float64{&t.CPU, &t.Read, &t.Write} {
		n := math.Float64frombits(binary.BigEndian.Uint64(body[8*i:]))
		if !(n >= 0) || math.IsInf(n, 0) {
			return sum{}, fmt.Errorf("total %q is no sum: %w", key, ErrCorrupt)
		}
		*to = n
	}
	if len(v) >= totalSize+uidSize {
		t.uid = new(binary.BigEndian.Uint32(v[totalSize:]))
	}
	return t, nil
}
