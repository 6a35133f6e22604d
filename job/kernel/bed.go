package kernel

import (
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bed is where whoever drains the engine rests in a storm, for a time or until roused.
//
// It rests in a system call that Go's scheduler is not told of, so that the thread keeps its processor (the P) and is not
// missed. A timer, or a call that the scheduler knows of, costs a handful of wake-ups and context switches of other
// threads a burst: the one that fires it, the one that is started to look for more work, the one that waits for the
// network and is told of the new timer, the runtime's monitor. They took a quarter of the CPU that jobd uses in a storm.
type bed struct {
	fd int

	mu      sync.Mutex
	waiting int // have roused, and are not served yet
	closed  bool
}

func newBed() (*bed, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &bed{fd: fd}, nil
}

// rest returns after d, or when somebody rouses; at once while somebody who did waits. The runtime's signals interrupt the
// call, so that a garbage collection that stops the world waits for nobody who rests.
func (b *bed) rest(d time.Duration) {
	var old [8]byte
	_, _ = unix.Read(b.fd, old[:]) // whom that was from waits still, or has been served
	until := time.Now().Add(d)
	for !b.wanted() {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		n, err := b.poll(left)
		if n > 0 {
			return
		}
		if err != nil && err != unix.EINTR {
			time.Sleep(left) // never seen, and must not become a busy loop
			return
		}
	}
}

// poll is poll(2), behind the scheduler's back where it has another processor for everybody else.
func (b *bed) poll(most time.Duration) (n int, err error) {
	list := []unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLIN}}
	ts := unix.NsecToTimespec(most.Nanoseconds())
	if runtime.GOMAXPROCS(0) == 1 {
		return unix.Ppoll(list, &ts, nil)
	}
	r, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&list[0])), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// rouse ends a rest, and there is no other until settle. Any goroutine may call it, also when the engine is closed.
func (b *bed) rouse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting++
	if !b.closed {
		one := [8]byte{1}
		_, _ = unix.Write(b.fd, one[:]) // fails only after 2^64 of them
	}
}

// settle takes one rouse back: whoever it was for is served.
func (b *bed) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
}

func (b *bed) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting > 0
}

func (b *bed) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	_ = unix.Close(b.fd)
}
