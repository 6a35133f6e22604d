package store

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// isFresh reports whether a database has to be made: there is no file, or an empty one.
func isFresh(path string) (bool, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, access(err)
	case st.IsDir():
		return false, fmt.Errorf("it is a directory: %w", ErrUnreadable)
	case !st.Mode().IsRegular():
		return false, fmt.Errorf("it is no regular file: %w", ErrUnreadable)
	}
	return st.Size() == 0, nil
}

// create makes a fresh database beside path and renames it, so that a power cut leaves either none or a whole one. The
// directory is locked meanwhile: of two that start at once, the second finds the first one's.
func create(path string, o Options) error {
	dir, err := lockDir(filepath.Dir(path), o.Timeout)
	if err != nil {
		return err
	}
	defer dir.Close() // and with it the lock
	if fresh, err := isFresh(path); err != nil || !fresh {
		return err
	}
	tmp := path + ".new"
	if err := fill(tmp, o, salvaged{}); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("cannot make a fresh database: %w", access(err))
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("cannot make a fresh database: %w", err)
	}
	return dir.Sync()
}

func lockDir(path string, timeout time.Duration) (*os.File, error) {
	if err := os.Mkdir(path, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make its directory: %w", access(err))
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, access(err)
	}
	for end := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			dir.Close()
			return nil, fmt.Errorf("cannot lock its directory: %w: %w", err, ErrLocked)
		}
	}
}

// fill makes a database with what could be saved of another.
func fill(tmp string, o Options, from salvaged) error {
	if err := removeIfThere(tmp); err != nil { // left by a power cut
		return err
	}
	db, err := bolt.Open(tmp, 0o640, &bolt.Options{Timeout: o.Timeout, FreelistType: bolt.FreelistArrayType})
	if err != nil {
		return err
	}
	hid, err := pickHID(cmp.Or(o.HID, from.hid))
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error {
			m := meta{schema: schema, hid: hid, bootID: o.BootID, created: o.Now, next: max(firstSequence(o.Now), from.next)}
			if err := firstMeta(tx, m); err != nil {
				return err
			}
			return from.put(tx)
		})
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return os.Chmod(tmp, 0o640) // whatever the umask was
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sameOwner gives a file the owner and group of another.
func sameOwner(path string, as os.FileInfo) error {
	st, ok := as.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Getuid() && int(st.Gid) == os.Getgid() {
		return nil
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}

func pickHID(want uint32) (uint32, error) {
	for want == 0 {
		var b [4]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, err
		}
		want = binary.BigEndian.Uint32(b[:])
	}
	return want, nil
}

// firstSequence is where a fresh store starts: at the seconds since 2026-01-01T00:00:00Z, so that a store that was lost
// and made anew doesn't give its numbers again (unless it gave more than one a second, always). With a clock outside of
// 2026 to 2162 it starts at 1.
func firstSequence(now time.Time) uint32 {
	s := now.Unix() - time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	if s < 1 || s >= math.MaxUint32 {
		return 1
	}
	return uint32(s)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return access(err)
	}
	defer dir.Close()
	return dir.Sync()
}
