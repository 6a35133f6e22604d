package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// A block is settled, or open. A settled one is never written to again, save that records are taken out of the books.
// What is too little for one stands in the day's open blocks, which have the keys 0, 1, 2 …: what is new goes into the
// first with what is in it; when that gets too large all but the newest goes into the next, and so on. So a record is
// written a few times until it is settled, not each time that another one comes.
const (
	blockSize  = 4096          // records in a settled block, up to half more or less
	blockTexts = 4 << 20       // bytes of arguments and the like in a block, about
	openLevels = 5             // open blocks of a day; see begin
	settleFrom = blockSize / 2 // a commit with as many settles them at once
)

// openSizes is how many records an open block has at most.
func openSizes() [openLevels]int { return [...]int{8, 32, 128, 1024, blockSize} }

func openKey(level int) []byte { return []byte{byte(level)} }

func isOpenKey(key []byte) bool { return len(key) == 1 }

// blockRef is where a block is.
type blockRef struct {
	day string
	key []byte
}

func dayOf(ns int64) string { return time.Unix(0, ns).UTC().Format(time.DateOnly) }

// putRecords writes records into the days on which their processes ended.
func (s *Store) putRecords(tx *bolt.Tx, recs []*job.Record) error {
	inOrder(recs)
	for len(recs) > 0 {
		day := dayOf(recs[0].End)
		next := time.Unix(0, recs[0].End).UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		n := 1
		for n < len(recs) && recs[n].End < next.UnixNano() {
			n++
		}
		d, err := openDay(tx, day)
		if err != nil {
			return err
		}
		if err := d.add(&s.enc, recs[:n]); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// inOrder sorts records that are in order more often than not.
func inOrder(recs []*job.Record) {
	if !slices.IsSortedFunc(recs, byEnd) {
		slices.SortStableFunc(recs, byEnd)
	}
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

// add puts records of the day, by end, into its blocks.
func (d dayBuckets) add(enc *encoder, recs []*job.Record) error {
	if len(recs) >= settleFrom {
		return d.settle(enc, recs)
	}
	recs, err := d.begin(enc, recs)
	for level, most := range openSizes() {
		if err != nil || len(recs) == 0 {
			return err
		}
		old, jids, err := d.opened(level)
		if err != nil {
			return err
		}
		recs = joined(old, recs)
		if len(recs) <= most && light(recs) == len(recs) {
			return d.reopen(enc, level, nil, recs)
		}
		last := len(recs) - 1
		if err := d.reopen(enc, level, jids, recs[last:]); err != nil {
			return err
		}
		recs = recs[:last]
	}
	return d.settle(enc, recs)
}

// begin has a record in every open block. They are never empty from then on: bbolt keeps small values beside each other
// and away from the large ones, which it would otherwise write again with every commit, as long as no key is deleted and
// there are five.
func (d dayBuckets) begin(enc *encoder, recs []*job.Record) ([]*job.Record, error) {
	for level := openLevels - 1; level >= 0 && len(recs) > 0; level-- {
		if d.blocks.Get(openKey(level)) != nil {
			continue
		}
		if err := d.reopen(enc, level, nil, recs[:1]); err != nil {
			return nil, err
		}
		recs = recs[1:]
	}
	return recs, nil
}

// reopen writes an open block anew. gone are the jobs of what was in it, where that has left.
func (d dayBuckets) reopen(enc *encoder, level int, gone []job.JID, recs []*job.Record) error {
	if err := d.unindex(level, gone); err != nil {
		return err
	}
	value, jids := enc.encodeOpen(recs)
	return d.put(openKey(level), value, jids)
}

// opened gives the records of an open block, and whose they are. One that cannot be read is put aside, among the settled.
func (d dayBuckets) opened(level int) (recs []job.Record, jids []job.JID, err error) {
	v := d.blocks.Get(openKey(level))
	if v == nil {
		return nil, nil, nil
	}
	var dec decoder
	if recs, err = dec.decode(v); err == nil {
		return recs, dec.jids, nil
	}
	v = bytes.Clone(v)
	key, err := d.newKey(0)
	if err == nil {
		err = d.blocks.Put(key, v)
	}
	if err == nil {
		err = d.blocks.Delete(openKey(level))
	}
	return nil, nil, err
}

// joined puts the records of an open block in front of new ones.
func joined(old []job.Record, recs []*job.Record) []*job.Record {
	if len(old) == 0 {
		return recs
	}
	all := make([]*job.Record, 0, len(old)+len(recs))
	for i := range old {
		all = append(all, &old[i])
	}
	all = append(all, recs...)
	inOrder(all)
	return all
}

// unindex takes jobs of an open block out of the index.
func (d dayBuckets) unindex(level int, jids []job.JID) error {
	for _, j := range jids {
		if err := d.jobs.Delete(append(be64(uint64(j)), openKey(level)...)); err != nil {
			return err
		}
	}
	return nil
}

// settle makes settled blocks, of equal size.
func (d dayBuckets) settle(enc *encoder, recs []*job.Record) error {
	size := len(recs)
	if n := (len(recs) + blockSize/2) / blockSize; n > 1 {
		size = (len(recs) + n - 1) / n
	}
	for len(recs) > 0 {
		n := light(recs[:min(size, len(recs))])
		key, err := d.newKey(recs[0].End)
		if err != nil {
			return err
		}
		value, jids := enc.encode(recs[:n])
		if err := d.put(key, value, jids); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// light is how many of the records have few enough texts for one block; at least one.
func light(recs []*job.Record) int {
	size := 0
	for i, r := range recs {
		size += len(r.Exe)
		for k := range r.Execs {
			size += len(r.Execs[k].Exe) + len(r.Execs[k].Args)
		}
		if size > blockTexts && i > 0 {
			return i
		}
	}
	return len(recs)
}

func (d dayBuckets) newKey(end int64) ([]byte, error) {
	seq, err := d.blocks.NextSequence()
	return append(be64(uint64(max(end, 0))), be64(seq)...), err
}

func (d dayBuckets) put(key, value []byte, jids []job.JID) error {
	if err := d.blocks.Put(key, value); err != nil {
		return err
	}
	for _, j := range jids {
		k := append(be64(uint64(j)), key...)
		if isOpenKey(key) && d.jobs.Get(k) != nil {
			continue // a page less to write
		}
		if err := d.jobs.Put(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// settleAll settles what is in open blocks, of all days: no record that is in the books now will move to another block.
func settleAll(tx *bolt.Tx) error {
	var days []string
	err := tx.Bucket([]byte("proc")).ForEachBucket(func(k []byte) error {
		days = append(days, string(k))
		return nil
	})
	var enc encoder
	for _, day := range days {
		if d, ok := readDay(tx, day); ok && err == nil {
			err = d.settleOpen(&enc)
		}
	}
	return err
}

func (d dayBuckets) settleOpen(enc *encoder) error {
	var recs []*job.Record
	for level := range openLevels {
		old, jids, err := d.opened(level)
		if err == nil {
			err = errors.Join(d.unindex(level, jids), d.blocks.Delete(openKey(level)))
		}
		if err != nil {
			return err
		}
		recs = joined(old, recs)
	}
	return d.settle(enc, recs)
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

// block reads all of one; nil where it is gone.
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
			return unreadable(ref, err)
		}
		return nil
	})
	return recs, err
}

func unreadable(ref blockRef, err error) error {
	return fmt.Errorf("cannot read block %x of %s: %w: %w", ref.key, ref.day, err, ErrCorrupt)
}
