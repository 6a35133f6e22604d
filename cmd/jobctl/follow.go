package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// following is a command that is followed with all that it starts, from before it began.
type following struct {
	job   *job.JID // that jobctl was in then; nil: in none
	began time.Time
	spent spent // by jobctl and by what it had waited for
}

// spent is CPU time, as the kernel charged it.
type spent struct{ self, user, system time.Duration }

// cpuSpent reads getrusage(2). Children are those that have been waited for, with what they had waited for: the kernel adds
// up what the scheduler charged them, and misses no short one.
func cpuSpent() spent {
	var self, children unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &self) // can't fail with an address of ours
	_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &children)
	span := func(t unix.Timeval) time.Duration { return time.Duration(t.Nano()) }
	return spent{span(self.Utime) + span(self.Stime), span(children.Utime), span(children.Stime)}
}

// runFollowed runs a command, and says on stderr what it all used: as root in a session, as run does; else as it is.
func (a *app) runFollowed(ctx context.Context, command []string, r running) error {
	do := "run " + command[0]
	f, err := a.follow(ctx)
	if err != nil {
		return runFailure(do, err)
	}
	switch {
	case a.euid == 0 || r.session:
		err = a.run(ctx, command, r)
	case f.job == nil:
		err = &hinted{errors.New("jobctl is in no job, where nobody counts"), "start it in a login, which is a job, or as root"}
		return cannot(do, err)
	default:
		err = cannot(do, runPlain(command))
	}
	var code exit
	if errors.As(err, &code) { // it ran
		a.summarise(ctx, f)
	}
	return err
}

// follow begins. An orphan of the command becomes a child of jobctl, not of init: whatever descends from the command has an
// ancestor here as long as jobctl lives. prctl(2), PR_SET_CHILD_SUBREAPER.
func (a *app) follow(ctx context.Context) (*following, error) {
	_, _ = os.FindProcess(os.Getpid()) // package os tries pidfds out once, by a child: before the command, not among its own
	own, err := a.client().ID(ctx, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot keep the command's orphans: %w", err)
	}
	return &following{job: own.JID, began: a.now(), spent: cpuSpent()}, nil
}

// summarise prints what the command and all that it started used. What cannot be found out spoils nothing: the command
// has run, and its exit code is what counts.
func (a *app) summarise(ctx context.Context, f *following) {
	lasted := a.now().Sub(f.began)
	reapOrphans()
	now := cpuSpent()
	u := &use{user: now.user - f.spent.user, system: now.system - f.spent.system}
	u.cpu = u.user + u.system
	err := a.fill(ctx, f, u, now.self-f.spent.self)
	_ = u.facts(lasted, err == nil).write(a.stderr, a.width)
	if err != nil {
		fmt.Fprintln(a.stderr, "jobctl: cannot tell more: "+plain(err.Error()))
		return
	}
	_ = a.noteGaps(ctx, control.Request{Since: f.began}, true)
}

// fill adds what jobd knows: of the whole job where it was made for the command, else of what descends from jobctl in it.
func (a *app) fill(ctx context.Context, f *following, u *use, self time.Duration) error {
	c := a.client()
	own, err := c.ID(ctx, 0)
	if err != nil {
		return err
	}
	if own.JID == nil {
		return errors.New("jobctl is in no job any more")
	}
	list, err := a.everything(ctx, control.Request{Job: control.Self, Since: f.began})
	if err != nil {
		return err
	}
	whole := f.job == nil || *f.job != *own.JID
	mine, strays := descendants(list, int32(os.Getpid()), f.began)
	for i, p := range list {
		if mine[i] || whole && (p.PID != int32(os.Getpid()) || p.Ended != nil) {
			u.add(p)
		}
	}
	u.strays = strays
	u.settle()
	if whole {
		u.strays = 0
		return u.ofJob(ctx, c, self)
	}
	return nil
}

// everything gives the records that req asks for, and what lives in its job. The living are asked for first: who leaves
// meanwhile is found twice, and not missed.
func (a *app) everything(ctx context.Context, req control.Request) ([]job.Process, error) {
	asked := time.Now()
	live, err := a.client().PS(ctx, control.Request{Job: req.Job})
	var no *control.Error
	if err != nil && (!errors.As(err, &no) || no.Code != control.NoSuchJob) { // else it has ended
		return nil, err
	}
	gone, err := a.client().Procs(ctx, req)
	if err != nil {
		return nil, err
	}
	return merge(gone, live, asked), nil
}

// nobodyAgain is how long a pid is not given again: it goes round among thousands. The clocks of jobctl and jobd may differ
// by less.
const nobodyAgain = 100 * time.Millisecond

// merge puts records and those who lived when they were asked for together, and leaves out of the latter who has a record.
func merge(gone, live []job.Process, asked time.Time) []job.Process {
	left := make(map[int32]bool)
	for _, p := range gone {
		if p.Ended != nil && p.Ended.After(asked.Add(-nobodyAgain)) {
			left[p.PID] = true
		}
	}
	for _, p := range live {
		if !left[p.PID] {
			gone = append(gone, p)
		}
	}
	return gone
}

// descendants marks those of a list that descend from the process self, which lives, and counts those of which it cannot be
// said: they began meanwhile, and nobody knows whose children they were.
func descendants(list []job.Process, self int32, began time.Time) (mine []bool, strays int) {
	byPID := make(map[int32][]int)
	for i, p := range list {
		byPID[p.PID] = append(byPID[p.PID], i)
		if p.PPID == nil && (p.Started == nil || !p.Started.Before(began)) {
			strays++
		}
	}
	const (
		unknown = iota
		searching
		yes
		no
	)
	found := make([]int, len(list))
	var search func(i int) int
	search = func(i int) int {
		if found[i] != unknown { // searching is no yes: nobody is their own ancestor, whatever the records say
			return found[i]
		}
		found[i] = searching
		answer, p := no, &list[i]
		if p.PPID != nil && *p.PPID == self && (p.Ended == nil || !p.Ended.Before(began)) {
			answer = yes
		} else if parent := parentOf(list, byPID, i); parent >= 0 {
			answer = search(parent)
		}
		found[i] = answer
		return answer
	}
	mine = make([]bool, len(list))
	for i := range list {
		mine[i] = search(i) == yes
	}
	return mine, strays
}

// parentOf finds who had the pid of a process's parent when it ended, or has it: who was the last to get it until then. -1: it
// is not in the list.
func parentOf(list []job.Process, byPID map[int32][]int, child int) int {
	c := &list[child]
	if c.PPID == nil {
		return -1
	}
	best := -1
	for _, i := range byPID[*c.PPID] {
		p := &list[i]
		switch {
		case i == child, p.Started != nil && c.Ended != nil && p.Started.After(*c.Ended):
		case best < 0, p.Started != nil && (list[best].Started == nil || p.Started.After(*list[best].Started)):
			best = i
		}
	}
	return best
}
