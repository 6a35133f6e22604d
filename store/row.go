package store

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// The columns of a block: what of a record becomes which number. A later schema adds columns at the end; a reader that
// doesn't know them passes over them, one that misses some takes 0.
const (
	colJob    = iota // index into the block's list of JIDs
	colComm          // index into the block's list of names
	colPID           //
	colEnd           // Unix ns
	colSpan          // End-Start less Elapsed, ns: 0 or little; 0 where Start is not known
	colFlags         // the bits below
	colStatus        // wait(2)
	colGroups        // watch.Group
	colUID
	colGID
	colPPID
	colBTime // s, less those of Start (of End where that is not known)
	colNice
	colSched
	colACFlags
	colThreads
	colUsage // the first of usageFields
	columns  = colUsage + usages
)

const (
	flagStart = 1 << iota // Start is known
	flagExited
	flagForked
	flagEstimated
	flagUsed
)

const usages = 22

// usageFields lists the figures of a Usage in the order of their columns.
func usageFields(u *watch.Usage) [usages]*int64 {
	return [usages]*int64{
		&u.Elapsed, &u.CPU, &u.User, &u.System, &u.MinFault, &u.MajFault,
		&u.MaxRSS, &u.MaxVM, &u.CoreMem, &u.VirtMem,
		&u.ReadChars, &u.WriteChars, &u.ReadCalls, &u.WriteCalls, &u.ReadBytes, &u.WriteBytes,
		&u.VolSwitch, &u.InvSwitch,
		&u.CPUDelay, &u.BlkDelay, &u.SwapDelay, &u.ReclaimDelay,
	}
}

// row is a record as numbers, all but its JID and its name. Sums and differences may wrap around; they do so both ways.
type row [columns]int64

func (w *row) set(r *job.Record) {
	u := &r.Usage
	for i, p := range usageFields(u) {
		w[colUsage+i] = *p
	}
	w[colPID], w[colEnd], w[colStatus], w[colFlags] = int64(r.PID), r.End, r.Status, flags(r)
	w[colSpan], w[colBTime] = 0, u.BTime-seconds(r)
	if r.Start != 0 {
		w[colSpan] = r.End - r.Start - u.Elapsed
	}
	w[colGroups], w[colUID], w[colGID], w[colPPID] = int64(u.Groups), int64(u.UID), int64(u.GID), int64(u.PPID)
	w[colNice], w[colSched], w[colACFlags], w[colThreads] = int64(u.Nice), int64(u.Sched), int64(u.Flags), int64(u.Threads)
}

func (w *row) get(r *job.Record) {
	u, f := &r.Usage, w[colFlags]
	for i, p := range usageFields(u) {
		*p = w[colUsage+i]
	}
	r.PID, r.End, r.Status = int32(w[colPID]), w[colEnd], w[colStatus]
	r.Exited, r.Forked, r.Estimated, r.Used = f&flagExited != 0, f&flagForked != 0, f&flagEstimated != 0, f&flagUsed != 0
	if f&flagStart != 0 {
		r.Start = r.End - w[colSpan] - u.Elapsed
	}
	u.BTime = w[colBTime] + seconds(r)
	u.Groups, u.UID, u.GID, u.PPID = watch.Group(w[colGroups]), uint32(w[colUID]), uint32(w[colGID]), int32(w[colPPID])
	u.Nice, u.Sched, u.Flags, u.Threads = int8(w[colNice]), uint8(w[colSched]), uint8(w[colACFlags]), int32(w[colThreads])
}

// seconds is what BTime is expected to be near to.
func seconds(r *job.Record) int64 {
	switch {
	case !r.Used:
		return 0
	case r.Start != 0:
		return r.Start / 1e9
	}
	return r.End / 1e9
}

func flags(r *job.Record) int64 {
	var f int64
	for _, b := range [...]struct {
		on  bool
		bit int64
	}{{r.Start != 0, flagStart}, {r.Exited, flagExited}, {r.Forked, flagForked}, {r.Estimated, flagEstimated}, {r.Used, flagUsed}} {
		if b.on {
			f |= b.bit
		}
	}
	return f
}
