package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupMode says what jobd may do with cgroups.
type CgroupMode string

// Auto and Own put a login that nobody else has placed into a cgroup of its own; Auto does without where that cannot be,
// Own fails. Read only looks. Off does not even look.
const (
	CgroupAuto CgroupMode = "auto"
	CgroupOwn  CgroupMode = "own"
	CgroupRead CgroupMode = "read"
	CgroupOff  CgroupMode = "off"
)

// cgroupDir is the directory, in the root of the v2 hierarchy, that jobd's own cgroups are in.
const cgroupDir = "/jobd"

// Cgroups is the v2 hierarchy.
type Cgroups struct {
	Mount string // where it is mounted; empty: nowhere, or not to be used
	Mode  CgroupMode
	Why   string // why there is none, or why none can be made
	make  bool
}

// FindCgroups looks for the v2 hierarchy in /proc/self/mountinfo and tries whether cgroups can be made there.
func FindCgroups(fs FS, mode CgroupMode) (*Cgroups, error) {
	c := &Cgroups{Mode: mode}
	if mode == CgroupOff {
		c.Why = "switched off"
		return c, nil
	}
	b, err := os.ReadFile(string(fs) + "/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot find the cgroup v2 mount: %w", err)
	}
	c.Mount = findCgroup2(string(b))
	switch {
	case c.Mount == "":
		c.Why = "no cgroup v2 is mounted"
	case mode != CgroupRead:
		if err := os.Mkdir(c.Mount+cgroupDir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			c.Why = err.Error()
		} else {
			c.make = true
		}
	}
	if mode == CgroupOwn && !c.make {
		return nil, fmt.Errorf("cannot make cgroups, which --cgroup own needs: %s", c.Why)
	}
	return c, nil
}

// findCgroup2 reads mountinfo (proc(5)): the mount point is field 5, the type stands after " - ".
func findCgroup2(mountinfo string) string {
	sc := bufio.NewScanner(strings.NewReader(mountinfo))
	for sc.Scan() {
		before, after, ok := strings.Cut(sc.Text(), " - ")
		f := strings.Fields(before)
		if ok && len(f) > 4 && strings.HasPrefix(after, "cgroup2 ") && f[3] == "/" {
			return f[4]
		}
	}
	return ""
}

// Mine reports a place that jobd may take a process from: the root, where nobody has placed it, or a cgroup of jobd's.
func (c *Cgroups) Mine(place string) bool {
	return place == "/" || strings.HasPrefix(place, cgroupDir+"/")
}

// CanMake reports whether jobd makes cgroups of its own here.
func (c *Cgroups) CanMake() bool { return c.make }

// StepOut moves jobd itself out of a job's cgroup, where it may have been started.
func (c *Cgroups) StepOut(fs FS) error {
	self := int32(os.Getpid())
	place, err := fs.Cgroup(self)
	if err != nil || !c.make || place == "/" || !c.Mine(place) {
		return err
	}
	return c.Enter("/", self)
}

// Make makes the cgroup of a job, jobd/SEQ, and gives its path below the mount. A directory that is there already
// belongs to another jobd, or to a job that has ended: then the full JID names it.
func (c *Cgroups) Make(seq uint32, full string) (string, error) {
	for _, name := range []string{strconv.FormatUint(uint64(seq), 10), full} {
		place := path.Join(cgroupDir, name)
		err := os.Mkdir(c.Mount+place, 0o755)
		if err == nil {
			return place, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("cannot make the job's cgroup: %w", err)
		}
	}
	return "", fmt.Errorf("cannot make the job's cgroup: %s is taken", path.Join(cgroupDir, full))
}

// Enter moves a process with all its threads into a cgroup.
func (c *Cgroups) Enter(place string, pid int32) error {
	err := os.WriteFile(filepath.Join(c.Mount, place, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0)
	if err != nil {
		return fmt.Errorf("cannot move process %d into cgroup %s: %w", pid, place, err)
	}
	return nil
}

// Remove takes away a cgroup that jobd made, if it is empty.
func (c *Cgroups) Remove(place string) error {
	if !strings.HasPrefix(place, cgroupDir+"/") {
		return fmt.Errorf("cannot remove cgroup %s: it is not jobd's", place)
	}
	err := os.Remove(c.Mount + place)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Members lists the processes in a cgroup.
func (c *Cgroups) Members(place string) ([]int32, error) {
	b, err := os.ReadFile(filepath.Join(c.Mount, place, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var out []int32
	for f := range strings.FieldsSeq(string(b)) {
		if v, err := strconv.ParseInt(f, 10, 32); err == nil {
			out = append(out, int32(v))
		}
	}
	return out, nil
}

// Tree lists the processes in a cgroup and in those below it.
func (c *Cgroups) Tree(place string) (out []int32, err error) {
	root := filepath.Join(c.Mount, place)
	err = filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && dir == root:
			return err
		case err != nil || !entry.IsDir():
			return nil // one below that has gone meanwhile
		}
		pids, err := c.Members(strings.TrimPrefix(dir, c.Mount))
		out = append(out, pids...)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	return out, err
}

// Kill kills every process in a cgroup and in those below it at once (cgroup.kill, Linux 5.14).
func (c *Cgroups) Kill(place string) error {
	return os.WriteFile(filepath.Join(c.Mount, place, "cgroup.kill"), []byte("1"), 0)
}

// CPU is what the scheduler has charged to a cgroup, ns. It is kept in µs, needs no controller, and misses nothing.
type CPU struct{ Total, User, System int64 }

// CPU reads cpu.stat. The file is opened each time: held open it gives ENODEV once the cgroup is gone.
func (c *Cgroups) CPU(place string) (CPU, error) {
	fd, err := unix.Open(c.Mount+place+"/cpu.stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return CPU{}, err
	}
	defer unix.Close(fd)
	var buf [512]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return CPU{}, err
	}
	return parseCPUStat(string(buf[:n]))
}

func parseCPUStat(s string) (CPU, error) {
	var cpu CPU
	found := 0
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var to *int64
		switch name {
		case "usage_usec":
			to = &cpu.Total
		case "user_usec":
			to = &cpu.User
		case "system_usec":
			to = &cpu.System
		default:
			continue
		}
		v, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return CPU{}, fmt.Errorf("cannot read cpu.stat: %w", err)
		}
		*to = v * usec
		found++
	}
	if found != 3 {
		return CPU{}, errors.New("cannot read cpu.stat: usage is missing")
	}
	return cpu, nil
}
