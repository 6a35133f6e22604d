package doctor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
)

// cgroupFacts are what there is of cgroup v2.
type cgroupFacts struct {
	mount       string // empty: none is mounted
	err         error  // it cannot be told
	writable    error  // nil: this process may make cgroups in it
	root        bool
	controllers []string // that there are in this hierarchy
	delegated   []string // that cgroups in its root have
	status      *control.StatusAnswer
}

func (x *examination) cgroups(context.Context) []Finding {
	c := cgroupFacts{root: x.root, status: x.status}
	found, err := kernel.FindCgroups(kernel.Proc, kernel.CgroupRead) // that mode makes nothing
	if c.err = err; err == nil {
		c.mount = found.Mount
	}
	if c.mount != "" {
		c.writable = unix.Access(c.mount, unix.W_OK)
		c.controllers, c.delegated = words(c.mount, "cgroup.controllers"), words(c.mount, "cgroup.subtree_control")
	}
	return judgeCgroups(c)
}

// words reads a file of words; one that cannot be read has none.
func words(dir, name string) []string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.Fields(string(b))
}

func judgeCgroups(c cgroupFacts) []Finding {
	switch {
	case c.err != nil:
		return []Finding{skip("cgroup", "%v", c.err)}
	case c.mount == "":
		return []Finding{warn("cgroup",
			"mount it: mount -t cgroup2 none /sys/fs/cgroup; without it audit sessions, or labels in the kernel, tell whose a process is",
			"no cgroup v2 is mounted")}
	}
	return []Finding{judgeOwn(c), judgeControllers(c)}
}

func judgeOwn(c cgroupFacts) Finding {
	where := "v2 on " + c.mount
	if c.mount != "/sys/fs/cgroup" {
		where += " (beside v1)"
	}
	switch {
	case c.status != nil && c.status.Cgroup == "own":
		return ok("cgroup", "%s, jobd makes its own", where)
	case c.status != nil && c.status.CgroupWhy != "":
		return warn("cgroup", "logins that nobody else has placed have none then; see --cgroup in jobd(8)", "%s, jobd: %s: %s", where,
			c.status.Cgroup,
			c.status.CgroupWhy)
	case c.status != nil:
		return ok("cgroup", "%s, jobd: %s", where, c.status.Cgroup)
	case !c.root:
		return ok("cgroup", "%s", where)
	case c.writable != nil:
		return warn("cgroup", "logins that nobody else has placed would have none: remount it rw", "%s: %v", where, c.writable)
	}
	return ok("cgroup", "%s, jobd can make its own", where)
}

// judgeControllers is about what jobs' own cgroups have. CPU is counted without.
func judgeControllers(c cgroupFacts) Finding {
	var missing []string
	for _, name := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(c.delegated, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return ok("cgroup.controllers", "cpu, memory and pids")
	}
	seen := "without " + strings.Join(missing, ", ")
	if !slices.Contains(missing, "memory") {
		return ok("cgroup.controllers", "%s: jobd does not need them", seen)
	}
	if !slices.Contains(c.controllers, "memory") {
		return warn("cgroup.controllers", "boot with systemd.unified_cgroup_hierarchy=1, or do without jobs' peak_memory_bytes",
			"%s: v1 has them", seen)
	}
	return warn("cgroup.controllers", "echo +memory > "+c.mount+"/cgroup.subtree_control, or do without jobs' peak_memory_bytes", "%s",
		seen)
}
