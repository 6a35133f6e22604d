package label

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Kind is what an event tells of.
type Kind uint32

// The kinds (bpf/event.h).
const (
	Clone Kind = iota
	Exec
	UID
	GID
	Exit
	Free
	Refused
	Kinds // how many there are
)

// Event is what the kernel tells of a task that is in a job, or that somebody wants to hear of.
type Event struct {
	Kind  Kind
	Time  int64  // CLOCK_MONOTONIC ns
	Job   uint64 // that the task was in then; 0: none
	Start int64  // of its process, CLOCK_BOOTTIME ns
	PID   int32  // of the process
	TID   int32
	Other int32  // of a Clone the process that called clone, of a Refused the error that its caller got, of an Exec the task's number before, of a UID or GID 1 where that was a while ago
	Value uint64 // of a Clone or Refused its flags, of an Exit the wait status, of a UID or GID the effective id
	Bits  uint32 // of those who want to hear of the task
	Real  uint64 // of a Clone the process that is the parent; of a UID or GID the real id; of an Exit 1 where no other task of the process is left

	Path []byte // of an Exec, as /proc/PID/exe has it; empty: not known
	Left Left   // of an Exit
	Used Used   // of a Free

	path [pathRoom + len(deleted)]byte
}

// Left is what is known of a process only while it is there.
type Left struct {
	MaxRSS   uint64 // pages
	VM       uint64 // pages; 0: not known
	Parent   int32
	UID, GID uint32
	Flags    uint32 // PF_… (include/linux/sched.h)
	Policy   uint32
	Nice     int32
	Comm     [16]byte
	Used     Used // by the task, so far: without integrals and delays
}

// Used is what one task had used in the end. CPU is exact, User and System are in ticks; ns. Sizes are bytes, integrals pages and ns. The
// order is that of the kernel's programs (bpf/event.h), which figures and decode go by.
type Used struct {
	CPU, User, System                            uint64
	MinFault, MajFault                           uint64
	VolSwitch, InvSwitch                         uint64
	ReadChars, WriteChars, ReadCalls, WriteCalls uint64
	ReadBytes, WriteBytes, Cancelled             uint64
	RSSIntegral, VMIntegral                      uint64
	CPUDelay, BlkDelay, SwapDelay, ReclaimDelay  uint64
}

// The sizes of the records (bpf/event.h).
const (
	eventSize = 64
	leftSize  = eventSize + 56 + sumsCount*8
	usedSize  = eventSize + 8*usedCount
	ranSize   = eventSize + pathRoom
	pathRoom  = 256
)

// deleted is what stands behind the path of a file that has been removed (fs/d_path.c).
const deleted = " (deleted)"

// decode reads a record.
func decode(e *Event, b []byte) error {
	if len(b) < eventSize {
		return fmt.Errorf("an event of %d bytes", len(b))
	}
	le := binary.LittleEndian
	at := func(off int) uint64 { return le.Uint64(b[off:]) }
	e.Time, e.Job, e.Start = int64(at(0)), at(8), int64(at(16))
	e.PID, e.TID = int32(le.Uint32(b[24:])), int32(le.Uint32(b[28:]))
	e.Kind, e.Other = Kind(le.Uint32(b[32:])), int32(le.Uint32(b[36:]))
	e.Value, e.Bits, e.Real = at(40), le.Uint32(b[48:]), at(56)
	switch {
	case e.Kind >= Kinds:
		return fmt.Errorf("an event of kind %d", e.Kind)
	case e.Kind == Exit && len(b) < leftSize, e.Kind == Free && len(b) < usedSize, e.Kind == Exec && (len(b) < ranSize || e.Value > pathRoom):
		return fmt.Errorf("an event of kind %d and %d bytes", e.Kind, len(b))
	}
	if e.PID <= 0 || e.TID <= 0 || e.Time < 0 || e.Time == math.MaxInt64 || e.Start < 0 || e.Job == 0 && e.Bits == 0 {
		return fmt.Errorf("an event of task %d of process %d, which cannot be", e.TID, e.PID)
	}
	switch e.Kind {
	case Exec:
		e.Path = e.decodePath(b[eventSize:eventSize+e.Value], e.Real != 0)
	case Exit:
		e.Left.decode(b[eventSize:])
	case Free:
		e.Used.decode(b[eventSize:])
	}
	return nil
}

// decodePath makes a path of its names, the last of which comes first, each with its NUL.
func (e *Event) decodePath(names []byte, removed bool) []byte {
	path := e.path[:0]
	for len(names) > 0 {
		at := bytes.LastIndexByte(names[:len(names)-1], 0) + 1
		path = append(append(path, '/'), names[at:len(names)-1]...)
		names = names[:at]
	}
	if len(path) > 0 && removed {
		path = append(path, deleted...)
	}
	return path
}

func (l *Left) decode(b []byte) {
	le := binary.LittleEndian
	l.MaxRSS, l.VM = le.Uint64(b), le.Uint64(b[8:])
	l.Used.decode(b[56 : leftSize-eventSize])
	b = b[16:]
	l.Parent, l.UID, l.GID, l.Flags = int32(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:])
	l.Policy, l.Nice = le.Uint32(b[16:]), int32(le.Uint32(b[20:]))
	copy(l.Comm[:], b[24:])
}

// sumsCount is how many of a Used's figures there are of several tasks together, usedCount how many there are.
const (
	sumsCount = 14
	usedCount = int(unsafe.Sizeof(Used{}) / 8)
)

// figures are a Used's in the order in which they are told.
func (u *Used) figures() *[usedCount]uint64 { return (*[usedCount]uint64)(unsafe.Pointer(u)) }

func (u *Used) decode(b []byte) {
	to := u.figures()
	for i := range min(len(b)/8, len(to)) {
		to[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
}

// Add takes in what another task has used.
func (u *Used) Add(v *Used) {
	to, from := u.figures(), v.figures()
	for i := range to {
		to[i] += from[i]
	}
}

// Less takes off what another task has used; less than nothing is nothing.
func (u *Used) Less(v *Used) {
	to, from := u.figures(), v.figures()
	for i := range to {
		to[i] -= min(to[i], from[i])
	}
}

// Executed says that a process runs another program since a moment.
type Executed struct {
	Time int64 // CLOCK_MONOTONIC ns
	PID  int32
}

func decodeExecuted(b []byte) (x Executed, err error) {
	if len(b) < 12 {
		return x, fmt.Errorf("an exec of %d bytes", len(b))
	}
	return Executed{int64(binary.LittleEndian.Uint64(b)), int32(binary.LittleEndian.Uint32(b[8:]))}, nil
}
