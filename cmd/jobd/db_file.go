package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/store"
)

// unnamed makes a file without a name in dir, for jobd alone.
func unnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil {
		return f, nil
	}
	f, err2 := os.CreateTemp(dir, "jobd.db.tmp-") // a file system that has no such files
	if err2 != nil {
		return nil, errors.Join(err, err2)
	}
	return f, os.Remove(f.Name())
}

// newFile writes a file that has its name only once it is whole and on disk. Without force it never takes the place of
// another.
func newFile(name string, force bool, write func(*os.File) error) (err error) {
	if _, err := os.Lstat(name); err == nil && !force {
		return fmt.Errorf("%s is there already; --force puts it in its place", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".part-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after the link it has two names, after the rename none
	err = write(f)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if force {
		err = os.Rename(f.Name(), name)
	} else if err = os.Link(f.Name(), name); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; --force puts it in its place", name)
	} else if err != nil { // a file system without links
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// roomFor looks whether a copy of the books has room in a directory: it would be a pity if looking at them halted them.
func roomFor(dir string, books control.DBStats) error {
	free, err := store.FreeBytes(dir)
	if err != nil {
		return fmt.Errorf("cannot look for room in %s for a copy of the books: %w", dir, err)
	}
	need := books.Bytes
	if books.Floor != nil {
		need += *books.Floor
	}
	if free < need {
		return fmt.Errorf("cannot make a copy of the books: %d MiB are free in %s and %d are needed; make room, or stop jobd, whose own file is read then",
			free>>20, dir, need>>20)
	}
	return nil
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// toOut writes to the file that is named, or to standard output.
func (c *dbCommand) toOut(name string, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		return write(c.out)
	}
	return newFile(name, c.force, func(f *os.File) error { return write(f) })
}

func uidFlag(to **uint32) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil || v == 1<<32-1 {
			return fmt.Errorf("%q is no uid", s)
		}
		uid := uint32(v)
		*to = &uid
		return nil
	}
}
