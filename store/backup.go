package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Backup writes the whole database as it is at this moment. It goes on beside the writer; pages that are freed meanwhile
// are not used again before it is over.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	err := s.view(func(tx *bolt.Tx) error {
		if _, err := tx.WriteTo(contextWriter{ctx, w}); ctx.Err() == nil {
			return err
		}
		return ctx.Err() // bbolt says it in its own words
	})
	if err != nil {
		return fmt.Errorf("cannot back up the store %s: %w", s.path, err)
	}
	return nil
}

// Size is how many bytes a backup has.
func (s *Store) Size() (n int64, err error) {
	err = s.view(func(tx *bolt.Tx) error { n = tx.Size(); return nil })
	return n, err
}

// contextWriter stops when nobody wants the rest.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// compactStep is how much one transaction of a compaction copies, bytes.
const compactStep = 16 << 20

// Compact writes a database anew without what is unused, and puts it in place of the old one; the old one stays until the
// new one is whole and on disk. No jobd may have it open. tell hears how many bytes of the old one are done; it may be nil.
// It gives the sizes before and after.
func Compact(ctx context.Context, path string, tell func(done, all int64)) (before, after int64, err error) {
	before, after, err = compact(ctx, path, Options{}.withDefaults(), tell)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot compact the store %s: %w", path, err)
	}
	return before, after, nil
}

func compact(ctx context.Context, path string, o Options, tell func(done, all int64)) (before, after int64, err error) {
	dir, err := lockDir(filepath.Dir(path), o.Timeout)
	if err != nil {
		return 0, 0, err
	}
	defer dir.Close()
	o.KeepRecords, o.KeepJobs, o.Floor = -1, -1, -1
	old, err := os.Stat(path) // before one of an older schema is written to
	if err != nil {
		return 0, 0, access(err)
	}
	s, err := openFile(path, o) // with its lock, so that no jobd starts on what is about to be replaced
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.closeFile()) }()
	tmp := path + ".compact"
	after, err = s.copyTo(ctx, tmp, old, tell)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return 0, 0, errors.Join(err, removeIfThere(tmp))
	}
	return old.Size(), after, dir.Sync()
}

// copyTo makes the new file, with owner and mode of the old one.
func (s *Store) copyTo(ctx context.Context, tmp string, old os.FileInfo, tell func(done, all int64)) (size int64, err error) {
	if err := removeIfThere(tmp); err != nil { // of one that was killed
		return 0, err
	}
	to, err := bolt.Open(tmp, 0o640, &bolt.Options{Timeout: s.opt.Timeout, FreelistType: bolt.FreelistMapType, NoSync: true})
	if err != nil {
		return 0, err
	}
	err = s.copyInto(ctx, to, old.Size(), tell)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return 0, err
	}
	if err := os.Chmod(tmp, old.Mode().Perm()); err != nil {
		return 0, err
	}
	if err := sameOwner(tmp, old); err != nil {
		return 0, err
	}
	if err := os.Chtimes(tmp, time.Time{}, old.ModTime()); err != nil { // since when jobd has not been running
		return 0, err
	}
	st, err := os.Stat(tmp)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// copyInto is bolt.Compact, and says how far it is. The database that is copied is open for nobody else.
func (s *Store) copyInto(ctx context.Context, to *bolt.DB, all int64, tell func(done, all int64)) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	c := copying{ctx: ctx, to: to, all: all, tell: tell}
	if c.tx, err = to.Begin(true); err != nil {
		return err
	}
	defer func() { _ = c.tx.Rollback() }()
	err = s.view(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return c.bucket([][]byte{name}, b) })
	})
	if err != nil {
		return err
	}
	return c.tx.Commit()
}

// copying copies buckets into another database, a bounded transaction at a time.
type copying struct {
	ctx             context.Context
	to              *bolt.DB
	tx              *bolt.Tx
	step, done, all int64
	tell            func(done, all int64)
}

// bucket copies one bucket, which path leads to.
func (c *copying) bucket(path [][]byte, from *bolt.Bucket) error {
	b, err := c.find(path)
	if err != nil {
		return err
	}
	if err := b.SetSequence(from.Sequence()); err != nil {
		return err
	}
	return from.ForEach(func(k, v []byte) error {
		if v == nil {
			if err := c.bucket(append(path[:len(path):len(path)], k), from.Bucket(k)); err != nil {
				return err
			}
			b, err = c.find(path) // the transaction may be another by now
			return err
		}
		if c.step += int64(len(k) + len(v)); c.step > compactStep {
			if err := c.next(); err != nil {
				return err
			}
			if b, err = c.find(path); err != nil {
				return err
			}
		}
		b.FillPercent = fillAppend
		return b.Put(k, v)
	})
}

// find gives a bucket of the new database, and makes it where it isn't there yet.
func (c *copying) find(path [][]byte) (b *bolt.Bucket, err error) {
	b, err = c.tx.CreateBucketIfNotExists(path[0])
	for _, name := range path[1:] {
		if err != nil {
			return nil, err
		}
		b, err = b.CreateBucketIfNotExists(name)
	}
	return b, err
}

func (c *copying) next() (err error) {
	if err := c.tx.Commit(); err != nil {
		return err
	}
	if c.done += c.step; c.tell != nil {
		c.tell(min(c.done, c.all), c.all)
	}
	c.step = 0
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.tx, err = c.to.Begin(true)
	return err
}
