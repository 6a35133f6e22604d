package store

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// A block is settled, or open. A settled one is never written to again, save that records are taken out of the books.
// What is too little for one stands in the day's open blocks, which have the keys 0, 1, 2 …: what is new goes into the
// first with what is in it; when that gets too large all of it goes into the next, and so on. So a record is
// written a few times until it is settled, not each time that another one comes.
const (
	blockSize  = 4096          // records in a settled block, up to half more or less
	blockTexts = 4 << 20       // bytes of arguments and the like in a block, about
	openLevels = 5             // open blocks of a day
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

// add puts records of the day, by end, into its blocks.
func (d dayBlocks) add(enc *encoder, recs []*job.Record) error {
	if len(recs) >= settleFrom {
		return d.settle(enc, recs)
	}
	for level, most := range openSizes() {
		old, err := d.opened(level)
		if err != nil {
			return err
		}
		recs = joined(old, recs)
		if len(recs) <= most && light(recs) == len(recs) {
			return d.reopen(enc, level, recs)
		}
		if err := d.delete(openKey(level)); err != nil {
			return err
		}
	}
	return d.settle(enc, recs)
}

// reopen writes an open block anew.
func (d dayBlocks) reopen(enc *encoder, level int, recs []*job.Record) error {
	return d.put(openKey(level), enc.encodeOpen(recs))
}

// opened gives the records of an open block. One that cannot be read is put aside, among the settled.
func (d dayBlocks) opened(level int) (recs []job.Record, err error) {
	v := d.get(openKey(level))
	if v == nil {
		return nil, nil
	}
	var dec decoder
	if recs, err = dec.decode(v); err == nil {
		return recs, nil
	}
	v = bytes.Clone(v)
	key, err := d.newKey(0)
	if err == nil {
		err = d.put(key, v)
	}
	if err == nil {
		err = d.delete(openKey(level))
	}
	return nil, err
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

// settle makes settled blocks, of equal size.
func (d dayBlocks) settle(enc *encoder, recs []*job.Record) error {
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
		if err := d.put(key, enc.encode(recs[:n])); err != nil {
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

func (d dayBlocks) settleOpen(enc *encoder) error {
	var recs []*job.Record
	for level := range openLevels {
		old, err := d.opened(level)
		if err == nil {
			err = d.delete(openKey(level))
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
		v := d.get(ref.key)
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
