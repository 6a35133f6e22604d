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
// records, mapped twice in a row so that each is in one piece. Whoever opens it next goes on where the one before has left off.
type ring struct {
	buffer   *ebpf.Map
	consumer []byte
	producer []byte // its page, then the records
	page     uint64
	size     uint64
}

// The head of a record: its length and two flags, then what only the kernel needs (linux/bpf.h, BPF_RINGBUF_HDR_SZ …).
const (
	ringHead    = 8
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
)

func openRing(m *ebpf.Map) (*ring, error) {
	r := &ring{buffer: m, page: uint64(os.Getpagesize()), size: uint64(m.MaxEntries())}
	var err error
	if r.consumer, err = unix.Mmap(m.FD(), 0, int(r.page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("cannot map the ring of events: %w", err)
	}
	if r.producer, err = unix.Mmap(m.FD(), int64(r.page), int(r.page+2*r.size), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot map the ring of events: %w", err), unix.Munmap(r.consumer))
	}
	return r, nil
}

func (r *ring) close() {
	_ = unix.Munmap(r.consumer) // what was mapped can be unmapped
	_ = unix.Munmap(r.producer)
}

// position is how many bytes have been read since the ring was made.
func (r *ring) position() uint64 { return atomic.LoadUint64(word[uint64](r.consumer, 0)) }

// waiting is how many bytes there are to read.
func (r *ring) waiting() uint64 { return atomic.LoadUint64(word[uint64](r.producer, 0)) - r.position() }

// each takes what is there, until f says no. A record is valid during the call only.
func (r *ring) each(f func([]byte) bool) {
	r.walk(f, func(at uint64) { atomic.StoreUint64(word[uint64](r.consumer, 0), at) })
}

// peek is each, and takes nothing.
func (r *ring) peek(f func([]byte) bool) { r.walk(f, func(uint64) {}) }

func (r *ring) walk(f func([]byte) bool, took func(upTo uint64)) {
	at := r.position()
	for more := true; more && at < atomic.LoadUint64(word[uint64](r.producer, 0)); took(at) {
		off := r.page + at&(r.size-1)
		head := atomic.LoadUint32(word[uint32](r.producer, off))
		if head&ringBusy != 0 {
			return // somebody is writing it just now
		}
		n := uint64(head &^ (ringBusy | ringDiscard))
		if head&ringDiscard == 0 {
			more = f(r.producer[off+ringHead : off+ringHead+n])
		}
		at += (ringHead + n + 7) &^ 7
	}
}

func word[T uint32 | uint64](b []byte, off uint64) *T { return (*T)(unsafe.Pointer(&b[off])) }
