package store

import (
	"slices"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// record fills in the i-th record. Its programs and earlier use are the decoder's.
func (d *decoder) record(i int, r *job.Record, fields Fields) {
	c := &d.recs.cells
	b := c[colBits][i]
	*r = job.Record{
		JID: d.jids[c[colJob][i]], PID: int32(c[colPID][i]), End: int64(c[colEnd][i]),
		Exited: b&bitExited != 0, Forked: b&bitForked != 0, Estimated: b&bitEstimated != 0, Used: b&bitUsed != 0, Partial: b&bitPartial != 0,
	}
	u := (*[usageColumns][]uint64)(c[colUsage:])
	getUsage(&r.Usage, u, i, fields)
	if b&bitStart != 0 {
		r.Start = r.End - int64(c[colSpan][i]) - r.Usage.Elapsed
	}
	if fields.has(FieldRest) {
		r.Usage.BTime += since(r)
	}
	if fields.has(FieldStatus) {
		r.Status = int64(c[colStatus][i])
	}
	if fields.has(FieldComm) {
		r.Usage.Comm = d.names[u[useComm][i]]
	}
	if fields.has(FieldExe) {
		r.Exe = d.names[c[colExe][i]]
	}
	if fields.has(FieldExecs) && d.ran.rows > 0 {
		d.getExecs(i, r)
	}
	if b&bitEarlier != 0 && fields.has(FieldEarlier) {
		d.getEarlier(i, r)
	}
}

func (d *decoder) getExecs(i int, r *job.Record) {
	from, to := d.ranFrom[i], d.ranFrom[i+1]
	if from == to {
		return
	}
	c, n, at := &d.ran.cells, len(d.execs), began(r)
	for k := from; k < to; k++ {
		at += int64(c[execAt][k])
		d.execs = append(d.execs, job.Exec{At: at, Exe: d.names[c[execExe][k]], Args: d.args[c[execArgs][k]]})
	}
	r.Execs = slices.Clip(d.execs[n:])
}

func (d *decoder) getEarlier(i int, r *job.Record) {
	row := int(d.usedAt[i])
	c := (*[usageColumns][]uint64)(d.used.cells[:])
	d.earlier = append(d.earlier, watch.Usage{})
	r.Earlier = &d.earlier[len(d.earlier)-1]
	getUsage(r.Earlier, c, row, 0)
	r.Earlier.BTime += since(r)
	r.Earlier.Comm = d.names[c[useComm][row]]
}

// getUsage fills in the figures of the i-th row, all but the name; the second of BTime is less than it should be.
func getUsage(u *watch.Usage, c *[usageColumns][]uint64, i int, fields Fields) {
	u.Groups, u.Elapsed = watch.Group(c[useGroups][i]), int64(c[useElapsed][i])
	if fields.has(FieldIDs) {
		u.UID, u.GID, u.PPID = uint32(c[useUID][i]), uint32(c[useGID][i]), int32(c[usePPID][i])
	}
	if fields.has(FieldCPU) {
		u.CPU, u.User, u.System = int64(c[useCPU][i]), int64(c[useUser][i]), int64(c[useSystem][i])
	}
	if fields.has(FieldMemory) {
		u.MaxRSS, u.MaxVM = int64(c[useMaxRSS][i]), int64(c[useMaxVM][i])
		u.CoreMem, u.VirtMem = int64(c[useCoreMem][i]), int64(c[useVirtMem][i])
	}
	if fields.has(FieldIO) {
		u.ReadChars, u.WriteChars = int64(c[useReadChars][i]), int64(c[useWriteChars][i])
		u.ReadCalls, u.WriteCalls = int64(c[useReadCalls][i]), int64(c[useWriteCalls][i])
		u.ReadBytes, u.WriteBytes = int64(c[useReadBytes][i]), int64(c[useWriteBytes][i])
	}
	if fields.has(FieldRest) {
		getRest(u, c, i)
	}
}

func getRest(u *watch.Usage, c *[usageColumns][]uint64, i int) {
	u.BTime, u.Threads = int64(c[useBTime][i]), int32(c[useThreads][i])
	u.Nice, u.Sched, u.Flags = int8(c[useNice][i]), uint8(c[useSched][i]), uint8(c[useFlags][i])
	u.MinFault, u.MajFault = int64(c[useMinFault][i]), int64(c[useMajFault][i])
	u.VolSwitch, u.InvSwitch = int64(c[useVolSwitch][i]), int64(c[useInvSwitch][i])
	u.CPUDelay, u.BlkDelay = int64(c[useCPUDelay][i]), int64(c[useBlkDelay][i])
	u.SwapDelay, u.ReclaimDelay = int64(c[useSwapDelay][i]), int64(c[useReclaimDelay][i])
}
