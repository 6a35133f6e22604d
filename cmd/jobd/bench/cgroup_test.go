package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroupMount finds where cgroup v2 is mounted (proc(5), mountinfo); empty: nowhere.
func cgroupMount() string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); len(f) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			return f[4]
		}
	}
	return ""
}

// cpu is what the scheduler charged to a cgroup, µs.
type cpu struct{ total, user, system float64 }

func (c cpu) less(o cpu) cpu { return cpu{c.total - o.total, c.user - o.user, c.system - o.system} }

// group is a directory of cgroup v2.
type group string

func (g group) cpu() (cpu, error) {
	b, err := os.ReadFile(filepath.Join(string(g), "cpu.stat"))
	if err != nil {
		return cpu{}, err
	}
	var c cpu
	fields := map[string]*float64{"usage_usec": &c.total, "user_usec": &c.user, "system_usec": &c.system}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if to := fields[name]; to != nil {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return cpu{}, fmt.Errorf("cannot read cpu.stat: %w", err)
			}
		}
	}
	return c, nil
}

// groupOf gives the cgroup that a process is in.
func groupOf(mount string, pid int) (group, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return group(filepath.Join(mount, path)), nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup v2", pid)
}

// remove takes a group away. The last process of one stays in it for a moment after it was waited for.
func (g group) remove() error {
	var err error
	for range 50 {
		if err = os.Remove(string(g)); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
