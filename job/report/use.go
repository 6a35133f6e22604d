package report

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// use is what a record adds to the books: of a process with partial records what those before it do not hold.
type use struct {
	watch.Usage       // what is not known is 0
	wall        int64 // ns; -1: not known
}

// increment gives what a record adds.
func increment(r *job.Record) (u use) {
	if r.Used {
		u.Usage = r.Usage
		blank(&u.Usage)
	}
	u.wall = wall(r)
	if r.Earlier == nil || r.Partial {
		return u
	}
	less(&u.Usage, r.Earlier)
	if u.wall >= 0 {
		u.wall = max(u.wall-r.Earlier.Elapsed, 0)
	}
	return u
}

// wall is for how long a process was there, of a partial record since the one before; -1: not known. The stamps of start
// and end are those of the process; the kernel's own figure is of a thread.
func wall(r *job.Record) int64 {
	switch {
	case !r.Partial && r.Start != 0:
		return max(r.End-r.Start, 0)
	case r.Used && r.Usage.Groups.Has(watch.GroupBasic):
		return max(r.Usage.Elapsed, 0)
	}
	return -1
}

// span is the time of which the use is. Unix ns.
func (u *use) span(r *job.Record) (from, to int64) { return r.End - max(u.wall, 0), r.End }

// blank takes out what is in groups that are not known of every thread: a part of a figure is no figure.
func blank(u *watch.Usage) {
	if u.Groups.Has(watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupDelay) {
		return
	}
	if !u.Groups.Has(watch.GroupBasic) {
		u.User, u.System = 0, 0
	}
	if !u.Groups.Has(watch.GroupCPU) {
		u.CPU = 0
	}
	if !u.Groups.Has(watch.GroupMemory) {
		u.MaxRSS, u.CoreMem, u.VirtMem = 0, 0, 0
	}
	if !u.Groups.Has(watch.GroupIO) {
		u.ReadChars, u.WriteChars, u.ReadCalls, u.WriteCalls, u.ReadBytes, u.WriteBytes = 0, 0, 0, 0, 0, 0
	}
	if !u.Groups.Has(watch.GroupDelay) {
		u.CPUDelay, u.BlkDelay, u.SwapDelay = 0, 0, 0
	}
}

// less takes off what was counted before: of what is billed or reported, the sums. Figures that are rounded differently may
// cross; less than nothing is nothing.
func less(u, before *watch.Usage) {
	for _, f := range [...]struct {
		v *int64
		b int64
	}{
		{&u.CPU, before.CPU}, {&u.User, before.User}, {&u.System, before.System},
		{&u.CoreMem, before.CoreMem}, {&u.VirtMem, before.VirtMem},
		{&u.ReadChars, before.ReadChars}, {&u.WriteChars, before.WriteChars},
		{&u.ReadCalls, before.ReadCalls}, {&u.WriteCalls, before.WriteCalls},
		{&u.ReadBytes, before.ReadBytes}, {&u.WriteBytes, before.WriteBytes},
		{&u.CPUDelay, before.CPUDelay}, {&u.BlkDelay, before.BlkDelay}, {&u.SwapDelay, before.SwapDelay},
	} {
		*f.v = max(*f.v-f.b, 0)
	}
}
