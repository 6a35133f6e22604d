package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// An engine that hears nothing looks like one on a host where nothing happens. Before Linux 6.6 any listener that leaves can
// silence all others (drivers/connector/cn_proc.c counts LISTEN and IGNORE of everybody together), and a subscription can be
// lost. So whoever has something to lose knocks now and then, and listens whether the engine hears it.

// Heard is when the last process event was read, CLOCK_MONOTONIC ns; 0: never.
func (c *Connector) Heard() int64 { return c.heard }

// Knock makes the kernel tell of something that has no consequence: a thread of this process gives itself the name that it
// has (prctl(2), PR_SET_NAME).
func Knock() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var name [16]byte
	if err := unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0))
}

// ListenAgain asks for everything once more that an engine listens to, and has the next Drain compare the table with /proc.
func (c *Connector) ListenAgain() error {
	sources := []*source{c.events, c.sentinel.src}
	if c.execEars != nil {
		sources = append(sources, c.execEars.src)
	}
	var errs []error
	for _, s := range sources {
		errs = append(errs, s.subscribe())
	}
	errs = append(errs, c.stats.sendCPUs(attrRegisterCPUMask, 0, 0)) // who is registered stays so
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot listen again: %w: %w", ErrNoConnector, err)
	}
	c.lost = true
	return nil
}

// subscribe joins the group that events are sent to, and asks for them. The acknowledgement is read as an event.
func (s *source) subscribe() error {
	err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, cnIdxProc)
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return s.send(netlink.Message{Header: netlink.Header{Type: netlink.Done}, Data: listenMessage(1)})
}

// deafTo is how many exits of members in a row may come without their records before the records are asked for again: the
// kernel forgets a listener to whom one could not be delivered.
const deafTo = 16

// missedOne notes that an exit of a member's task came without its record.
func (c *Connector) missedOne() {
	c.counts.TasksMissed++
	if c.row++; c.row != deafTo {
		return
	}
	c.row = 0
	c.Log.Error("the kernel sends no exit records any more: asking for them again")
	if err := c.stats.sendCPUs(attrRegisterCPUMask, 0, 0); err != nil {
		c.Log.Error("cannot ask for exit records", "error", err)
	}
}
