package kernel

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// How long a child may take from the event of its fork to its cgroup, and how often it is looked at meanwhile. It takes a
// microsecond, unless its maker loses the CPU just then.
const (
	bornMost = 2 * time.Millisecond
	bornLook = 50 * time.Microsecond
)

// bornIn gives a process's cgroup, empty where there are none, also when its fork was heard of just now: that is told before the child
// is put where it will be born (kernel/fork.c: proc_fork_connector, then cgroup_post_fork), and until then it reads as one of the
// root's. Who has run is where it belongs, and so is who the root lists.
func bornIn(fs FS, cgroups *Cgroups, pid int32) (string, error) {
	if cgroups.Mount == "" {
		return "", nil
	}
	place, err := fs.Cgroup(pid)
	if err != nil || place != "/" {
		return place, err
	}
	for end := time.Now().Add(bornMost); ; {
		ran := fs.hasRun(pid) // and only then where it is
		if place, err = fs.Cgroup(pid); err != nil || place != "/" || ran {
			return place, err
		}
		list, err := cgroups.Members("/")
		if err != nil {
			return "", err
		}
		if slices.Contains(list, pid) {
			return place, nil
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("process %d is in no cgroup yet", pid)
		}
		nap(bornLook)
	}
}

// nap sleeps without a timer of Go's, which would be late. Cut short it is over sooner.
func nap(d time.Duration) { _ = unix.Nanosleep(&unix.Timespec{Nsec: d.Nanoseconds()}, nil) }

// hasRun reports whether a process has had a CPU, as far as the kernel says: the third field of its schedstat counts how often
// (Documentation/scheduler/sched-stats.rst).
func (fs FS) hasRun(pid int32) bool {
	b, err := fs.read(pid, "schedstat")
	f := bytes.Fields(b)
	return err == nil && len(f) == 3 && string(f[2]) != "0"
}
