package label

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What is kept under bpffs: the labels, how many were missed, and the program that copies them.
var pinned = []string{objectMapLabels, objectMapMissed}

const pinnedLink = "copy"

func pinPath(dir, name string) string { return filepath.Join(dir, name) }

// host is where bpffs belongs (systemd mounts it there).
const host = "/sys/fs/bpf"

// mount makes dir, which has to be under bpffs: that is mounted where the host has its own, or on dir itself elsewhere.
func mount(dir string) error {
	at := dir
	if filepath.Dir(dir) == host {
		at = host
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	is, err := isBPF(at)
	if err == nil && !is {
		err = os.NewSyscallError("mount", unix.Mount("bpf", at, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return os.MkdirAll(dir, 0o700)
}

func isBPF(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, err
	}
	return st.Type == unix.BPF_FS_MAGIC, nil
}

// pinLink has the kernel keep a program attached, in place of the one before: for a moment there are both, which do the same.
func pinLink(l link.Link, dir string) error {
	next := pinPath(dir, pinnedLink+"_next")
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.Pin(next); err != nil {
		return err
	}
	return os.Rename(next, pinPath(dir, pinnedLink))
}

// Kept reports whether labels are kept in dir, whether somebody has them open or not.
func Kept(dir string) bool {
	_, err := os.Stat(pinPath(dir, pinnedLink))
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

func removeAll(dir string) error {
	for _, name := range append([]string{pinnedLink + "_next", pinnedLink}, pinned...) {
		if err := os.Remove(pinPath(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if filepath.Dir(dir) == host {
		return os.Remove(dir)
	}
	return os.NewSyscallError("umount", unix.Unmount(dir, unix.MNT_DETACH))
}
