package kernel

import (
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
func dialConnector(filter ...func(*netlink.Conn) error) (*source, error) {
	conn, err := netlink.Dial(unix.NETLINK_CONNECTOR, &netlink.Config{Groups: cnIdxProc})
	if err != nil {
		return nil, fmt.Errorf("cannot open the proc connector: %w: %w", ErrNoConnector, err)
	}
	s, err := newSource(conn)
	for _, f := range filter {
		if err == nil {
			err = f(conn)
		}
	}
	if err == nil {
		err = s.listen()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// listen sends LISTEN and reads until it is acknowledged. Events that come before that are older than the answer to
// "since when do we hear": the first scan finds what they told.
func (s *source) listen() error {
	const seq = 1
	msg := netlink.Message{Header: netlink.Header{Type: netlink.Done}, Data: listenMessage(seq)}
	if _, err := s.conn.Send(msg); err != nil {
		return fmt.Errorf("cannot listen on the proc connector: %w: %w", ErrNoConnector, err)
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	for acked := false; !acked; {
		if err := s.wait(); err != nil {
			return fmt.Errorf("cannot listen on the proc connector: no acknowledgement: %w", ErrNoConnector)
		}
		err := s.each(func(b []byte) bool {
			ev, err := decodeProcEvent(b)
			acked = err == nil && ev.what == procEventNone
			return !acked
		})
		if err != nil {
			return fmt.Errorf("cannot listen on the proc connector: %w", err)
		}
	}
	return s.conn.SetReadDeadline(time.Time{})
}

// dialTaskstats registers for the exit records of every CPU.
func dialTaskstats() (*source, error) {
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot open generic netlink: %w: %w", ErrNoTaskstats, err)
	}
	if err := registerTaskstats(conn); err != nil {
		conn.Close()
		return nil, err
	}
	s, err := newSource(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func registerTaskstats(conn *netlink.Conn) error {
	c := genetlink.NewConn(conn)
	family, err := c.GetFamily(unix.TASKSTATS_GENL_NAME)
	if err != nil {
		return fmt.Errorf("cannot find taskstats: %w: %w", ErrNoTaskstats, err)
	}
	mask, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return fmt.Errorf("cannot tell which CPUs there are: %w", err)
	}
	attr, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attrRegisterCPUMask, Data: append(trimmed(mask), 0)}})
	if err != nil {
		return err
	}
	req := genetlink.Message{Header: genetlink.Header{Command: taskstatsCmdGet, Version: unix.TASKSTATS_GENL_VERSION}, Data: attr}
	if _, err := c.Execute(req, family.ID, netlink.Request|netlink.Acknowledge); err != nil {
		return fmt.Errorf("cannot register for exit records: %w: %w", ErrNoTaskstats, err)
	}
	return nil
}

// initialNamespaces checks that this process lives in the initial pid and user namespace, whose inode numbers are fixed
// (linux/proc_ns.h: PROC_PID_INIT_INO, PROC_USER_INIT_INO).
func initialNamespaces(proc string) error {
	for _, ns := range []struct{ name, want string }{
		{"pid", "pid:[4026531836]"}, {"user", "user:[4026531837]"},
	} {
		got, err := os.Readlink(proc + "/self/ns/" + ns.name)
		if err != nil {
			return fmt.Errorf("cannot tell the %s namespace: %w", ns.name, err)
		}
		if got != ns.want {
			return fmt.Errorf("%w (%s is not %s)", ErrNotInitial, got, ns.want)
		}
	}
	return nil
}
