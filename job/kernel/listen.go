package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Why the engine cannot run here.
var (
	// ErrNotInitial is a pid or user namespace that is not the initial one: the kernel ignores LISTEN there in silence.
	ErrNotInitial = errors.New("jobd has to run in the initial pid and user namespace, outside any container")
	// ErrNoConnector is a kernel that does not answer on the proc connector.
	ErrNoConnector = errors.New("the kernel does not answer on the proc connector (CONFIG_PROC_EVENTS), or root lacks CAP_NET_ADMIN")
	// ErrNoTaskstats is a kernel without exit records.
	ErrNoTaskstats = errors.New("the kernel has no taskstats (CONFIG_TASKSTATS)")
)

// handshakeTime is how long the kernel may take to acknowledge LISTEN. It answers at once or never.
const handshakeTime = 2 * time.Second

// dialConnector opens a socket of the proc connector and asks for events. The acknowledgement is waited for, because a
// LISTEN that is not allowed is not refused but ignored.
func dialConnector(filter []unix.SockFilter) (*source, error) {
	conn, err := netlink.Dial(unix.NETLINK_CONNECTOR, &netlink.Config{Groups: cnIdxProc})
	if err != nil {
		return nil, fmt.Errorf("cannot open the proc connector: %w: %w", ErrNoConnector, err)
	}
	s, err := newSource(conn)
	if err != nil {
		return nil, err
	}
	if filter != nil {
		err = s.setFilter(filter)
	}
	if err == nil {
		err = s.listen()
	}
	if err == nil {
		_, _, err = s.dropped() // what was dropped until now was sent to others
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// listen sends LISTEN and reads until it is acknowledged. Events that come before that are older than the answer to
// "since when do we hear": the first scan finds what they told.
func (s *source) listen() error {
	const seq = 1
	msg := netlink.Message{Header: netlink.Header{Type: netlink.Done}, Data: listenMessage(seq)}
	if err := s.send(msg); err != nil {
		return fmt.Errorf("cannot listen on the proc connector: %w: %w", ErrNoConnector, err)
	}
	return s.await("cannot listen on the proc connector", ErrNoConnector, func(b []byte) (bool, error) {
		ev, err := decodeProcEvent(b)
		return err == nil && ev.what == procEventNone, nil
	})
}

// dialTaskstats registers for the exit records of every CPU.
func dialTaskstats() (*source, error) {
	family, err := taskstatsFamily()
	if err != nil {
		return nil, err
	}
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot open generic netlink: %w: %w", ErrNoTaskstats, err)
	}
	s, err := newSource(conn)
	if err != nil {
		return nil, err
	}
	s.family = family
	if err := s.register(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// taskstatsFamily asks for the number that the kernel gave to taskstats, on a socket of its own.
func taskstatsFamily() (uint16, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return 0, fmt.Errorf("cannot open generic netlink: %w: %w", ErrNoTaskstats, err)
	}
	defer c.Close()
	var family genetlink.Family
	for range 3 { // the port number may be one that a listener left behind: then a record can come before the answer
		if family, err = c.GetFamily(unix.TASKSTATS_GENL_NAME); err == nil {
			return family.ID, nil
		}
	}
	return 0, fmt.Errorf("cannot find taskstats: %w: %w", ErrNoTaskstats, err)
}

// sendCPUs sends a taskstats request about all CPUs.
func (s *source) sendCPUs(attrType uint16, flags netlink.HeaderFlags, seq uint32) error {
	mask, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return fmt.Errorf("cannot tell which CPUs there are: %w", err)
	}
	attr, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attrType, Data: append(trimmed(mask), 0)}})
	if err != nil {
		return err
	}
	return s.send(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(s.family), Flags: netlink.Request | flags, Sequence: seq},
		Data:   append([]byte{taskstatsCmdGet, unix.TASKSTATS_GENL_VERSION, 0, 0}, attr...),
	})
}

// deregister ends the records. The kernel knows a listener by its port number and forgets it only when a record cannot be
// delivered: whoever is given the number next would get them.
func (s *source) deregister() {
	_ = s.sendCPUs(attrDeregisterCPUMask, 0, 0) // the socket is closed next: nothing more can be done
}

// register asks for the records, and waits for the kernel's answer by hand: records may come before it, which a library
// that matches replies to requests takes for a mistake.
func (s *source) register() error {
	const seq = 1
	if err := s.sendCPUs(attrRegisterCPUMask, netlink.Acknowledge, seq); err != nil {
		return fmt.Errorf("cannot register for exit records: %w: %w", ErrNoTaskstats, err)
	}
	return s.await("cannot register for exit records", ErrNoTaskstats, func(b []byte) (bool, error) {
		return acknowledged(b, seq)
	})
}

// acknowledged reports whether a datagram is the answer to the request seq, and what it says (netlink(7), NLMSG_ERROR).
func acknowledged(b []byte, seq uint32) (bool, error) {
	le := binary.LittleEndian
	if len(b) < nlHeader+4 || netlink.HeaderType(le.Uint16(b[4:])) != netlink.Error || le.Uint32(b[8:]) != seq {
		return false, nil
	}
	if errno := int32(le.Uint32(b[nlHeader:])); errno != 0 {
		return true, unix.Errno(-errno)
	}
	return true, nil
}

// await reads until answer has found what was waited for, for as long as the kernel may take.
func (s *source) await(what string, kind error, answer func([]byte) (bool, error)) error {
	deadline := time.Now().Add(handshakeTime)
	var said error
	for done := false; !done; {
		ready, err := poll(max(time.Until(deadline), 0), s.fd)
		if err != nil || !ready[0] {
			return errors.Join(fmt.Errorf("%s: no answer: %w", what, kind), err)
		}
		err = s.each(func(b []byte) bool {
			done, said = answer(b)
			return !done
		})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if said != nil {
		return fmt.Errorf("%s: %w: %w", what, kind, said)
	}
	return nil
}

// InitialNamespaces checks that this process lives in the initial pid and user namespace, whose inode numbers are fixed
// (linux/proc_ns.h: PROC_PID_INIT_INO, PROC_USER_INIT_INO). The error is ErrNotInitial, or that of reading them.
func InitialNamespaces(fs FS) error {
	for _, ns := range []struct{ name, want string }{
		{"pid", "pid:[4026531836]"}, {"user", "user:[4026531837]"},
	} {
		got, err := os.Readlink(string(fs) + "/self/ns/" + ns.name)
		if err != nil {
			return fmt.Errorf("cannot tell the %s namespace: %w", ns.name, err)
		}
		if got != ns.want {
			return fmt.Errorf("%w (%s is not %s)", ErrNotInitial, got, ns.want)
		}
	}
	return nil
}
