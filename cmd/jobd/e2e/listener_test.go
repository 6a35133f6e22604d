package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// listener is a second listener for the kernel's exit records, with nothing of jobd's in it: a socket, and the offsets of
// linux/netlink.h, genetlink.h and taskstats.h as numbers.
type listener struct {
	fd     int
	family uint16
	done   chan struct{}

	mu   sync.Mutex
	sums map[string]tally // by ac_comm
}

// tally is what was said of the tasks of one name.
type tally struct{ records, cpu int64 } // cpu_run_virtual_total, ns

func listen(t *testing.T) *listener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	must(t, err)
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}))
	must(t, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	l := &listener{fd: fd, family: 0x10, done: make(chan struct{}), sums: make(map[string]tally)}
	const getFamily, familyName, familyID = 3, 2, 1
	l.family = binary.LittleEndian.Uint16(l.ask(t, getFamily, familyName, []byte("TASKSTATS\x00"), familyID))
	cpus, err := os.ReadFile("/sys/devices/system/cpu/possible")
	must(t, err)
	mask := append(bytes.TrimSpace(cpus), 0)
	const get, register, deregister = 1, 3, 4
	l.ask(t, get, register, mask, 0)
	stop := make(chan struct{})
	go l.run(stop)
	t.Cleanup(func() {
		close(stop)
		<-l.done
		l.send(t, get, deregister, mask) // a number that is used again would get the records
		unix.Close(fd)
	})
	return l
}

// send sends a request with one attribute.
func (l *listener) send(t *testing.T, cmd byte, attr uint16, value []byte) {
	t.Helper()
	le := binary.LittleEndian
	b := make([]byte, 24+(len(value)+3)&^3)
	le.PutUint32(b, uint32(len(b)))
	le.PutUint16(b[4:], l.family)
	le.PutUint16(b[6:], 1|4) // NLM_F_REQUEST, NLM_F_ACK
	b[16], b[17] = cmd, 1
	le.PutUint16(b[20:], uint16(4+len(value)))
	le.PutUint16(b[22:], attr)
	copy(b[24:], value)
	must(t, unix.Sendto(l.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// ask sends a request and gives the attribute that was wanted of the answer, if any, when it was acknowledged.
func (l *listener) ask(t *testing.T, cmd byte, attr uint16, value []byte, wanted uint16) (found []byte) {
	t.Helper()
	l.send(t, cmd, attr, value)
	le := binary.LittleEndian
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(l.fd, buf, 0)
		must(t, err)
		switch b := buf[:n]; {
		case le.Uint16(b[4:]) == 2: // NLMSG_ERROR: 0 is the acknowledgement
			if errno := int32(le.Uint32(b[16:])); errno != 0 {
				t.Fatalf("the kernel refuses: %v", unix.Errno(-errno))
			}
			return found
		case wanted != 0:
			for a := b[20:]; len(a) >= 4; a = a[min(int(le.Uint16(a)+3)&^3, len(a)):] {
				if le.Uint16(a[2:]) == wanted {
					found = bytes.Clone(a[4:le.Uint16(a)])
				}
			}
		}
	}
}

func (l *listener) run(stop <-chan struct{}) {
	defer close(l.done)
	receive(l.fd, stop, l.take, nil)
}

// receive hands on what comes in on a socket with a timeout, until it is told to stop or the socket fails. lost is told that something
// did not fit; where it is nil that is a failure.
func receive(fd int, stop <-chan struct{}, take func([]byte), lost func()) {
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case err == nil:
			take(buf[:n])
		case errors.Is(err, unix.ENOBUFS) && lost != nil:
			lost()
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// take reads a record of one task: netlink 16, genetlink 4, the nest's head 4, the pid's attribute 8, the statistics' head
// 4, then struct taskstats.
func (l *listener) take(b []byte) {
	const stats, virtual, comm, pid = 36, 72, 80, 128
	le := binary.LittleEndian
	if len(b) < stats+pid+4 || le.Uint16(b[22:]) != 4 || le.Uint32(b[28:]) != le.Uint32(b[stats+pid:]) {
		return // no TASKSTATS_TYPE_AGGR_PID
	}
	name, _, _ := bytes.Cut(b[stats+comm:stats+comm+32], []byte{0})
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sums[string(name)]
	l.sums[string(name)] = tally{s.records + 1, s.cpu + int64(le.Uint64(b[stats+virtual:]))}
}

// heard waits until there are so many records of tasks with these names, and gives their CPU, ns.
func (l *listener) heard(t *testing.T, want int, names ...string) (cpu int64) {
	t.Helper()
	until(t, fmt.Sprintf("%d records of %q", want, names), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := int64(0)
		cpu = 0
		for _, name := range names {
			n, cpu = n+l.sums[name].records, cpu+l.sums[name].cpu
		}
		return n == int64(want)
	})
	return cpu
}
