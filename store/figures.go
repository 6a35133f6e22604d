package store

import (
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Figures is what a database holds and takes. Sizes are bytes.
type Figures struct {
	Path       string
	Bytes      int64 // of the file
	Free       int64 // of it, to be used again
	Schema     int
	Created    time.Time
	Jobs, Open int64            // ended; open as far as the file knows
	Records    int64            // of processes
	BlockBytes int64            // of the blocks that hold them
	Oldest     time.Time        // end of the oldest process record; zero: there is none
	Days       int              // with process records
	Buckets    map[string]int64 // in use in each
}

// Figures reads what the database holds and takes. It looks at the beginning of every block.
func (s *Store) Figures() (f Figures, err error) {
	f = Figures{Path: s.path, Buckets: make(map[string]int64)}
	err = s.view(func(tx *bolt.Tx) error {
		m, err := readMeta(tx)
		if err != nil {
			return err
		}
		f.Bytes, f.Free = tx.Size(), s.freePages()*int64(s.db.Info().PageSize)
		f.Schema, f.Created = int(m.schema), m.created
		f.Jobs, f.Open = countKeys(tx, "jobs"), countKeys(tx, "open")
		if err := f.days(tx); err != nil {
			return err
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			st := b.Stats()
			f.Buckets[string(name)] = int64(st.LeafInuse + st.BranchInuse + st.InlineBucketInuse)
			return nil
		})
	})
	if err != nil {
		return Figures{}, fmt.Errorf("cannot read what is in %s: %w", s.path, err)
	}
	return f, nil
}

func countKeys(tx *bolt.Tx, bucket string) int64 {
	return int64(tx.Bucket([]byte(bucket)).Stats().KeyN)
}

func (f *Figures) days(tx *bolt.Tx) error {
	oldest, last := int64(math.MaxInt64), ""
	err := eachBlock(tx, func(day string, k, v []byte) error {
		if day != last {
			f.Days, last = f.Days+1, day
		}
		h, err := readHeader(v)
		if err != nil {
			return fmt.Errorf("block %x of %s: %w: %w", k, day, err, ErrCorrupt)
		}
		f.Records += int64(h.count)
		f.BlockBytes += int64(len(v))
		oldest = min(oldest, h.first)
		return nil
	})
	if f.Records > 0 {
		f.Oldest = time.Unix(0, oldest).UTC()
	}
	return err
}

// freePages is how many pages are unused. bbolt does not look where it only reads.
func (s *Store) freePages() int64 {
	if !s.db.IsReadOnly() {
		st := s.db.Stats()
		return int64(st.FreePageN + st.PendingPageN)
	}
	st, err := s.file.Stat()
	if err != nil {
		return 0
	}
	free, err := newPageFile(s.file, st.Size()).free()
	if err != nil {
		return 0
	}
	return int64(len(free))
}
