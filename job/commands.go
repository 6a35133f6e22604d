package job

import (
	"fmt"
	"maps"
	"slices"

	"github.com/jobd-project/jobd/job/watch"
)

// Request is what a new job is made from.
type Request struct {
	Proc      watch.ID // the point of entry; zero: none, the job is held
	JID       JID      // 0: the next one
	Info      Info     // who and from where; the rest is the table's to fill in
	Placement Placement
	Nested    bool // made inside the job that Proc is in, and hung below it
	Held      bool
}

// Allocate gives the JID for a new job: the one that is wanted, else the next in sequence. It is used up by this.
func (t *Table) Allocate(want JID) (JID, error) {
	if t.drained {
		return 0, ErrDrained
	}
	if want != 0 {
		return want, t.allocated(want)
	}
	for t.next < t.limit {
		jid := NewJID(t.cfg.HID, t.next)
		t.next++
		if t.jobs[jid] == nil && jid.Seq() != 0 {
			return jid, nil
		}
	}
	return 0, ErrNoSequence
}

// allocated checks a JID that somebody asks for: of this host, and not given before, which every number below next may be.
func (t *Table) allocated(want JID) error {
	switch {
	case want.HID() != t.cfg.HID:
		return fmt.Errorf("%s: %w (%#x)", want, ErrOtherHost, t.cfg.HID)
	case t.jobs[want] != nil || want.Seq() < t.next:
		return fmt.Errorf("%d: %w", want.Seq(), ErrBusy)
	case want.Seq() >= t.limit:
		return fmt.Errorf("%d: %w: the numbers up to %d may be asked for", want.Seq(), ErrBusy, t.limit-1)
	}
	t.next = want.Seq() + 1
	return nil
}

// Create makes a job with a JID from Allocate. A process that is in a job already leaves it first when the new one is
// nested, else it is refused.
func (t *Table) Create(r Request) (Info, error) {
	if r.Proc == (watch.ID{}) && !r.Held {
		return Info{}, ErrNeedProcess
	}
	old := t.home(r.Proc)
	if old != nil && !r.Nested {
		return Info{}, ErrMember
	}
	e := &entry{Saved: Saved{Info: r.Info, Placement: r.Placement}, poe: r.Proc}
	e.JID, e.Seq, e.Host, e.BootID = r.JID, r.JID.Seq(), Text(t.cfg.Host), Text(t.cfg.BootID)
	e.State, e.Started, e.POE, e.Held = Open, t.wall, r.Proc.PID, r.Held
	if old != nil {
		e.hangBelow(old)
	}
	t.jobs[e.JID] = e
	t.emit(Opened{t.saved(e)})
	if r.Proc == (watch.ID{}) {
		return e.view(), nil
	}
	filed := t.isFiled(r.Proc)
	if old != nil {
		if err := t.leave(r.Proc, r.Placement.Before); err != nil {
			return Info{}, err
		}
	}
	if err := t.subscribe(r.Proc, e, false, Entrant{Before: r.Placement.Before}); err != nil {
		t.endIfEmpty(e, EndLost)
		return Info{}, err
	}
	t.readmit(Known{PID: r.Proc.PID, Start: r.Placement.POEStart})
	if old != nil {
		t.hasLeft(old, filed)
	}
	return e.view(), nil
}

// hasLeft looks after a job that a process was taken out of. Who is on file must not be claimed by it after a restart.
func (t *Table) hasLeft(e *entry, filed bool) {
	if !t.endIfEmpty(e, EndDetached) && filed {
		t.save(e)
	}
}

func (e *entry) hangBelow(parent *entry) {
	pj := parent.JID
	lj := pj
	if parent.LoginJID != nil {
		lj = *parent.LoginJID
	}
	e.ParentJID, e.LoginJID = &pj, &lj
	if parent.ParentJID != nil {
		e.Above = append(slices.Clone(parent.Above), *parent.ParentJID)
	}
}

// AddMark notes a session that was opened inside a job.
func (t *Table) AddMark(jid JID, m Mark) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	m.Time = t.wall
	e.Marks = append(e.Marks, m)
	t.save(e)
	return nil
}

// CloseSession notes that the process closed its session: of the job whose POE it is, else of the last mark that it
// made. It says whether there was one. A nested POE goes back to the job that it came from.
func (t *Table) CloseSession(id watch.ID) bool {
	m := t.member(id)
	if m == nil {
		return false
	}
	e := m.job
	for i := len(e.Marks) - 1; i >= 0; i-- {
		if e.Marks[i].PID == id.PID && !e.Marks[i].Closed {
			e.Marks[i].Closed = true
			t.save(e)
			return true
		}
	}
	if e.poe != id || e.closed {
		return false
	}
	e.closed = true
	t.save(e)
	return true
}

// IsPOE reports whether a process is its job's point of entry.
func (t *Table) IsPOE(id watch.ID) bool {
	e := t.home(id)
	return e != nil && e.poe == id
}

// POE gives a job's point of entry while that lives.
func (t *Table) POE(jid JID) (watch.ID, bool) {
	if e := t.jobs[jid]; e != nil && e.members.Get(e.poe) != nil {
		return e.poe, true
	}
	return watch.ID{}, false
}

// Former gives the job that a nested POE goes back to when it closes its session.
func (t *Table) Former(id watch.ID) (JID, bool) {
	m := t.member(id)
	if m == nil || m.job.poe != id || m.job.ParentJID == nil {
		return 0, false
	}
	if parent := t.jobs[*m.job.ParentJID]; parent == nil || parent.isOver() {
		return 0, false
	}
	return *m.job.ParentJID, true
}

// Attach puts a process that is in no job into one. Where it is in that job already, nothing happens. Call Save when all that
// are to be put into it have been; the same goes for Adopt and Move.
func (t *Table) Attach(id watch.ID, jid JID, as Entrant) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	if m := t.member(id); m != nil {
		if m.job == e {
			return nil
		}
		return fmt.Errorf("process %d is in job %d: %w", id.PID, m.job.Seq, ErrOtherJob)
	}
	if e.isOver() { // its books are still to be closed
		return fmt.Errorf("%d: %w", jid.Seq(), ErrNoJob)
	}
	if e.room() < 1 {
		return e.full()
	}
	return t.subscribe(id, e, false, as)
}

// Adopt is Attach for a process that a witness or a scan found to belong to the job: it was not seen joining. No limit keeps it out.
func (t *Table) Adopt(id watch.ID, jid JID, as Entrant) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	if m := t.member(id); m != nil {
		return ErrMember
	}
	return t.subscribe(id, e, true, as)
}

// Move takes a process from its job into another; the old one ends when it is empty then. What it has spent so far stays
// with the old one.
func (t *Table) Move(id watch.ID, jid JID, as Entrant) error {
	if e := t.jobs[jid]; e != nil && e.isOver() && t.home(id) != nil {
		return fmt.Errorf("%d: %w", jid.Seq(), ErrNoJob)
	} else if e != nil && e.room() < 1 && t.home(id) != nil && t.home(id) != e {
		return e.full()
	}
	return t.Return(id, jid, as)
}

// Return is Move for a process that belongs to the job: a witness says so, or it came from there. No limit keeps it out.
func (t *Table) Return(id watch.ID, jid JID, as Entrant) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	from := t.home(id)
	switch from {
	case nil:
		return fmt.Errorf("process %d: %w", id.PID, ErrNotMember)
	case e:
		return nil
	}
	filed := t.isFiled(id)
	if err := t.leave(id, as.Before); err != nil {
		return err
	}
	if err := t.subscribe(id, e, false, as); err != nil {
		return err
	}
	t.hasLeft(from, filed)
	return nil
}

// detachedMost bounds how many processes a job remembers that were taken out of it: the latest.
const detachedMost = 4096

// Detach takes a process out of its job, for good: known is its identity on file, so that no witness brings it back.
// What it has spent so far stays with the job. Call Save when all that are to be taken out have been.
func (t *Table) Detach(id watch.ID, known Known, spent Spent) (JID, error) {
	from := t.home(id)
	if from == nil {
		return 0, fmt.Errorf("process %d: %w", id.PID, ErrNotMember)
	}
	if err := t.leave(id, spent); err != nil {
		return 0, err
	}
	from.keepOut(known)
	t.endIfEmpty(from, EndDetached)
	return from.JID, nil
}

// KeepOut notes processes that descend from one that was taken out of a job: they have to be known by themselves. Of
// those noted before, the ones that living denies are dropped.
func (t *Table) KeepOut(jid JID, more []Known, living func(Known) bool) {
	e := t.jobs[jid]
	if e == nil {
		return // no witness of it is left
	}
	e.Placement.Detached = slices.DeleteFunc(e.Placement.Detached, func(k Known) bool { return !living(k) })
	e.keepOut(more...)
	t.save(e)
}

// keepOut lists processes as taken out, each once.
func (e *entry) keepOut(more ...Known) {
	d := e.Placement.Detached
	for _, k := range more {
		if !slices.Contains(d, k) {
			d = append(d, k)
		}
	}
	e.Placement.Detached = d[max(len(d)-detachedMost, 0):]
}

// Save asks for a job to be written down again, if it is still open.
func (t *Table) Save(jid JID) {
	if e := t.jobs[jid]; e != nil {
		t.save(e)
	}
}

// SaveUsed asks for every job to be written down that lost members since it was, so that their use is not forgotten
// with jobd.
func (t *Table) SaveUsed() {
	for _, e := range t.jobs {
		if e.used {
			t.save(e)
		}
	}
}

func (t *Table) save(e *entry) {
	e.used = false
	t.emit(Changed{t.saved(e)})
}

// home is the job that a process is in; nil for none.
func (t *Table) home(id watch.ID) *entry {
	if m := t.member(id); m != nil {
		return m.job
	}
	return nil
}

// leave ends a membership without an exit. What the process has spent as a member stays with the job.
func (t *Table) leave(id watch.ID, spent Spent) error {
	if m := t.member(id); m != nil {
		m.job.departed.AddSpent(spent.less(m.before))
	}
	return t.notify.Unsubscribe(id, Subscriber)
}

// endIfEmpty reports whether it did: a job that waits for records goes on, and is to be written down like any other.
func (t *Table) endIfEmpty(e *entry, reason Text) bool {
	return e.isOver() && t.jobs[e.JID] == e && t.end(e, t.mono, reason)
}

// Release lets a held job go: it ends when it is empty, now or later.
func (t *Table) Release(jid JID) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	if !e.Held {
		return fmt.Errorf("%d: %w", jid.Seq(), ErrNotHeld)
	}
	e.Held = false
	if !t.endIfEmpty(e, EndReleased) {
		t.save(e)
	}
	return nil
}

// Killed notes that somebody killed the job, for its end reason.
func (t *Table) Killed(jid JID) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	e.killed = true
	if e.Held {
		e.Held = false
		t.endIfEmpty(e, EndKilled)
	}
	return nil
}

// Tag sets tags of a job; an empty value takes the tag away.
func (t *Table) Tag(jid JID, tags map[string]string) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	e.Tags = maps.Clone(e.Tags)
	if e.Tags == nil {
		e.Tags = make(map[string]string)
	}
	for k, v := range tags {
		if v == "" {
			delete(e.Tags, k)
		} else {
			e.Tags[k] = v
		}
	}
	t.save(e)
	return nil
}

// SetPlacement replaces what is known of how the kernel holds the job: an audit session that was set late, a new cgroup.
func (t *Table) SetPlacement(jid JID, p Placement, in func(*Info)) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	p.Detached = e.Placement.Detached
	e.Placement = p
	if in != nil {
		in(&e.Info)
	}
	t.save(e)
	return nil
}

// Restore puts a job back into the table that was open when jobd last wrote it down, with the members that were found
// alive, and the records of those that have left since. Entrants has to have living ones only. poe is the zero ID when it is gone. Without members the job is
// closed: since when is unknown.
func (t *Table) Restore(s Saved, poe watch.ID, members []watch.ID, since, unended []*Record) error {
	if t.jobs[s.JID] != nil {
		return fmt.Errorf("%d: %w", s.Seq, ErrBusy)
	}
	e := &entry{Saved: s, poe: poe, poeGone: poe == watch.ID{}, closed: s.State == Lingering}
	e.Info.State, e.Processes = Open, 0
	e.Estimated = true
	e.departed.restore(&s.Info)
	e.TotalProcesses += len(since) - min(e.TotalProcesses, s.Processes)
	for _, r := range since {
		if r.Used {
			e.departed.Add(&r.Usage)
		}
	}
	for _, r := range unended {
		e.departed.Add(&r.Usage)
	}
	t.jobs[s.JID] = e
	if s.BootID != Text(t.cfg.BootID) {
		e.TotalProcesses = max(e.TotalProcesses, s.TotalProcesses)
		e.ended(t, EndBoot)
		return nil
	}
	t.catchUp(e)
	entrants := make(map[int32]Entrant)
	for _, in := range s.Entrants {
		entrants[in.PID] = in
	}
	e.Entrants = nil // they are members now
	for _, id := range members {
		as := entrants[id.PID]
		if id == poe {
			as = Entrant{Before: s.Placement.Before}
		}
		if err := t.subscribe(id, e, true, as); err != nil {
			return err
		}
	}
	e.TotalProcesses = max(e.TotalProcesses, s.TotalProcesses) // with those that left unseen
	if len(members) == 0 && !e.Held {
		e.ended(t, EndLost)
		return nil
	}
	t.save(e)
	return nil
}

func (e *entry) ended(t *Table, reason Text) {
	e.Held = false
	t.end(e, t.mono, reason)
}

// Lost notes in every open job that events were lost while it was open.
func (t *Table) Lost() {
	for _, e := range t.jobs {
		e.Estimated = true
	}
}
