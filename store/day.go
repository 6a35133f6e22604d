package store

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// dayBlocks are the blocks of one day. Each stands, under its key, in a bucket of its own that has the same key. So it has
// pages of its own unless it is very small, and is left alone when its neighbours change: beside each other in one bucket, a new block would have
// up to three of them written again, and leave a hole of that size, which few others fit into. In files up to schema 2
// they do stand side by side; both are read.
type dayBlocks struct{ b *bolt.Bucket }

func openDay(tx *bolt.Tx, day string) (d dayBlocks, err error) {
	b, err := tx.Bucket([]byte("proc")).CreateBucketIfNotExists([]byte(day))
	if err != nil {
		return d, err
	}
	if d.b, err = b.CreateBucketIfNotExists([]byte("blocks")); err != nil {
		return d, err
	}
	d.b.FillPercent = fillAppend
	return d, nil
}

// readDay gives a day's blocks, false where there is none.
func readDay(tx *bolt.Tx, day string) (d dayBlocks, ok bool) {
	b := tx.Bucket([]byte("proc")).Bucket([]byte(day))
	if b == nil {
		return d, false
	}
	d.b = b.Bucket([]byte("blocks"))
	return d, d.b != nil
}

// get gives a block, nil where there is none. It is valid until the end of the transaction.
func (d dayBlocks) get(key []byte) []byte {
	b := d.b.Bucket(key)
	if b == nil {
		return d.b.Get(key)
	}
	if v := b.Get(key); v != nil {
		return v
	}
	return []byte{} // a bucket without a block is damage, and no block makes sense that is empty
}

// put writes a block, in place of the one that had its key.
func (d dayBlocks) put(key, v []byte) error {
	if d.b.Get(key) != nil { // of schema 2
		if err := d.b.Delete(key); err != nil {
			return err
		}
	}
	b, err := d.b.CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	return b.Put(key, v)
}

// delete takes a block out, if it is there.
func (d dayBlocks) delete(key []byte) error { return deleteEntry(d.b, key) }

// each goes through the blocks in the order of their keys, the open ones in between.
func (d dayBlocks) each(f func(key, v []byte) error) error {
	return d.b.ForEach(func(key, v []byte) error {
		if v == nil {
			v = d.get(key)
		}
		return f(key, v)
	})
}

// newKey makes the key of a settled block whose first record ends then.
func (d dayBlocks) newKey(end int64) ([]byte, error) {
	seq, err := d.b.NextSequence()
	return append(be64(uint64(max(end, 0))), be64(seq)...), err
}

// eachBlock goes through the blocks of all days.
func eachBlock(tx *bolt.Tx, each func(day string, key, v []byte) error) error {
	return tx.Bucket([]byte("proc")).ForEachBucket(func(k []byte) error {
		d, ok := readDay(tx, string(k))
		if !ok {
			return nil
		}
		return d.each(func(key, v []byte) error { return each(string(k), key, v) })
	})
}

// allBlocks lists the blocks of all days.
func (s *Store) allBlocks() (refs []blockRef, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		return eachBlock(tx, func(day string, key, _ []byte) error {
			refs = append(refs, blockRef{day, bytes.Clone(key)})
			return nil
		})
	})
	return refs, err
}
