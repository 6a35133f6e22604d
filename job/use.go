package job

import "github.com/jobd-project/jobd/job/watch"

// Use is what a record adds to the books: of a process with partial records what those before it do not hold.
type Use struct {
	watch.Usage       // what is not known is 0
	Wall        int64 // ns; -1: not known
}

// Net gives what a record adds.
func (r *Record) Net() (u Use) {
	if r.Used {
		u.Usage = r.Usage
		blank(&u.Usage)
	}
	u.Wall = r.wall()
	if r.Earlier == nil || r.Partial {
		return u
	}
	less(&u.Usage, r.Earlier)
	if u.Wall >= 0 {
		u.Wall = max(u.Wall-r.Earlier.Elapsed, 0)
	}
	return u
}

// wall is for how long a process was there, of a partial record since the one before; -1: not known. The stamps of start
// and end are those of the process; the kernel's own figure is of a thread.
func (r *Record) wall() int64 {
	switch {
	case !r.Partial && r.Start != 0:
		return max(r.End-r.Start, 0)
	case r.Used && r.Usage.Groups.Has(watch.GroupBasic):
		return max(r.Usage.Elapsed, 0)
	}
	return -1
}

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

// Sum is what some records add to a report, together.
type Sum struct {
	Records   int64
	Processes int64 // that ended: a record that is not partial each
	Wall      int64 // ns
	CPU       int64 // ns, as User and System
	User      int64
	System    int64
	MaxRSS    int64 // bytes, as what follows; the largest
	CoreMem   int64 // MiB·µs
	Read      int64
	Write     int64
	Groups    watch.Group // that are known of all of them; meaningless while there are none
	Estimated bool        // one of them is, or its time is not known
}

// Add takes in what a record adds.
func (s *Sum) Add(r *Record) {
	groups := watch.Group(0)
	if r.Used {
		groups = r.Usage.Groups
	}
	if s.Records == 0 {
		s.Groups = groups
	}
	s.Groups &= groups
	s.Records++
	if !r.Partial {
		s.Processes++
	}
	s.Estimated = s.Estimated || r.Estimated
	const summed = watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO
	if groups.Has(summed) && (r.Earlier == nil || r.Partial) { // most are: Net would copy them for nothing
		s.use(&r.Usage, r.wall())
		return
	}
	u := r.Net()
	s.use(&u.Usage, u.Wall)
}

func (s *Sum) use(u *watch.Usage, wall int64) {
	s.Wall += max(wall, 0)
	s.CPU += u.CPU
	s.User += u.User
	s.System += u.System
	s.MaxRSS = max(s.MaxRSS, u.MaxRSS)
	s.CoreMem += u.CoreMem
	s.Read += u.ReadBytes
	s.Write += u.WriteBytes
	s.Estimated = s.Estimated || wall < 0
}
