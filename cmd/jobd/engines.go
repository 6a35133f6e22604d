package main

import (
	"iter"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// engine is what follows processes: kernel.BPF or kernel.Connector. All but Survey, Charges, Rouse and Settle belongs to the loop.
type engine interface {
	follower
	listener
	census
	registrar
	placer
	doubter
	exempter
	refuser
	charger
	bequeather
	hearer
	adjuster
}

// follower emits what happens to processes.
type follower interface {
	Name() string
	Ready() <-chan time.Time // there is something to drain, or Err says why there will be nothing any more
	Rest()
	Rouse()
	Settle()
	Err() error
	Drain(emit kernel.Emit) error
	Behind(moment int64) bool
	Counts() kernel.Counts
	Lag() time.Duration // how long after the end of a process its record may come
	Loss() error        // nil: nothing is missing that is still to be made good
	Close()
}

// listener says whether the kernel is heard at all.
type listener interface {
	Heard() int64
	ListenAgain() error
}

// census tells who lives, below whom, and what they run and have used.
type census interface {
	Existing() iter.Seq[watch.ID]
	Identify(pid int32) (watch.ID, bool)
	Alive(id watch.ID) bool
	Children(id watch.ID) []watch.ID
	Open(ids []watch.ID, drain func() error) ([]kernel.Handle, error)
	Exited(id watch.ID) int64
	Program(id watch.ID) *watch.Program
	ProgramsFailed() error
}

// registrar keeps who is in which job, and who was taken out of one.
type registrar interface {
	Attach(id watch.ID, label kernel.Label, now int64) error
	Detach(id watch.ID, now int64) error
	Forget(label kernel.Label) error
	Label(id watch.ID) kernel.Label
	Carries(id watch.ID) kernel.Label // Label, or what is still to be told
	Relabel(id watch.ID)
	Out(id watch.ID) bool
	Outcasts() []kernel.Outcast
}

// placer makes the kernel hold a job's mark, and says what speaks for a job.
type placer interface {
	Place(pid int32, jid job.JID) (job.Placement, error)
	PlaceHeld(jid job.JID) (job.Placement, error)
	Join(pid int32, p job.Placement) error
	Leave(pid int32, p job.Placement) error
	Unplace(p job.Placement) error
	OwnSession(pid int32) *uint32
	Testify(label kernel.Label, p job.Placement, session *uint32) string
}

// doubter finds where the table may be wrong: whose witnesses, or what /proc has, say something else.
type doubter interface {
	Survey() (kernel.Survey, error)
	Suspects(s kernel.Survey) []int32
	Differs(pid int32) string
	Claimed(pid int32) kernel.Label
	Unsettled() bool
	SettleLate() []watch.ID
}

// exempter finds who leaves a job by what they run.
type exempter interface {
	Exempted() (found []kernel.Exempted, more bool)
	ForkedSince(id watch.ID, at int64, refused func(pid int32) bool) []watch.ID
}

// refuser has forks beyond a job's limit refused by the kernel, where that can be. Children that a Clone refuses are killed.
type refuser interface {
	Limit(label kernel.Label, most *int) error
	Refusal() (how string, why error)
}

// charger says what jobs have used, where the kernel itself adds that up. Charges belongs to no loop.
type charger interface {
	Charges() (kernel.Charges, error)
	Charge(label kernel.Label) (ns int64, ok bool)
}

// bequeather goes on from the jobd before, and leaves what it knows to the next one.
type bequeather interface {
	Recover(open []job.Saved) (map[job.JID]kernel.Found, error)
	HandOver() ([]byte, error)
	Sockets() kernel.Sockets
	Keep()
}

// hearer tells of processes that are in no job as well, where somebody wants to hear of them. The connector hears of all anyway.
type hearer interface {
	HearAll(on bool) error            // of every process, until off
	Hear(id watch.ID, slot int) error // of the process and what descends from it from now on
	Unhear(slot int) error            // nobody in this slot any more
}

// adjuster is told what is to be otherwise from now on, when the configuration was read again.
type adjuster interface {
	SetExecs(mode kernel.ExecMode) error
	SetGroups(groups watch.Group)
	SetExempt(paths []string)
}
