package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A jobd whose subscription to the kernel's events is lost notices within seconds, though nobody logs in, and makes good what
// it missed.
func TestDeaf(t *testing.T) {
	h := newHost(t, ofConnector...)
	h.mayLose = true // jobd says that it was deaf
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	s.check(h)
	if n := deafen(t, h.cmd.Process.Pid); n != 3 {
		t.Fatalf("%d sockets listen to process events, not 3", n)
	}
	s.grow(t)
	until(t, "jobd says that it does not hear", func() bool {
		return strings.Contains(h.log.String(), "events are not heard")
	})
	until(t, "jobd hears again", func() bool {
		st, err := h.client.Status(h.soon())
		must(t, err)
		return st.DegradedSince == nil
	})
	s.check(h)
	s.grow(t)
	s.check(h)
	h.checkBooks()
}

// deafen takes the subscription off every socket of a process that listens to process events.
func deafen(t *testing.T, pid int) (n int) {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	defer unix.Close(pidfd)
	for _, fd := range connectorSockets(t, pid) {
		own, err := unix.PidfdGetfd(pidfd, fd, 0)
		must(t, err)
		must(t, unix.SetsockoptInt(own, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, 1))
		unix.Close(own)
		n++
	}
	return n
}

// connectorSockets lists the descriptors of a process that are sockets of the proc connector (/proc/net/netlink: protocol 11).
func connectorSockets(t *testing.T, pid int) (fds []int) {
	t.Helper()
	b, err := os.ReadFile("/proc/net/netlink")
	must(t, err)
	var inodes []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 10 && f[1] == strconv.Itoa(unix.NETLINK_CONNECTOR) {
			inodes = append(inodes, "socket:["+f[9]+"]")
		}
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && slices.Contains(inodes, to) {
			fd, err := strconv.Atoi(e.Name())
			must(t, err)
			fds = append(fds, fd)
		}
	}
	return fds
}
