package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	schema = 3            // the version that this program writes; it reads those before too
	format = "jobd books" // tells our files from others that have a bucket meta
)

// meta is what the bucket of that name holds.
type meta struct {
	schema  uint32
	hid     uint32
	bootID  string
	created time.Time
	next    uint32 // the first sequence number that was never reserved
}

// buckets lists what has to be there beside meta, in a file of that schema.
func buckets(schema uint32) []string {
	if schema == 1 {
		return []string{"open", "jobs", "ended", "proc"}
	}
	return []string{"open", "jobs", "ended", "proc", "moments", "parts", "dropped"}
}

// firstMeta makes the buckets of an empty database.
func firstMeta(tx *bolt.Tx, m meta) error {
	for _, name := range buckets(schema) {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	b, err := tx.CreateBucket([]byte("meta"))
	if err != nil {
		return err
	}
	for _, kv := range []struct {
		key   string
		value []byte
	}{
		{"format", []byte(format)},
		{"schema", be32(m.schema)},
		{"hid", be32(m.hid)},
		{"boot_id", []byte(m.bootID)},
		{"created", be64(uint64(m.created.UnixNano()))},
		{"next_seq", be32(m.next)},
	} {
		if err := b.Put([]byte(kv.key), kv.value); err != nil {
			return err
		}
	}
	return nil
}

func readMeta(tx *bolt.Tx) (meta, error) {
	b := tx.Bucket([]byte("meta"))
	if b == nil || string(b.Get([]byte("format"))) != format {
		return meta{}, ErrForeign
	}
	var m meta
	for _, f := range []struct {
		key string
		to  *uint32
	}{{"schema", &m.schema}, {"hid", &m.hid}, {"next_seq", &m.next}} {
		v := b.Get([]byte(f.key))
		if len(v) != 4 {
			return meta{}, fmt.Errorf("meta/%s is not 4 bytes: %w", f.key, ErrCorrupt)
		}
		if *f.to = binary.BigEndian.Uint32(v); f.key == "schema" && m.schema > schema {
			return meta{}, fmt.Errorf("schema %d, this jobd knows up to %d: %w", m.schema, schema, ErrSchema)
		}
	}
	if m.schema == 0 || m.hid == 0 || m.next == 0 {
		return meta{}, fmt.Errorf("a number in meta is 0: %w", ErrCorrupt)
	}
	m.bootID = string(b.Get([]byte("boot_id")))
	if v := b.Get([]byte("created")); len(v) == 8 {
		m.created = time.Unix(0, int64(binary.BigEndian.Uint64(v))).UTC()
	}
	return m, nil
}

// verify looks at as much of a file as can be had cheaply: its length, meta, and a path down each bucket.
func (s *Store) verify(tx *bolt.Tx) error {
	st, err := os.Stat(s.path)
	if err != nil {
		return access(err)
	}
	if st.Size() < tx.Size() { // before any page is touched: reading one that is not there is a fault
		return fmt.Errorf("it is cut short, %d bytes of %d: %w", st.Size(), tx.Size(), ErrCorrupt)
	}
	m, err := readMeta(tx)
	if err != nil {
		return err
	}
	if s.opt.HID != 0 && s.opt.HID != m.hid {
		return fmt.Errorf("hid %#x, not %#x: %w", m.hid, s.opt.HID, ErrHID)
	}
	for _, name := range buckets(m.schema) {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return fmt.Errorf("bucket %s is missing: %w", name, ErrCorrupt)
		}
		c := b.Cursor()
		c.First()
		c.Last()
	}
	s.hid, s.lastBoot, s.schema = m.hid, m.bootID, m.schema
	return nil
}

// begin takes over a database: it is ours, whole, of the schema that is written here, and now this boot's.
func (s *Store) begin() error {
	if err := s.view(s.verify); err != nil {
		return err
	}
	newBoot := s.opt.BootID != s.lastBoot && s.opt.BootID != ""
	if !newBoot && s.schema == schema {
		return nil
	}
	return s.update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("meta"))
		if s.schema < schema {
			if err := upgrade(tx); err != nil {
				return err
			}
			if err := b.Put([]byte("schema"), be32(schema)); err != nil {
				return err
			}
		}
		if !newBoot {
			return nil
		}
		return b.Put([]byte("boot_id"), []byte(s.opt.BootID))
	})
}

// upgrade makes what a file of schema 1 does not have. Its jobs stay as they are, and so do the blocks of schema 2: they can
// be read.
func upgrade(tx *bolt.Tx) error {
	for _, name := range buckets(schema) {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// HID is the host id of the file.
func (s *Store) HID() uint32 { return s.hid }

// LastBoot is the boot id that the file was last opened under, before this time; empty in a fresh file without one.
func (s *Store) LastBoot() string { return s.lastBoot }

// Reserve uses up n sequence numbers, from first to limit-1. They are never given again, by any later Open either, used
// or not. It waits for the disk; on ErrSequence there are fewer than n left.
func (s *Store) Reserve(n uint32) (first, limit uint32, err error) {
	err = s.update(func(tx *bolt.Tx) error {
		m, err := readMeta(tx)
		if err != nil {
			return err
		}
		if n > math.MaxUint32-m.next {
			return fmt.Errorf("%d from %d on: %w", n, m.next, ErrSequence)
		}
		first, limit = m.next, m.next+n
		return tx.Bucket([]byte("meta")).Put([]byte("next_seq"), be32(limit))
	})
	if err != nil {
		return 0, 0, fmt.Errorf("cannot reserve sequence numbers: %w", err)
	}
	return first, limit, nil
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
