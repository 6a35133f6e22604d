package store

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// The columns of a block's records: what of a record becomes which number. A later version adds columns at the end; a
// reader that doesn't know them passes over them, one that misses some takes 0.
const (
	colJob    = iota // index into the block's list of JIDs
	colBits          // the bits below
	colPID           //
	colEnd           // Unix ns
	colSpan          // End-Start less Elapsed, ns: 0 or little; 0 where Start is not known
	colStatus        // wait(2)
	colExe           // index into the block's names
	colExecs         // how many
	colUsage         // the first of a Usage's columns
	columns   = colUsage + usageColumns
)

// The columns of a Usage, counted from colUsage in a record. The parts of use before a record's own (Earlier) are a table
// of these alone.
const (
	useComm = iota // index into the block's names
	useGroups
	useUID
	useGID
	usePPID
	useBTime // s, less those of the record's Start (of End where that is not known)
	useNice
	useSched
	useFlags
	useThreads
	useElapsed
	useCPU
	useUser
	useSystem
	useMinFault
	useMajFault
	useMaxRSS
	useMaxVM
	useCoreMem
	useVirtMem
	useReadChars
	useWriteChars
	useReadCalls
	useWriteCalls
	useReadBytes
	useWriteBytes
	useVolSwitch
	useInvSwitch
	useCPUDelay
	useBlkDelay
	useSwapDelay
	useReclaimDelay
	usageColumns
)

// The columns of the programs that records' processes ran.
const (
	execAt   = iota // ns, less those of the exec before; of the first, less Start (End where that is not known)
	execExe         // index into the block's names
	execArgs        // index into the block's arguments
	execColumns
)

const (
	bitStart = 1 << iota // Start is known
	bitExited
	bitForked
	bitEstimated
	bitUsed
	bitPartial
	bitEarlier // there is a row of it
)

// row is a record as numbers, all but its JID, its texts and its lists. Sums and differences may wrap around; they do so
// both ways.
type row [columns]uint64

func (w *row) set(r *job.Record) {
	u := &r.Usage
	w[colBits], w[colPID], w[colEnd], w[colStatus] = recordBits(r), uint64(int64(r.PID)), uint64(r.End), uint64(r.Status)
	w[colSpan], w[colExecs] = 0, uint64(len(r.Execs))
	if r.Start != 0 {
		w[colSpan] = uint64(r.End - r.Start - u.Elapsed)
	}
	setUsage((*usageRow)(w[colUsage:]), u, since(r))
}

// usageRow is a Usage as numbers, all but its name.
type usageRow [usageColumns]uint64

func setUsage(w *usageRow, u *watch.Usage, since int64) {
	w[useGroups], w[useUID], w[useGID] = uint64(u.Groups), uint64(u.UID), uint64(u.GID)
	w[usePPID], w[useThreads] = uint64(int64(u.PPID)), uint64(int64(u.Threads))
	w[useNice], w[useSched], w[useFlags] = uint64(int64(u.Nice)), uint64(u.Sched), uint64(u.Flags)
	w[useBTime], w[useElapsed] = uint64(u.BTime-since), uint64(u.Elapsed)
	w[useCPU], w[useUser], w[useSystem] = uint64(u.CPU), uint64(u.User), uint64(u.System)
	w[useMinFault], w[useMajFault] = uint64(u.MinFault), uint64(u.MajFault)
	w[useMaxRSS], w[useMaxVM], w[useCoreMem], w[useVirtMem] = uint64(u.MaxRSS), uint64(u.MaxVM), uint64(u.CoreMem), uint64(u.VirtMem)
	w[useReadChars], w[useWriteChars] = uint64(u.ReadChars), uint64(u.WriteChars)
	w[useReadCalls], w[useWriteCalls] = uint64(u.ReadCalls), uint64(u.WriteCalls)
	w[useReadBytes], w[useWriteBytes] = uint64(u.ReadBytes), uint64(u.WriteBytes)
	w[useVolSwitch], w[useInvSwitch] = uint64(u.VolSwitch), uint64(u.InvSwitch)
	w[useCPUDelay], w[useBlkDelay] = uint64(u.CPUDelay), uint64(u.BlkDelay)
	w[useSwapDelay], w[useReclaimDelay] = uint64(u.SwapDelay), uint64(u.ReclaimDelay)
}

// since is what the Unix seconds of BTime are expected to be near to.
func since(r *job.Record) int64 {
	switch {
	case !r.Used:
		return 0
	case r.Start != 0:
		return r.Start / 1e9
	}
	return r.End / 1e9
}

func recordBits(r *job.Record) uint64 {
	return bit(r.Start != 0, bitStart) | bit(r.Exited, bitExited) | bit(r.Forked, bitForked) | bit(r.Estimated, bitEstimated) |
		bit(r.Used, bitUsed) | bit(r.Partial, bitPartial) | bit(r.Earlier != nil, bitEarlier)
}

func bit(on bool, b uint64) uint64 {
	if on {
		return b
	}
	return 0
}

// began is the time that the first exec of a record is told from.
func began(r *job.Record) int64 {
	if r.Start != 0 {
		return r.Start
	}
	return r.End
}
