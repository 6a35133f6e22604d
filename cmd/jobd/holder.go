package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// The sockets that outlive jobd where the service manager holds them for it (sd_notify(3), FDSTORE=1): what the kernel sends
// queues up in two of them meanwhile, and who connects to the others waits for the next jobd instead of being refused.
const (
	heldEvents  = "events"
	heldStats   = "exits"
	heldLogin   = "login"
	heldAPI     = "api"
	heldLib     = "libjob"
	heldMetrics = "metrics"
)

// holder is the service manager, as the one who holds descriptors.
type holder struct {
	manager string              // its notification socket; "": there is none
	holds   bool                // it takes descriptors
	files   map[string]*os.File // what it held for this jobd
}

// newHolder takes what was passed to this process (sd_listen_fds(3)).
func newHolder() *holder {
	manager := os.Getenv("NOTIFY_SOCKET")
	h := &holder{manager: manager, holds: manager != "", files: make(map[string]*os.File)}
	for _, f := range activation.Files(true) {
		if old := h.files[f.Name()]; old != nil {
			old.Close() // of a name the newest counts
		}
		h.files[f.Name()] = f
	}
	return h
}

// there reports whether there is somebody to hold something.
func (h *holder) there() bool { return h.holds }

// fd gives a descriptor that was held; -1: none was.
func (h *holder) fd(name string) int {
	f := h.files[name]
	if f == nil {
		return -1
	}
	return int(f.Fd())
}

// hold has a descriptor held from now on, for as long as the service is not stopped for good.
func (h *holder) hold(name string, fd int) error {
	return h.tell("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, unix.UnixRights(fd))
}

// drop has one held no longer.
func (h *holder) drop(name string) error {
	if f := h.files[name]; f != nil {
		f.Close()
		delete(h.files, name)
	}
	return h.tell("FDSTOREREMOVE=1\nFDNAME="+name, nil)
}

// release closes this process's copies of what was held; the manager has its own.
func (h *holder) release() {
	for name, f := range h.files {
		f.Close()
		delete(h.files, name)
	}
}

func (h *holder) tell(state string, rights []byte) error {
	if !h.there() {
		return nil
	}
	return h.send(state, rights, 0)
}

// send is one message to it (sd_notify(3)), with or without somebody who could hold anything.
func (h *holder) send(state string, rights []byte, flags int) error {
	path := h.manager
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendmsg(fd, []byte(state), rights, &unix.SockaddrUnix{Name: path}, flags); err != nil {
		return fmt.Errorf("cannot tell the service manager: %w", err)
	}
	return nil
}

// holdListener has a listening socket held. (File of package net would not do: it makes the socket a blocking one, for
// everybody who has it.)
func (h *holder) holdListener(name string, l syscall.Conn) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = h.hold(name, int(fd)) })
	return errors.Join(err, failed)
}

// tcp gives a listener that was held, if it is the one for addr; nil: it is not.
func (h *holder) tcp(name, addr string) net.Listener {
	f := h.files[name]
	if f == nil {
		return nil
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil || l.Addr().String() != want.String() {
		l.Close()
		return nil
	}
	return l
}
