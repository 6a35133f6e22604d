package label

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What is kept under bpffs: the labels, how many were missed, and the program that copies them; where events are told, what was told and
// is not read yet, what jobs used and how many processes they may have, and the programs that tell and that refuse.
var (
	pinned     = []string{objectMapLabels, objectMapMissed}
	pinnedTold = []string{objectMapEvents, objectMapExecs, objectMapLost, objectMapTotals, objectMapLimits}
	told       = append([]string{linkExecutes, linkChanges, linkExits, linkFrees, linkRefuses}, pinnedTold...)
)

// The links, by their programs.
const (
	linkCopy     = "copy"
	linkExecutes = "executes"
	linkChanges  = "changes"
	linkExits    = "exits"
	linkFrees    = "frees"
	linkRefuses  = "refuses"
)

func pinPath(dir, name string) string { return filepath.Join(dir, name) }

// host is where bpffs belongs (systemd mounts it there).
const host = "/sys/fs/bpf"

// mount makes dir, which has to be under bpffs: that is mounted where the host has its own, or, elsewhere, on dir itself if nothing is in
// there.
func mount(dir string) error {
	at := dir
	switch {
	case dir == host:
		return fmt.Errorf("%s is for everybody: name a directory in it", host)
	case strings.HasPrefix(dir, host+"/"):
		at = host
	default:
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	is, err := isBPF(at)
	if err == nil && !is {
		err = mountAt(at)
	}
	if err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

func mountAt(dir string) error {
	list, err := os.ReadDir(dir)
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("cannot mount bpffs on %s: there is something in it", dir)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount("bpf", dir, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("cannot mount bpffs on %s: %w", dir, err)
	}
	return nil
}

func isBPF(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Type == unix.BPF_FS_MAGIC, nil
}

// pinLink has the kernel keep a program attached, in place of the one before: for a moment there are both, which do the same.
func pinLink(l link.Link, dir, name string) error {
	next := pinPath(dir, name+"_next")
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.Pin(next); err != nil {
		return err
	}
	return os.Rename(next, pinPath(dir, name))
}

func pinnedAt(dir, name string) bool {
	_, err := os.Stat(pinPath(dir, name))
	return err == nil
}

// Kept reports whether labels are kept in dir, whether somebody has them open or not.
func Kept(dir string) bool {
	_, err := os.Stat(pinPath(dir, linkCopy))
	return err == nil
}

// Unload ends the keeping of labels in dir: those that tasks have are forgotten as soon as nobody has them open. Where nothing is kept
// it does nothing.
func Unload(dir string) error {
	is, err := isBPF(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && !is {
		return nil
	}
	if err == nil {
		err = removeAll(dir)
	}
	if err != nil {
		return fmt.Errorf("cannot unload the labels in %s: %w", dir, err)
	}
	return nil
}

// removeAll takes away what jobd pinned, then the directory, or the mount on it, unless there is something else.
func removeAll(dir string) error {
	if err := unpin(dir, slices.Concat(told, []string{linkCopy}, pinned)...); err != nil {
		return err
	}
	if list, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(list, func(e os.DirEntry) bool { return !kernels(e.Name()) }) {
		return err
	}
	if is, err := isBPF(filepath.Dir(dir)); err != nil || is {
		return errors.Join(err, os.Remove(dir))
	}
	return os.NewSyscallError("umount", unix.Unmount(dir, 0))
}

// unpin has the kernel keep something no longer than somebody has it open.
func unpin(dir string, names ...string) error {
	for _, name := range names {
		for _, file := range []string{name + "_next", name} {
			if err := os.Remove(pinPath(dir, file)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// kernels reports whether a file is in each bpffs from the beginning (kernel/bpf/inode.c, populate_bpffs).
func kernels(name string) bool { return name == "maps.debug" || name == "progs.debug" }
