package control

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/look"
)

// peers tells who is at the other end of a socket.
type peers struct {
	proc   string // a mounted procfs
	userNS string // our own user namespace, as its link in procfs reads
	root   uint32 // whose uid root's is: 0, but for tests
	looks  *look.Looks
	old    bool // do without SO_PEERPIDFD, as a kernel before 6.5 does
}

func newPeers(proc string) (*peers, error) {
	ns, err := os.Readlink(filepath.Join(proc, "self/ns/user"))
	if err != nil {
		return nil, fmt.Errorf("cannot read jobd's own user namespace: %w", err)
	}
	return &peers{proc: proc, userNS: ns, looks: look.New(100 * time.Millisecond)}, nil
}

// of identifies the peer of a connection as it was when it connected. The handle keeps the process identified; it is the
// caller's to close, and a closed one is not alive.
func (ps *peers) of(c *net.UnixConn) (Peer, *handle, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, nil, fmt.Errorf("cannot identify the caller: %w", err)
	}
	var p Peer
	var h *handle
	var inner error
	err = raw.Control(func(fd uintptr) { p, h, inner = ps.ofFD(int(fd)) })
	if err = errors.Join(err, inner); err != nil {
		return Peer{}, nil, fmt.Errorf("cannot identify the caller: %w", err)
	}
	return p, h, nil
}

func (ps *peers) ofFD(fd int) (Peer, *handle, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, nil, err
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return Peer{}, nil, err
	}
	h := &handle{fd: ps.pidfd(fd, cred.Pid)}
	p := Peer{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid, Groups: groups, Alive: h.alive}
	p.Payer = ps.payer(p)
	if cred.Uid == ps.root {
		var shared bool
		shared, p.unread = ps.sharesUserNS(cred.Pid)
		p.Root = shared && h.alive() // alive after that was read: so it was read of this process
	}
	return p, h, nil
}

// payer gives Peer.Payer. That the peer lives is looked at after its loginuid was read: else the pid may have been another's then.
func (ps *peers) payer(p Peer) uint32 {
	uid, known := loginUID(ps.proc, p.PID)
	switch {
	case !p.Alive():
		return noID
	case known:
		return uid
	}
	return p.UID
}

// loginUID is who somebody logged in as. Nobody can hold up who reads it, nor change it without CAP_AUDIT_CONTROL.
func loginUID(proc string, pid int32) (uid uint32, known bool) {
	b, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(int(pid)), "loginuid"))
	v, bad := strconv.ParseUint(string(b), 10, 32)
	return uint32(v), err == nil && bad == nil && uint32(v) != noID
}

// sharesUserNS compares user namespaces; one that can't be read is not ours. That it is read some time after the connect
// does no harm: nobody comes back from a child namespace.
func (ps *peers) sharesUserNS(pid int32) (bool, error) {
	ns, err := look.At(ps.looks, pid, func() (string, error) {
		return os.Readlink(filepath.Join(ps.proc, strconv.Itoa(int(pid)), "ns/user"))
	})
	return err == nil && ns == ps.userNS, err
}

// notRoot says for the log why a peer is not root. Reading another's namespace takes CAP_SYS_PTRACE (ptrace(2)).
func (p Peer) notRoot() string {
	switch {
	case p.UID != 0:
		return "not uid 0"
	case errors.Is(p.unread, fs.ErrPermission):
		return "jobd may not read its user namespace and needs CAP_SYS_PTRACE for that"
	case errors.Is(p.unread, look.ErrBusy):
		return p.unread.Error()
	case p.unread != nil:
		return "it has gone"
	}
	return "root of another user namespace"
}

// denial is why a peer was denied: what it was told, or what is odd about it.
func denial(p Peer, e *Error) string {
	if p.UID == 0 && !p.Root {
		return p.notRoot()
	}
	return e.Message
}

// pidfd gets hold of the process that connected, -1 if it has gone. SO_PEERPIDFD (since Linux 6.5) names it beyond doubt.
// Before that its pid may have been given away between its connect and our pidfd_open: a start time that is the same
// before and after narrows that to the time before our accept.
func (ps *peers) pidfd(fd int, pid int32) int {
	if !ps.old {
		pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if err == nil {
			return pidfd
		}
		if !errors.Is(err, unix.ENOPROTOOPT) {
			return -1
		}
	}
	before, ok := ps.startTime(pid)
	if !ok {
		return -1
	}
	pidfd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return -1
	}
	if after, ok := ps.startTime(pid); !ok || after != before {
		unix.Close(pidfd)
		return -1
	}
	return pidfd
}

// startTime is field 22 of /proc/PID/stat (proc_pid_stat(5)). The command in field 2 may hold spaces and parentheses.
func (ps *peers) startTime(pid int32) (uint64, bool) {
	b, err := look.At(ps.looks, pid, func() ([]byte, error) {
		return os.ReadFile(filepath.Join(ps.proc, strconv.Itoa(int(pid)), "stat"))
	})
	if err != nil {
		return 0, false
	}
	return parseStartTime(b)
}

func parseStartTime(stat []byte) (uint64, bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, false
	}
	f := bytes.Fields(stat[i+1:]) // f[0] is field 3
	if len(f) < 20 {
		return 0, false
	}
	v, err := strconv.ParseUint(string(f[19]), 10, 64)
	return v, err == nil
}

// peerGroups reads SO_PEERGROUPS: the supplementary groups, as gid_t (sk_getsockopt, net/core/sock.c, since Linux 4.13).
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(4 * len(groups))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		n := int(size / 4)
		switch {
		case errno == 0 && n <= len(groups):
			return groups[:n:n], nil
		case errno == syscall.ERANGE && n > len(groups): // the kernel says how many there are
			groups = make([]uint32, n)
		default:
			return nil, os.NewSyscallError("getsockopt SO_PEERGROUPS", errno)
		}
	}
}

// handle holds a process by its pidfd.
type handle struct {
	mu sync.Mutex
	fd int // -1: gone, or closed
}

// alive reports whether the process has not exited. A pidfd is readable when it has (pidfd_open(2)).
func (h *handle) alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return false
	}
	p := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 0
		}
	}
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		unix.Close(h.fd)
		h.fd = -1
	}
}
