package job

import (
	"cmp"
	"slices"

	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// fork: a child is born into its parent's job. One that is refused is a member as well until it has been killed: it uses what is
// the job's, and may have forked already.
func (t *Table) fork(child, parent *pnotify.Subscriber, e *watch.Event) pnotify.Answer {
	p := parent.Data.(*member)
	refused := !e.Admitted && p.job.room() < 1
	t.join(child, p, e.Mono, e.Inferred)
	if refused {
		return pnotify.Refuse
	}
	return pnotify.Keep
}

// exec: the first program that is run in a job by anybody but its POE gives the job its command.
func (t *Table) exec(s *pnotify.Subscriber, e *watch.Event) {
	m := s.Data.(*member)
	m.runs(e.Program, e.Mono)
	if m.job.prime == (watch.ID{}) && (m.id != m.job.poe || m.born) {
		m.job.prime = m.id
	}
}

// exit: a member has gone, or (e nil) was taken out.
func (t *Table) exit(s *pnotify.Subscriber, e *watch.Event) {
	m := s.Data.(*member)
	defer t.keepMember(m)
	j := m.job
	j.members.Delete(m.id)
	if m.start != 0 {
		j.entrants--
	}
	t.balance.Departed++
	if m.id == j.poe {
		j.poeGone = true
	}
	if e == nil {
		if m.id == j.poe {
			j.Placement.POEStart = 0 // nothing is to find it again
		}
		m.ends(t.mono, nil)
		return // detached or moved: whoever did it says what becomes of the job
	}
	m.ends(e.Mono, nil)
	j.Estimated = j.Estimated || e.Inferred
	if e.Later {
		t.await(m, t.record(m, e))
	} else {
		t.book(m.id, j, t.record(m, e), m.before.Off(e.Usage))
	}
	if e.Valid {
		j.status, j.exited = e.Value, true
		if m.id == j.poe {
			status := ExitStatus(e.Value)
			j.POEExitStatus = &status
		}
	}
	if j.isOver() {
		t.end(j, e.Mono, endReason(j, e))
	}
}

func endReason(j *entry, e *watch.Event) Text {
	switch {
	case j.killed:
		return EndKilled
	case e.Inferred:
		return EndLost
	default:
		return EndExit
	}
}

// join makes the process of s a member of its parent's job. One that was not seen being forked may have run another
// program since.
func (t *Table) join(s *pnotify.Subscriber, parent *member, mono int64, inferred bool) {
	j := parent.job
	m := t.newMember()
	*m = member{id: s.Proc, job: j, since: mono, born: !inferred, guessed: inferred, ran: parent.ran}
	if inferred {
		m.ran = t.found(m.id)
	}
	s.Data = m
	j.members.Set(m.id, m)
	j.TotalProcesses++
	j.PeakProcesses = max(j.PeakProcesses, j.members.Len())
	if inferred {
		t.balance.Adopted++
		t.emit(Joined{JID: j.JID, ID: m.id})
	} else {
		t.balance.Inherited++
	}
}

// subscribe puts a process that was in no job into j, on request (attached) or by a witness (adopted).
func (t *Table) subscribe(id watch.ID, j *entry, adopted bool, as Entrant) error {
	s, err := t.notify.Subscribe(id, Subscriber, nil)
	if err != nil {
		return err
	}
	m := t.newMember()
	*m = member{id: id, job: j, since: t.mono, guessed: adopted, before: as.Before, start: as.Start, ran: t.found(id)}
	if m.start != 0 {
		j.entrants++
	}
	s.Data = m
	j.members.Set(id, m)
	j.TotalProcesses++
	j.PeakProcesses = max(j.PeakProcesses, j.members.Len())
	if adopted {
		t.balance.Adopted++
	} else {
		t.balance.Attached++
	}
	t.emit(Joined{JID: j.JID, ID: id})
	t.readmit(as.Known)
	return nil
}

// readmit takes a process off the lists of those that were taken out of a job: it has been put into one since.
func (t *Table) readmit(known Known) {
	if known.Start == 0 {
		return
	}
	for _, e := range t.jobs {
		if i := slices.Index(e.Placement.Detached, known); i >= 0 {
			e.Placement.Detached = slices.Delete(e.Placement.Detached, i, i+1)
			t.save(e)
		}
	}
}

// isFiled reports whether a process is a member that is on file by its start.
func (t *Table) isFiled(id watch.ID) bool {
	m := t.member(id)
	return m != nil && (m.start != 0 || m.id == m.job.poe)
}

// entrantsMost bounds how many entrants of a job are kept on disk.
const entrantsMost = 4096

func (e *entry) listEntrants() []Entrant {
	if e.entrants == 0 {
		return nil
	}
	var out []Entrant
	for id, m := range e.members.All() {
		if m.start != 0 && len(out) < entrantsMost {
			out = append(out, Entrant{Known{id.PID, m.start}, m.before})
		}
	}
	slices.SortFunc(out, func(a, b Entrant) int { return cmp.Compare(a.PID, b.PID) })
	return out
}

// spareMost is how many members are kept for reuse: a storm has few alive at a time.
const spareMost = 1024

func (t *Table) newMember() *member {
	if n := len(t.spare); n > 0 {
		m := t.spare[n-1]
		t.spare = t.spare[:n-1]
		return m
	}
	return new(member)
}

// keepMember takes a member back that nobody points to any more: a pointer to one does not outlive the call that leaves.
func (t *Table) keepMember(m *member) {
	*m = member{}
	if len(t.spare) < spareMost {
		t.spare = append(t.spare, m)
	}
}

// end closes the job's books. It happens once: the entry is gone afterwards. While records are due it only notes that it
// should have, and reports false.
func (t *Table) end(j *entry, mono int64, reason Text) bool {
	if j.due > 0 {
		j.ending = ending{mono, reason}
		return false
	}
	delete(t.jobs, j.JID)
	s := t.saved(j)
	ended := t.At(mono)
	if t.beforeStep(mono) {
		s.Started = s.Started.Add(-t.by) // by the clock of its end
	}
	if ended.Before(s.Started) {
		ended = s.Started // of another boot, whose clock was ahead
	}
	s.State, s.Ended, s.EndReason, s.Processes = Ended, &ended, reason, 0
	t.emit(EndedJob{s})
	return true
}
