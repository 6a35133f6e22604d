package kernel

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// source is a netlink socket that is read in bursts, on a descriptor that Go's poller does not know. mdlayher/netlink
// dials and sets it up; but its Receive costs 3 µs and 23 allocations a message where a read costs 0.8, and a
// descriptor in the poller wakes a thread with each message that comes in while a burst is let gather. That was more than
// half of what jobd used, and most of what it slowed the workload down.
type source struct {
	fd     int
	buf    []byte
	drops  uint32 // SO_MEMINFO's counter when it was last looked at
	family uint16 // of taskstats, on its socket
}

// receiveBuffer is what each socket asks for. A fork event takes 832 bytes of it, an exit record 1,277.
const receiveBuffer = 64 << 20

// maxDatagram is more than any message of either kind takes.
const maxDatagram = 16 << 10

// newSource takes over a connection: with a large buffer, and without ENOBUFS. After one, the kernel would go on dropping
// until the queue is empty; without it, the drop counter says exactly what went missing and has to be asked.
func newSource(conn *netlink.Conn) (*source, error) {
	defer conn.Close() // the duplicate keeps the socket
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return nil, fmt.Errorf("cannot enlarge the receive buffer: %w", err)
	}
	if err := conn.SetOption(netlink.NoENOBUFS, true); err != nil {
		return nil, fmt.Errorf("cannot set NETLINK_NO_ENOBUFS: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &source{buf: make([]byte, maxDatagram)}
	var failed error
	err = raw.Control(func(fd uintptr) { s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return s, nil
}

// adopt makes a source of a socket that another engine opened, if it is one of the protocol. The descriptor stays the caller's.
func adopt(fd, protocol int) (*source, error) {
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || got != protocol {
		return nil, errors.Join(fmt.Errorf("cannot go on with descriptor %d: it is no netlink socket of protocol %d", fd, protocol), err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &source{fd: own, buf: make([]byte, maxDatagram)}, nil
}

func (s *source) close() { unix.Close(s.fd) }

// send sends one message to the kernel.
func (s *source) send(m netlink.Message) error {
	m.Header.Length = uint32(nlHeader + len(m.Data))
	b, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	_, err = unix.Write(s.fd, b)
	return os.NewSyscallError("write", err)
}

// poll waits for one of some descriptors to become readable, on the thread that it is called on. It reports which;
// all false: the time is up. A negative time is for ever.
func poll(most time.Duration, fds ...int) ([]bool, error) {
	list := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		list[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	ms := -1
	if most >= 0 {
		ms = int(most.Milliseconds())
	}
	for {
		_, err := unix.Poll(list, ms)
		if err == unix.EINTR {
			continue
		}
		ready := make([]bool, len(fds))
		for i := range list {
			ready[i] = list[i].Revents != 0
		}
		return ready, os.NewSyscallError("poll", err)
	}
}

// each reads datagrams until there are none or f says enough. The datagram is only valid during the call. An
// interrupted read is tried again.
func (s *source) each(f func(datagram []byte) (more bool)) error {
	for {
		n, err := s.read()
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
			continue
		case err == unix.ENOBUFS:
			continue // from before it was told not to say so; what was dropped is counted
		case err != 0:
			return os.NewSyscallError("recvfrom", err)
		}
		if !f(s.buf[:n]) {
			return nil
		}
	}
}

// read reads one datagram without waiting. Because it never does, Go's scheduler need not hear of it: that halves the
// cost of the call.
func (s *source) read() (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// peek shows the first datagram that is queued, and leaves it there. It is valid until the next read.
func (s *source) peek() (datagram []byte, ok bool, err error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch err {
		case nil:
			return s.buf[:n], true, nil
		case unix.EAGAIN:
			return nil, false, nil
		case unix.EINTR:
		default:
			return nil, false, os.NewSyscallError("recvfrom", err)
		}
	}
}

// dropped gives how many messages the kernel has dropped here since the last call, and how many bytes are queued
// (SO_MEMINFO, net/core/sock.c: sk_get_meminfo).
func (s *source) dropped() (count uint32, queued uint32, err error) {
	var info [9]uint32 // SK_MEMINFO_VARS
	if err := getMeminfo(s.fd, &info); err != nil {
		return 0, 0, os.NewSyscallError("getsockopt", err)
	}
	const rmemAlloc, skDrops = 0, 8
	count = info[skDrops] - s.drops
	s.drops = info[skDrops]
	return count, info[rmemAlloc], nil
}

// setFilter puts a filter on the socket, in the place of the one before (socket(7), SO_ATTACH_FILTER).
func (s *source) setFilter(prog []unix.SockFilter) error {
	err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	return os.NewSyscallError("setsockopt", err)
}
