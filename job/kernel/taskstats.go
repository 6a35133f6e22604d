package kernel

import (
	"bytes"
	"encoding/binary"

	"github.com/jobd-project/jobd/job/watch"
)

// The exit records: genetlink messages of family TASKSTATS, command TASKSTATS_CMD_NEW, whose attribute
// TASKSTATS_TYPE_AGGR_PID holds a pid and a struct taskstats (linux/taskstats.h,
// Documentation/accounting/taskstats.rst). The TGID aggregates are passed over: until mid-2026 they lose the CPU and
// I/O of threads that exited before the last.
const (
	genlHeader = 4

	taskstatsCmdNew      = 2
	taskstatsTypePID     = 1
	taskstatsTypeStats   = 3
	taskstatsTypeAggrPID = 4

	attrRegisterCPUMask   = 3 // TASKSTATS_CMD_ATTR_REGISTER_CPUMASK
	attrDeregisterCPUMask = 4
	taskstatsCmdGet       = 1
)

// Offsets in struct taskstats, the same from version 8 on. It grows at its end only (but for the first kernels with
// version 15, which the check of ac_pid finds out).
const (
	tsFlag      = 8
	tsNice      = 9
	tsCPUDelay  = 24
	tsBlkDelay  = 40
	tsSwapDelay = 56
	tsVirtual   = 72 // cpu_run_virtual_total
	tsComm      = 80
	tsSched     = 112
	tsUID       = 120
	tsGID       = 124
	tsPID       = 128
	tsPPID      = 132
	tsBTime     = 136
	tsETime     = 144
	tsUTime     = 152
	tsSTime     = 160
	tsMinFlt    = 168
	tsMajFlt    = 176
	tsCoreMem   = 184
	tsVirtMem   = 192
	tsHiRSS     = 200
	tsHiVM      = 208
	tsReadChar  = 216
	tsReadBytes = 248
	tsCancelled = 264
	tsNVCSW     = 272
	tsNIVCSW    = 280
	tsReclaim   = 320
	tsTGID      = 368 // version 12

	tsMin     = tsMajFlt + 8 // through the basic fields: less than this is no taskstats
	tsCommLen = 32
	usec      = 1000
	kib       = 1024
)

// exitRecord is a datagram with one task's record, not decoded further than it needs to be found.
type exitRecord struct {
	tid   int32
	stats []byte // struct taskstats, in the read buffer
}

// findExitRecord looks for the AGGR_PID record of a datagram. ok is false for anything else, and for a record whose
// ac_pid is not the pid that it was sent under.
func findExitRecord(b []byte) (r exitRecord, ok bool) {
	if len(b) < nlHeader+genlHeader || b[nlHeader] != taskstatsCmdNew {
		return r, false
	}
	le := binary.LittleEndian
	aggr := findAttr(b[nlHeader+genlHeader:], taskstatsTypeAggrPID)
	pid := findAttr(aggr, taskstatsTypePID)
	r.stats = findAttr(aggr, taskstatsTypeStats)
	if len(pid) < 4 || len(r.stats) < tsMin {
		return r, false
	}
	r.tid = int32(le.Uint32(pid))
	return r, int32(le.Uint32(r.stats[tsPID:])) == r.tid
}

// findAttr walks netlink attributes (linux/netlink.h: struct nlattr) for one type.
func findAttr(b []byte, typ uint16) []byte {
	le := binary.LittleEndian
	for len(b) >= 4 {
		size, t := int(le.Uint16(b)), le.Uint16(b[2:])&0x3fff
		if size < 4 || size > len(b) {
			return nil
		}
		if t == typ {
			return b[4:size]
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// decodeTaskstats fills u from a struct taskstats of any version by its length: what it does not reach is not known, nor
// are groups other than those that are wanted.
func decodeTaskstats(u *watch.Usage, b []byte, wanted watch.Group) {
	le := binary.LittleEndian
	u64 := func(off int) int64 { return int64(le.Uint64(b[off:])) }
	last := u.Comm
	*u = watch.Usage{Threads: 1}
	if len(b) < tsMin {
		return
	}
	known := func(g watch.Group, reach int) bool {
		if len(b) < reach || !wanted.Has(g) {
			return false
		}
		u.Groups |= g
		return true
	}
	u.Groups = watch.GroupBasic
	u.Flags, u.Nice, u.Sched = b[tsFlag], int8(b[tsNice]), b[tsSched]
	u.Comm = commText(b[tsComm:tsComm+tsCommLen], last)
	u.UID, u.GID = le.Uint32(b[tsUID:]), le.Uint32(b[tsGID:])
	u.PPID, u.BTime = int32(le.Uint32(b[tsPPID:])), int64(le.Uint32(b[tsBTime:]))
	u.Elapsed, u.User, u.System = u64(tsETime)*usec, u64(tsUTime)*usec, u64(tsSTime)*usec
	u.MinFault, u.MajFault = u64(tsMinFlt), u64(tsMajFlt)
	if known(watch.GroupCPU, tsMin) {
		u.CPU = u64(tsVirtual)
	}
	if known(watch.GroupDelay, tsMin) {
		u.CPUDelay, u.BlkDelay, u.SwapDelay = u64(tsCPUDelay), u64(tsBlkDelay), u64(tsSwapDelay)
		if len(b) >= tsReclaim+8 {
			u.ReclaimDelay = u64(tsReclaim)
		}
	}
	if known(watch.GroupMemory, tsReadBytes) {
		u.CoreMem, u.VirtMem = u64(tsCoreMem), u64(tsVirtMem)
		u.MaxRSS, u.MaxVM = u64(tsHiRSS)*kib, u64(tsHiVM)*kib
	}
	if known(watch.GroupIO, tsNVCSW) {
		u.ReadChars, u.WriteChars = u64(tsReadChar), u64(tsReadChar+8)
		u.ReadCalls, u.WriteCalls = u64(tsReadChar+16), u64(tsReadChar+24)
		u.ReadBytes = u64(tsReadBytes)
		u.WriteBytes = max(u64(tsReadBytes+8)-u64(tsCancelled), 0)
	}
	if known(watch.GroupSwitch, tsNIVCSW+8) {
		u.VolSwitch, u.InvSwitch = u64(tsNVCSW), u64(tsNIVCSW)
	}
}

// commText cuts a command name at its NUL. A storm is of one name: then the last text serves again.
func commText(b []byte, last string) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	if string(b) == last {
		return last
	}
	return string(b)
}
