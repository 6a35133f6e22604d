package e2e

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exits is a second listener for the kernel's process events, with nothing of jobd's in it: the offsets of linux/netlink.h,
// connector.h and cn_proc.h as numbers. A process can be waited for before its exit is told; who then asks jobd for what descends
// from it would be answered by what was so a moment ago.
type exits struct {
	fd   int
	done chan struct{}

	mu    sync.Mutex
	heard map[int32]bool // threads
	lost  bool           // somebody made more noise than it could hear
}

func hearExits(t *testing.T) *exits {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	must(t, err)
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}))
	must(t, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}))
	le, b := binary.LittleEndian, make([]byte, 40)
	le.PutUint32(b, 40)
	le.PutUint16(b[4:], unix.NLMSG_DONE)
	le.PutUint32(b[16:], 1) // CN_IDX_PROC
	le.PutUint32(b[20:], 1) // CN_VAL_PROC
	le.PutUint16(b[32:], 4)
	le.PutUint32(b[36:], 1) // PROC_CN_MCAST_LISTEN
	must(t, unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	x := &exits{fd: fd, done: make(chan struct{}), heard: make(map[int32]bool)}
	stop := make(chan struct{})
	go x.run(stop)
	t.Cleanup(func() {
		close(stop)
		<-x.done
		unix.Close(fd)
	})
	return x
}

func (x *exits) run(stop <-chan struct{}) {
	defer close(x.done)
	receive(x.fd, stop, x.take, x.lose)
}

// take reads one event: netlink 16, connector 20, then struct proc_event, whose data are at 16. A pid that is used again lives.
func (x *exits) take(b []byte) {
	const event, data = 36, 52
	if len(b) < data+12 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch pid := int32(binary.LittleEndian.Uint32(b[data:])); binary.LittleEndian.Uint32(b[event:]) {
	case 0x80000000: // PROC_EVENT_EXIT
		x.heard[pid] = true
	case 1: // PROC_EVENT_FORK
		delete(x.heard, int32(binary.LittleEndian.Uint32(b[data+8:])))
	}
}

func (x *exits) lose() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost = true
}

// of reports whether the exit of a thread was told of; lost, that it may have been without being heard.
func (x *exits) of(tid int32) (heard, lost bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.heard[tid], x.lost
}

// told waits until the kernel has told of the exits of these threads.
func (r *random) told(tids ...int32) error {
	if r.m.blind != "" {
		return nil // there may be more than anybody can hear, and nobody is asked
	}
	began := time.Now()
	for _, tid := range tids {
		err := gone("word of the end of "+itoa(int(tid)), func() bool {
			heard, lost := r.exits.of(tid)
			return heard || lost && time.Since(began) > time.Second
		})
		if err != nil {
			return err
		}
	}
	return nil
}
