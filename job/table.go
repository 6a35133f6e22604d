package job

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// What a command may be refused for.
var (
	ErrNoJob       = errors.New("no such job")
	ErrNotMember   = errors.New("the process is in no job")
	ErrMember      = errors.New("the process is in a job already")
	ErrOtherJob    = errors.New("the process is in another job; move it instead")
	ErrBusy        = errors.New("the JID is taken")
	ErrDrained     = errors.New("no new jobs are made now: jobctl resume")
	ErrNoSequence  = errors.New("no sequence numbers are reserved: the store is behind")
	ErrOtherHost   = errors.New("the JID belongs to another host id")
	ErrFull        = errors.New("it is full; jobctl limit gives it more room")
	ErrNotHeld     = errors.New("the job is not held")
	ErrNeedProcess = errors.New("a job without a process has to be held")
)

// Subscriber is the name under which the table stands in pnotify.
const Subscriber = "job"

// Config is what a table has to be told of its host.
type Config struct {
	HID    uint32
	Host   string
	BootID string
	// Program says what a process runs now; nil where that is not known. It is asked about processes that become members
	// otherwise than by being born into a job. Without it nothing is known of what they ran.
	Program func(watch.ID) *watch.Program
}

// Table holds the open jobs and their members. It belongs to one loop.
type Table struct {
	cfg     Config
	notify  *pnotify.Table
	jobs    map[JID]*entry
	effects []Effect
	handed  []Effect // what Effects gave away last: taken up again when it is called next
	balance Balance  // Live is derived in Balance()

	due watch.Index[due] // by the process that is gone: what it used is still to come

	spare   []*member // of processes that have gone, for reuse
	records []*Record // nobody looks at any more, for reuse

	next, limit uint32 // sequence numbers from next up to limit-1 may be given
	drained     bool
	wall        time.Time     // what the wall clock said …
	mono        int64         // … when CLOCK_MONOTONIC said this
	slept       int64         // ns that CLOCK_MONOTONIC has stood still since boot
	stepped     int64         // stamps of before are of before the wall clock was set …
	by          time.Duration // … by this much
	last        int64         // end of the last record, Unix ns: it may be of after the last Sync
}

// entry is an open job in the table.
type entry struct {
	Saved
	members  watch.Index[*member]
	entrants int // of the members, those whose start is known
	poe      watch.ID
	poeGone  bool
	used     bool // members have left since it was written down last
	closed   bool
	killed   bool
	prime    watch.ID // the first process that ran a program here
	departed Totals
	status   int64  // wait(2) status of the last member that left, …
	exited   bool   // … if one did
	due      int    // records that wait for what a process used: the job does not end before they are in the books …
	ending   ending // … but did when this says, if nobody has joined since
}

// member is a process's place in its job; pnotify carries it as the process's data.
type member struct {
	id      watch.ID
	job     *entry
	since   int64 // CLOCK_MONOTONIC ns
	execs   int
	ran     *running // what it runs; nil: not known
	before  Spent    // used before it became a member
	start   uint64   // of an entrant: clock ticks since boot; 0: it is none, or that is not known
	born    bool     // forked into the job while it was watched, so since is its start
	guessed bool     // not seen joining: found by a scan or settled by a witness

	earlier *watch.Usage // what checkpoints have written down of it
}

// New makes an empty table and registers it with n.
func New(n *pnotify.Table, cfg Config) (*Table, error) {
	t := &Table{cfg: cfg, notify: n, jobs: make(map[JID]*entry)}
	err := n.Register(&pnotify.Events{
		Name: Subscriber, Owner: "jobd", Data: t,
		Fork: t.fork, Exec: t.exec, Exit: t.exit,
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Effects hands over what has to be done since the last call. The slice is valid until the next one, and so are the
// records in it.
func (t *Table) Effects() []Effect {
	t.reuse(t.handed)
	clear(t.handed)
	t.effects, t.handed = t.handed[:0], t.effects
	return t.handed
}

// Reserve lets the table give the sequence numbers from first up to limit-1. They must be on disk as used before.
func (t *Table) Reserve(first, limit uint32) {
	if first != t.limit {
		t.next = first // not the block that follows on
	}
	t.limit = limit
}

// Left counts the reserved sequence numbers that are still to be given.
func (t *Table) Left() uint32 {
	if t.limit <= t.next {
		return 0
	}
	return t.limit - t.next
}

// Drain stops (or, with false, resumes) the making of jobs. Open ones go on.
func (t *Table) Drain(on bool) { t.drained = on }

// Drained reports whether jobs are made now.
func (t *Table) Drained() bool { return t.drained }

// Open counts the open jobs.
func (t *Table) Open() int { return len(t.jobs) }

// Jobs gives the open jobs, newest first.
func (t *Table) Jobs() []Info {
	out := make([]Info, 0, len(t.jobs))
	for _, e := range t.jobs {
		out = append(out, e.view())
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(b.JID, a.JID) })
	return out
}

// Brief is the little of an open job that is asked for often: a scrape looks at all of them.
type Brief struct {
	JID       JID
	User      string
	State     State
	Processes int
	Placement Placement
	Departed  Totals // what members that have gone had used
}

// Briefs gives every open job in brief, in no order.
func (t *Table) Briefs() []Brief {
	out := make([]Brief, 0, len(t.jobs))
	for _, e := range t.jobs {
		out = append(out, Brief{e.JID, e.User, e.state(), e.members.Len(), e.Placement, e.departed})
	}
	return out
}

// Job gives one open job.
func (t *Table) Job(jid JID) (Info, error) {
	e, err := t.entry(jid)
	if err != nil {
		return Info{}, err
	}
	return e.view(), nil
}

// Saved gives one open job as it is kept on disk.
func (t *Table) Saved(jid JID) (Saved, error) {
	e, err := t.entry(jid)
	if err != nil {
		return Saved{}, err
	}
	return t.saved(e), nil
}

// Members gives the processes of a job, oldest pid first.
func (t *Table) Members(jid JID) ([]watch.ID, error) {
	e, err := t.entry(jid)
	if err != nil {
		return nil, err
	}
	ids := e.members.IDs()
	slices.SortFunc(ids, func(a, b watch.ID) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Gen, b.Gen))
	})
	return ids, nil
}

// Prime gives the process that the job's command is named after: the first that ran a program in it, else the POE.
func (t *Table) Prime(jid JID) (watch.ID, bool) {
	e := t.jobs[jid]
	switch {
	case e == nil:
		return watch.ID{}, false
	case e.members.Get(e.prime) != nil:
		return e.prime, true
	default:
		return e.poe, e.members.Get(e.poe) != nil
	}
}

// Oldest gives the member of a job that joined it first of those that are left.
func (t *Table) Oldest(jid JID) (oldest watch.ID, ok bool) {
	e := t.jobs[jid]
	if e == nil {
		return watch.ID{}, false
	}
	var since int64
	for id, m := range e.members.All() {
		if !ok || m.since < since || m.since == since && cmp.Or(cmp.Compare(id.PID, oldest.PID), cmp.Compare(id.Gen, oldest.Gen)) < 0 {
			oldest, since, ok = id, m.since, true
		}
	}
	return oldest, ok
}

// Before gives what a member had used before it became one.
func (t *Table) Before(id watch.ID) Spent {
	if m := t.member(id); m != nil {
		return m.before
	}
	return Spent{}
}

// Find gives the job that a process is in; 0 for none.
func (t *Table) Find(id watch.ID) JID {
	if m := t.member(id); m != nil {
		return m.job.JID
	}
	return 0
}

// Owner gives the job that a process is in, and whose that is; 0 for none.
func (t *Table) Owner(id watch.ID) (jid JID, uid uint32, user string) {
	m := t.member(id)
	if m == nil {
		return 0, 0, ""
	}
	return m.job.JID, m.job.UID, m.job.User
}

// Lingers reports whether a job's login is over and processes are left in it. One that is held waits for more.
func (t *Table) Lingers(jid JID) bool {
	e := t.jobs[jid]
	return e != nil && e.state() == Lingering && !e.Held && e.members.Len() > 0
}

// Family gives jid and every open job whose parent_jid chain leads to it, jid first. Jobs in the middle of the chain may have ended.
func (t *Table) Family(jid JID) []JID {
	out := []JID{jid}
	for i := 0; i < len(out); i++ {
		for _, e := range t.jobs {
			if e.isBelow(out[i]) && !slices.Contains(out, e.JID) {
				out = append(out, e.JID)
			}
		}
	}
	return out
}

func (e *entry) isBelow(jid JID) bool {
	return e.ParentJID != nil && *e.ParentJID == jid || slices.Contains(e.Above, jid)
}

// Balance gives the balance of all jobs since the table was made. Live is counted from the jobs' own lists.
func (t *Table) Balance() Balance {
	b := t.balance
	for _, e := range t.jobs {
		b.Live += uint64(e.members.Len())
	}
	return b
}

func (t *Table) entry(jid JID) (*entry, error) {
	if e := t.jobs[jid]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%d: %w", jid.Seq(), ErrNoJob)
}

func (t *Table) member(id watch.ID) *member {
	s := t.notify.Get(id, Subscriber)
	if s == nil {
		return nil
	}
	m, _ := s.Data.(*member)
	return m
}

func (t *Table) emit(e Effect) { t.effects = append(t.effects, e) }

// view is the job as others see it now.
func (e *entry) view() Info {
	in := e.Info
	in.Processes = e.members.Len()
	in.Marks = slices.Clone(e.Marks)
	in.Tags = maps.Clone(e.Tags)
	in.State = e.state()
	e.departed.fill(&in)
	if e.exited {
		status, raw := ExitStatus(e.status), e.status
		in.ExitStatus, in.WaitStatus = &status, &raw
	}
	return in
}

func (e *entry) state() State {
	if e.poeGone || e.closed || e.due > 0 && e.isOver() {
		return Lingering
	}
	return Open
}

// saved is the job as it is kept on disk.
func (t *Table) saved(e *entry) Saved {
	s := e.Saved
	s.Info, s.AsOf, s.Uptime = e.view(), max(t.wall.UnixNano(), t.last), t.mono+t.slept
	s.Placement.Detached = slices.Clone(s.Placement.Detached)
	s.Entrants = e.listEntrants()
	return s
}
