package label

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer (Documentation/bpf/ringbuf.rst): a page with how far was read, one with how far was written, and the
// records, which are there twice in a row so that each is in one piece. Whoever opens it next goes on where the one before has left off.
// One goroutine reads it.
type ring struct {
	buffer   *ebpf.Map
	consumer []byte
	producer []byte
	window   []byte // the part of the records that is mapped
	from     uint64 // where that begins
	page     uint64
	size     uint64
	most     uint64 // of it that is mapped at a time
}

// The head of a record: its length and two flags, then what only the kernel needs (linux/bpf.h, BPF_RINGBUF_HDR_SZ …).
const (
	ringHead    = 8
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
)

// windowMost is how much of a ring is mapped at a time. What is mapped counts as the reader's memory, once for each time that it is.
const windowMost = 512 << 10

func openRing(m *ebpf.Map) (*ring, error) {
	r := &ring{buffer: m, page: uint64(os.Getpagesize()), size: uint64(m.MaxEntries()), most: windowMost}
	var err error
	if r.consumer, err = r.mapped(0, r.page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return nil, err
	}
	if r.producer, err = r.mapped(r.page, r.page, unix.PROT_READ); err == nil {
		err = r.look(r.position()&(r.size-1), ringHead)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) mapped(at, n uint64, prot int) ([]byte, error) {
	b, err := unix.Mmap(r.buffer.FD(), int64(at), int(n), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map the ring of events: %w", err)
	}
	return b, nil
}

func (r *ring) close() {
	for _, b := range [][]byte{r.consumer, r.producer, r.window} {
		if b != nil {
			_ = unix.Munmap(b) // what was mapped can be unmapped
		}
	}
}

// look has n bytes of the records mapped that begin at off. What was given before is valid no more.
func (r *ring) look(off, n uint64) error {
	if off >= r.from && off+n <= r.from+uint64(len(r.window)) {
		return nil
	}
	if r.window != nil {
		if err := unix.Munmap(r.window); err != nil {
			return os.NewSyscallError("munmap", err)
		}
		r.window = nil
	}
	from := off &^ (r.page - 1)
	size := max(min(r.most, 2*r.size-from), (off+n-from+r.page-1)&^(r.page-1))
	window, err := r.mapped(2*r.page+from, size, unix.PROT_READ)
	if err != nil {
		return err
	}
	r.window, r.from = window, from
	return nil
}

// position is how many bytes have been read since the ring was made.
func (r *ring) position() uint64 { return atomic.LoadUint64(word[uint64](r.consumer, 0)) }

// waiting is how many bytes there are to read.
func (r *ring) waiting() uint64 { return atomic.LoadUint64(word[uint64](r.producer, 0)) - r.position() }

// each takes what is there, until f says no. A record is valid during the call only.
func (r *ring) each(f func([]byte) bool) error {
	return r.walk(f, func(at uint64) { atomic.StoreUint64(word[uint64](r.consumer, 0), at) })
}

// peek is each, and takes nothing.
func (r *ring) peek(f func([]byte) bool) error { return r.walk(f, func(uint64) {}) }

func (r *ring) walk(f func([]byte) bool, took func(upTo uint64)) error {
	at := r.position()
	for more := true; more && at < atomic.LoadUint64(word[uint64](r.producer, 0)); took(at) {
		off := at & (r.size - 1)
		if err := r.look(off, ringHead); err != nil {
			return err
		}
		head := atomic.LoadUint32(word[uint32](r.window, off-r.from))
		if head&ringBusy != 0 {
			return nil // somebody is writing it just now
		}
		n := uint64(head &^ (ringBusy | ringDiscard))
		if n > r.size {
			return errors.New("cannot read the ring of events: a record is longer than the ring")
		}
		if head&ringDiscard == 0 {
			if err := r.look(off, ringHead+n); err != nil {
				return err
			}
			begin := off - r.from + ringHead
			more = f(r.window[begin : begin+n])
		}
		at += (ringHead + n + 7) &^ 7
	}
	return nil
}

func word[T uint32 | uint64](b []byte, off uint64) *T { return (*T)(unsafe.Pointer(&b[off])) }
