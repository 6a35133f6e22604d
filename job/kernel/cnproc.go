package kernel

import (
	"encoding/binary"
	"errors"
)

// The proc connector's messages, linux/cn_proc.h and linux/connector.h: a netlink header (16 bytes), struct cn_msg (20
// bytes) and struct proc_event. All in the host's byte order, which on amd64 and arm64 is little-endian.
const (
	cnIdxProc = 1 // CN_IDX_PROC
	cnValProc = 1 // CN_VAL_PROC

	procCnMcastListen = 1 // PROC_CN_MCAST_LISTEN

	procEventNone = 0x00000000 // an acknowledgement
	procEventFork = 0x00000001
	procEventExec = 0x00000002
	procEventUID  = 0x00000004
	procEventGID  = 0x00000040
	procEventExit = 0x80000000

	nlHeader   = 16
	cnHeader   = 20
	offWhat    = nlHeader + cnHeader // 36
	offCPU     = offWhat + 4
	offTime    = offWhat + 8
	offData    = offWhat + 16
	minEvent   = offData + 4 // an acknowledgement carries an error number
	minForkLen = offData + 16
	minExitLen = offData + 16
	minIDLen   = offData + 16
	minExecLen = offData + 8
)

// errShort is a datagram that ends before what its kind has to carry.
var errShort = errors.New("datagram is too short")

// procEvent is one decoded message. What a, b, c and d are depends on the kind; see the C union beside each use.
type procEvent struct {
	what       uint32
	cpu        uint32
	time       int64 // CLOCK_MONOTONIC ns
	seq        uint32
	a, b, c, d int32
}

// decodeProcEvent reads one datagram. It takes longer ones than it knows, as later kernels append.
func decodeProcEvent(b []byte) (procEvent, error) {
	le := binary.LittleEndian
	if len(b) < minEvent || le.Uint32(b[nlHeader:]) != cnIdxProc || le.Uint32(b[nlHeader+4:]) != cnValProc {
		return procEvent{}, errShort
	}
	ev := procEvent{
		seq:  le.Uint32(b[nlHeader+8:]),
		what: le.Uint32(b[offWhat:]),
		cpu:  le.Uint32(b[offCPU:]),
		time: int64(le.Uint64(b[offTime:])),
	}
	var want int
	switch ev.what {
	case procEventFork: // parent_pid, parent_tgid, child_pid, child_tgid
		want = minForkLen
	case procEventExit: // process_pid, process_tgid, exit_code, exit_signal
		want = minExitLen
	case procEventUID, procEventGID: // process_pid, process_tgid, real id, effective id
		want = minIDLen
	case procEventExec: // process_pid, process_tgid
		want = minExecLen
	default:
		return ev, nil
	}
	if len(b) < want {
		return procEvent{}, errShort
	}
	ev.a = int32(le.Uint32(b[offData:]))
	ev.b = int32(le.Uint32(b[offData+4:]))
	if want > minExecLen {
		ev.c = int32(le.Uint32(b[offData+8:]))
		ev.d = int32(le.Uint32(b[offData+12:]))
	}
	return ev, nil
}

// listenMessage is the payload that asks for events: struct cn_msg and PROC_CN_MCAST_LISTEN. The plain form, without an
// event mask: with a mask no acknowledgement comes, and the sequence numbers would have gaps without a loss.
func listenMessage(seq uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, cnHeader+4)
	le.PutUint32(b[0:], cnIdxProc)
	le.PutUint32(b[4:], cnValProc)
	le.PutUint32(b[8:], seq)
	le.PutUint16(b[16:], 4) // the length of what follows
	le.PutUint32(b[cnHeader:], procCnMcastListen)
	return b
}

// gaps counts lost messages by the per-CPU sequence numbers (drivers/connector/cn_proc.c, send_msg). A lost tail shows
// no gap until that CPU's next event; the socket's own drop counter covers it.
type gaps struct {
	next []uint32 // by CPU: the number that comes next …
	seen []bool   // … once one was seen
	lost uint64
}

// cpusMost bounds what a message may say of its CPU (linux/cpumask.h: NR_CPUS is 8192 at most).
const cpusMost = 8192

// see notes one event and gives the number that went missing before it on its CPU.
func (g *gaps) see(ev *procEvent) uint32 {
	cpu := int(ev.cpu)
	if cpu >= cpusMost {
		return 0
	}
	for cpu >= len(g.next) {
		g.next, g.seen = append(g.next, 0), append(g.seen, false)
	}
	want, known := g.next[cpu], g.seen[cpu]
	g.next[cpu], g.seen[cpu] = ev.seq+1, true
	if !known || ev.seq == want {
		return 0
	}
	missing := ev.seq - want
	if missing > 1<<31 {
		return 0 // backwards: a CPU that came back with a new counter
	}
	g.lost += uint64(missing)
	return missing
}
