package job

import "github.com/jobd-project/jobd/job/watch"

// Totals is what processes used, added up. Durations are ns, sizes bytes.
type Totals struct {
	Records int // processes whose record is in here
	Missed  int // processes that left without one

	CPU, User, System     int64
	MaxRSS                int64
	ReadBytes, WriteBytes int64
	Groups                watch.Group // known for every record so far
}

// Add takes in one process's use; nil is a record that was missed.
func (t *Totals) Add(u *watch.Usage) {
	if u == nil {
		t.Missed++
		return
	}
	if t.Records == 0 {
		t.Groups = u.Groups
	}
	t.Groups &= u.Groups
	t.Records++
	t.CPU += u.CPU
	t.User += u.User
	t.System += u.System
	t.MaxRSS = max(t.MaxRSS, u.MaxRSS)
	t.ReadBytes += u.ReadBytes
	t.WriteBytes += u.WriteBytes
}

// AddSpent takes in what a process had used when it was taken out: there is no record of it.
func (t *Totals) AddSpent(s Spent) {
	t.CPU += s.CPU
	t.User += s.User
	t.System += s.System
	t.ReadBytes += s.ReadBytes
	t.WriteBytes += s.WriteBytes
}

// fill puts the figures into a job's view. With no process gone yet the sums are known to be 0.
func (t *Totals) fill(in *Info) {
	in.CPUSource = SourceTaskstats
	in.Estimated = in.Estimated || t.Missed > 0
	known := func(g watch.Group, v int64) *int64 {
		if t.Records > 0 && !t.Groups.Has(g) {
			return nil
		}
		return &v
	}
	in.CPU = known(watch.GroupCPU, t.CPU)
	in.CPUUser = known(watch.GroupBasic, t.User)
	in.CPUSystem = known(watch.GroupBasic, t.System)
	in.MaxRSS = known(watch.GroupMemory, t.MaxRSS)
	in.ReadBytes = known(watch.GroupIO, t.ReadBytes)
	in.WriteBytes = known(watch.GroupIO, t.WriteBytes)
}

// AddLive adds what living members have used so far, so that today's hog does not show 0. A nil entry is a process
// whose use could not be read: the sums are then estimates.
func (in *Info) AddLive(live []*watch.Usage) {
	for _, u := range live {
		if u == nil {
			in.Estimated = true
			continue
		}
		add(in.CPU, u.CPU, u.Groups.Has(watch.GroupCPU))
		add(in.CPUUser, u.User, u.Groups.Has(watch.GroupBasic))
		add(in.CPUSystem, u.System, u.Groups.Has(watch.GroupBasic))
		add(in.ReadBytes, u.ReadBytes, u.Groups.Has(watch.GroupIO))
		add(in.WriteBytes, u.WriteBytes, u.Groups.Has(watch.GroupIO))
		if in.MaxRSS != nil && u.Groups.Has(watch.GroupMemory) {
			*in.MaxRSS = max(*in.MaxRSS, u.MaxRSS)
		}
	}
}

func add(sum *int64, v int64, known bool) {
	if sum != nil && known {
		*sum += v
	}
}

// SetCPU puts in what the scheduler charged to the job since it was opened, as its cgroup or the kernel's own sum has it, and the part of
// it that no process record holds. That part is never negative: a record can be ahead of a sample that was taken before it.
func (in *Info) SetCPU(ns int64, source Text) {
	seen := int64(0)
	if in.CPU != nil {
		seen = *in.CPU
	}
	total := max(ns, seen)
	rest := total - seen
	in.CPU, in.CPUUnattributed, in.CPUSource = &total, &rest, source
}

// restore takes up the figures of a job that was written down before.
func (t *Totals) restore(in *Info) {
	get := func(p *int64) int64 {
		if p == nil {
			return 0
		}
		return *p
	}
	t.CPU, t.User, t.System = get(in.CPU), get(in.CPUUser), get(in.CPUSystem)
	t.MaxRSS, t.ReadBytes, t.WriteBytes = get(in.MaxRSS), get(in.ReadBytes), get(in.WriteBytes)
}
