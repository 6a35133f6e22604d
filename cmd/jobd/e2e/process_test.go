package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Processes as /proc shows them, read without any help of jobd's: what the tests hold against it.

func allPIDs() []int32 {
	entries, _ := os.ReadDir("/proc")
	var out []int32
	for _, e := range entries {
		if pid, err := strconv.ParseInt(e.Name(), 10, 32); err == nil {
			out = append(out, int32(pid))
		}
	}
	return out
}

func procFile(pid int32, name string) string {
	return filepath.Join("/proc", strconv.Itoa(int(pid)), name)
}

// environ reads a process's environment, by any of its threads: that of a first thread that has exited is empty.
func environ(pid int32) []byte {
	tasks, _ := filepath.Glob(procFile(pid, "task/*/environ"))
	for _, path := range tasks {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			return b
		}
	}
	return nil
}

// withToken finds the living processes that carry a setting in their environment.
func withToken(setting string) []int32 {
	var out []int32
	for _, pid := range allPIDs() {
		if bytes.Contains(environ(pid), []byte(setting)) && alive(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// inNamespace finds the living processes of a mount namespace, given as readlink has it.
func inNamespace(ns string) []int32 {
	var out []int32
	for _, pid := range allPIDs() {
		if got, err := os.Readlink(procFile(pid, "ns/mnt")); err == nil && got == ns && alive(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// stat gives the fields of /proc/PID/stat from the state on (field 3), nil when it has gone.
func stat(pid int32) []string {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(b, ')')
	return strings.Fields(string(b[i+1:]))
}

// alive reports whether a process is there and not a zombie; with its first thread gone and others left it is there.
func alive(pid int32) bool {
	f := stat(pid)
	if len(f) < 18 {
		return false
	}
	return f[0] != "X" && (f[0] != "Z" || f[17] != "1")
}

func parentOf(pid int32) int32 {
	f := stat(pid)
	if len(f) < 2 {
		return 0
	}
	v, _ := strconv.ParseInt(f[1], 10, 32)
	return int32(v)
}

func command(pid int32) string {
	b, _ := os.ReadFile(procFile(pid, "cmdline"))
	return strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
}

// cgroupOf gives a process's place in the v2 hierarchy.
func cgroupOf(pid int32) string {
	b, _ := os.ReadFile(procFile(pid, "cgroup"))
	for line := range strings.Lines(string(b)) {
		if place, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(place)
		}
	}
	return ""
}

// signal sends a signal by a pidfd. Whoever calls it has just seen that the pid is the process that is meant.
func signal(pid int32, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

func kill(t *testing.T, pid int32) {
	t.Helper()
	if err := signal(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatalf("cannot kill %d: %v", pid, err)
	}
	until(t, fmt.Sprintf("the end of %d", pid), func() bool { return !alive(pid) })
}

func sorted(pids []int32) []int32 {
	out := slices.Clone(pids)
	slices.Sort(out)
	return out
}

// describe shows processes in a failure.
func describe(pids []int32) string {
	var b strings.Builder
	for _, pid := range sorted(pids) {
		fmt.Fprintf(&b, "\n  %d (parent %d, cgroup %s) %s", pid, parentOf(pid), cgroupOf(pid), command(pid))
	}
	return b.String()
}

func itoa(n int) string { return strconv.Itoa(n) }

// procText reads a small file of a process's as text.
func procText(pid int32, name string) string {
	b, _ := os.ReadFile(procFile(pid, name))
	return strings.TrimSpace(string(b))
}
