// Bare is init, and all that there is beside jobd, on the machine that power.sh boots: a kernel, a disk, no C library, no
// PAM, nobody logged in. It looks whether the books that it finds hold what the boots before saw on disk, and then has
// jobd write, until the power is cut. The last boot tries what may not be done to a host that is in use: a small pid_max and
// a clock that jumps.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		b := newBare()
		b.run(os.Getenv("bare"))
		return
	}
	if err := initialize(); err != nil {
		fmt.Println("not ok - the machine comes up: got", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// initialize is what init does: the file systems, a child that does the work, and waiting for whoever has no parent.
func initialize() error {
	if err := mounts(); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("cannot wait: %w", err)
		}
		if pid == cmd.Process.Pid {
			return nil
		}
	}
}

func mounts() error {
	for _, m := range []struct{ what, where, data string }{
		{"devtmpfs", "/dev", ""}, {"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"tmpfs", "/run", "mode=755"},
		{"cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := os.MkdirAll(m.where, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.what, m.where, m.what, 0, m.data); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m.where, err)
		}
	}
	if err := modules(); err != nil {
		return err
	}
	if err := os.MkdirAll("/disk", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", "/disk", "ext4", 0, ""); err != nil {
		return fmt.Errorf("cannot mount the disk: %w", err)
	}
	return nil
}

// modules loads what the disk needs, in the order of the files' names.
func modules() error {
	list, err := filepath.Glob("/modules/*.ko")
	slices.Sort(list)
	for _, path := range list {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("cannot load %s: %w", path, err)
		}
	}
	return err
}
