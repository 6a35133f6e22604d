package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// use is what a command used with all that it started.
type use struct {
	cpu          time.Duration // the most that anybody counted: each count misses something, none has too much
	user, system time.Duration // as far as they are known apart
	recorded     struct{ cpu, user, system, live time.Duration }
	processes    int
	living       int
	strays       int // that may belong here
	unread       int // whose use is not known, or in part
	maxRSS       int64
	read         int64
	written      int64
}

// add takes in a process that has gone, or one that lives.
func (u *use) add(p job.Process) {
	u.processes++
	if p.CPU == nil || p.MaxRSS == nil || p.ReadBytes == nil {
		u.unread++
	}
	cpu := time.Duration(known(p.CPU))
	u.recorded.cpu += cpu
	u.recorded.user += time.Duration(known(p.CPUUser))
	u.recorded.system += time.Duration(known(p.CPUSystem))
	if p.Ended == nil {
		u.living++
		u.recorded.live += cpu
		u.user += time.Duration(known(p.CPUUser)) // nobody has waited for it
		u.system += time.Duration(known(p.CPUSystem))
		u.cpu += cpu
	}
	u.maxRSS = max(u.maxRSS, known(p.MaxRSS))
	u.read += known(p.ReadBytes)
	u.written += known(p.WriteBytes)
}

func known(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// settle takes the larger of two counts. The records have those that nobody waited for, their parent having ignored
// SIGCHLD; what was waited for has all of the short ones.
func (u *use) settle() {
	if u.recorded.cpu > u.cpu {
		u.cpu, u.user, u.system = u.recorded.cpu, u.recorded.user, u.recorded.system
	}
}

// ofJob takes a job's own count, less what jobctl used in it, where the job's cgroup counts.
func (u *use) ofJob(ctx context.Context, c *control.Client, self time.Duration) error {
	in, err := c.Show(ctx, control.Self)
	if err != nil {
		return err
	}
	if in.CPU != nil && in.CPUSource != job.SourceTaskstats {
		u.cpu = max(u.cpu, time.Duration(*in.CPU)-self)
	}
	return nil
}

// facts are the figures, or without jobd's word just the first ones.
func (u *use) facts(lasted time.Duration, whole bool) *facts {
	f := &facts{}
	f.add("real", spanOf(lasted))
	f.add("cpu", spanOf(u.cpu)+when(!whole || u.strays > 0, " at least"))
	split := "user " + spanOf(u.user) + ", system " + spanOf(u.system)
	if rest := u.cpu - u.recorded.cpu; whole && rest > 0 {
		split += ", on no record " + spanOf(rest)
	}
	f.add("", split)
	if !whole {
		return f
	}
	f.add("processes", number(&u.processes)+when(u.living > 0, ", "+number(&u.living)+" still running"))
	if u.strays > 0 {
		f.add("", fmt.Sprintf("%d more may belong to it: nobody saw whose children they were", u.strays))
	}
	if u.unread > 0 {
		f.add("", fmt.Sprintf("of %d not all is known", u.unread))
	}
	f.add("memory", size(&u.maxRSS)+" at most in one process")
	f.add("disk", size(&u.read)+" read, "+size(&u.written)+" written")
	return f
}
