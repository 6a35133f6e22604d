package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// makeDir makes a directory of jobd's, and refuses one in which anybody but root could put something in the place of what
// jobd has there: because it is theirs, because they may write to it, or to one on the way to it.
func makeDir(dir string, mode os.FileMode) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot make the directory %s: %w", dir, err)
	}
	there := dir
	for _, err := os.Lstat(there); err != nil && there != "/"; _, err = os.Lstat(there) {
		there = filepath.Dir(there)
	}
	if err := rootsOwn(there, there == dir, linksMost); err != nil { // before anything is made below it
		return fmt.Errorf("cannot use the directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("cannot make the directory %s: %w", dir, err)
	}
	if err := rootsOwn(dir, true, linksMost); err != nil {
		return fmt.Errorf("cannot use the directory %s: %w", dir, err)
	}
	return nil
}

// linksMost is how many symbolic links may be on the way (path_resolution(7) says 40).
const linksMost = 40

// rootsOwn checks a path and everything above it. In a directory with the sticky bit others may write, but not touch what is
// root's; jobd's own may have none of them at all.
func rootsOwn(path string, own bool, links int) error {
	if above := filepath.Dir(path); above != path {
		if err := rootsOwn(above, false, links); err != nil {
			return err
		}
	}
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid != 0 {
		return fmt.Errorf("%s is not root's: chown root", path)
	}
	if st.Mode().Type() == fs.ModeSymlink {
		return linksTo(path, own, links)
	}
	if st.Mode().Perm()&0o022 != 0 && (own || st.Mode()&fs.ModeSticky == 0) {
		return fmt.Errorf("others may write to it: %s has mode %o: chmod go-w", path, st.Mode().Perm())
	}
	return nil
}

// linksTo checks where a symbolic link leads.
func linksTo(path string, own bool, links int) error {
	if links == 0 {
		return fmt.Errorf("%s: too many symbolic links", path)
	}
	from, err := filepath.EvalSymlinks(filepath.Dir(path)) // so that ".." is the one above
	if err != nil {
		return err
	}
	to, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(from, to)
	}
	return rootsOwn(filepath.Clean(to), own, links-1)
}
