package job

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jobd-project/jobd/job/watch"
)

// handover is what a table knows beyond what is on file: with it the next one goes on as if it were this one.
type handover struct {
	Balance Balance
	Jobs    []handedJob
}

type handedJob struct {
	Saved    Saved
	POE      watch.ID
	Prime    watch.ID
	POEGone  bool
	Closed   bool
	Killed   bool
	Departed Totals
	Status   int64
	Exited   bool
	Members  []handedMember
	Due      []handedDue `json:",omitempty"`
	Ending   ending      `json:",omitzero"`
}

type handedMember struct {
	ID      watch.ID
	Since   int64
	Execs   int
	Ran     []handedRan // the newest first
	Before  Spent
	Start   uint64
	Born    bool
	Guessed bool
	Earlier *watch.Usage
}

// handedRan is a program that was run. Paths and arguments are bytes: nobody has to spell them in UTF-8.
type handedRan struct {
	Exe, Args          []byte
	Read, Since, Until int64
	Next               []byte // nil: nothing came after it, or that is not followed
}

// handedDue is a record that waits for what the process used. Its paths and arguments are beside it, as they are bytes.
type handedDue struct {
	ID     watch.ID
	Before Spent
	Record Record
	Exe    []byte
	Execs  []handedExec
}

type handedExec struct {
	At        int64
	Exe, Args []byte
}

// HandOver writes the table down for the next one, TakeOver of which goes on exactly where this one is left. Every event
// has to have been dispatched, and its effects carried out.
func (t *Table) HandOver() ([]byte, error) {
	h := handover{Balance: t.balance}
	dues := t.handOverDue()
	for _, e := range t.jobs {
		j := handedJob{
			Saved: t.saved(e), POE: e.poe, Prime: e.prime, POEGone: e.poeGone, Closed: e.closed, Killed: e.killed,
			Departed: e.departed, Status: e.status, Exited: e.exited,
			Due: dues[e], Ending: e.ending,
		}
		j.Saved.Estimated = e.Estimated // as it is: a view adds what follows from the figures
		for _, m := range e.members.All() {
			j.Members = append(j.Members, m.handOver())
		}
		h.Jobs = append(h.Jobs, j)
	}
	return json.Marshal(h)
}

// handOverDue gives the records that wait, by job.
func (t *Table) handOverDue() map[*entry][]handedDue {
	out := make(map[*entry][]handedDue)
	for id, d := range t.due.All() {
		h := handedDue{ID: id, Before: d.before, Record: *d.record, Exe: []byte(d.record.Exe)}
		for _, x := range d.record.Execs {
			h.Execs = append(h.Execs, handedExec{x.At, []byte(x.Exe), []byte(x.Args)})
		}
		h.Record.Exe, h.Record.Execs = "", nil
		out[d.job] = append(out[d.job], h)
	}
	return out
}

func (m *member) handOver() handedMember {
	h := handedMember{
		ID: m.id, Since: m.since, Execs: m.execs, Before: m.before, Start: m.start, Born: m.born, Guessed: m.guessed, Earlier: m.earlier,
	}
	for r := m.ran; r != nil; r = r.before {
		one := handedRan{Exe: []byte(r.what.Exe), Args: []byte(r.what.Args), Read: r.what.Read, Since: r.since, Until: r.until}
		if r.next != nil {
			one.Next = []byte(r.next.Exe)
		}
		h.Ran = append(h.Ran, one)
	}
	return h
}

// TakeOver goes on where HandOver left off. The table has to be new; the engine has to know the same processes by the same
// identities. An error leaves a table of no use.
func (t *Table) TakeOver(b []byte) error {
	var h handover
	if err := json.Unmarshal(b, &h); err != nil {
		return fmt.Errorf("cannot read what the jobd before left of its jobs: %w", err)
	}
	for i := range h.Jobs {
		if err := t.takeOver(&h.Jobs[i]); err != nil {
			return fmt.Errorf("cannot take over job %d: %w", h.Jobs[i].Saved.Seq, err)
		}
	}
	for i := range h.Jobs {
		if err := t.takeOverDue(&h.Jobs[i]); err != nil {
			return fmt.Errorf("cannot take over the records of job %d: %w", h.Jobs[i].Saved.Seq, err)
		}
	}
	t.balance = h.Balance
	return nil
}

func (t *Table) takeOver(h *handedJob) error {
	s := h.Saved
	switch {
	case t.jobs[s.JID] != nil:
		return ErrBusy
	case s.JID.HID() != t.cfg.HID || s.JID.Seq() == 0:
		return ErrOtherHost
	case s.BootID != Text(t.cfg.BootID):
		return fmt.Errorf("it is of boot %s", s.BootID)
	}
	e := &entry{
		Saved: s, poe: h.POE, prime: h.Prime, poeGone: h.POEGone, closed: h.Closed, killed: h.Killed,
		departed: h.Departed, status: h.Status, exited: h.Exited, ending: h.Ending,
	}
	e.Info.State, e.Processes, e.Entrants = Open, 0, nil
	t.jobs[s.JID] = e
	for i := range h.Members {
		m := h.Members[i].takeOver(e)
		sub, err := t.notify.Subscribe(m.id, Subscriber, nil)
		if err != nil {
			return err
		}
		sub.Data = m
		e.members.Set(m.id, m)
		if m.start != 0 {
			e.entrants++
		}
	}
	return nil
}

// takeOverDue has a job wait for its records. It comes when all members are there: who has gone is none of them.
func (t *Table) takeOverDue(h *handedJob) error {
	j := t.jobs[h.Saved.JID]
	for i := range h.Due {
		d := &h.Due[i]
		switch {
		case d.ID == watch.ID{}:
			return errors.New("one is of no process")
		case t.due.Get(d.ID).job != nil:
			return fmt.Errorf("process %d has gone twice", d.ID.PID)
		case t.member(d.ID) != nil:
			return fmt.Errorf("process %d: %w", d.ID.PID, ErrMember)
		}
		t.due.Set(d.ID, due{job: j, record: d.takeOver(j), before: d.Before})
		j.due++
	}
	return nil
}

func (d *handedDue) takeOver(j *entry) *Record {
	r := d.Record
	r.JID, r.Exe = j.JID, string(d.Exe)
	for _, x := range d.Execs {
		r.Execs = append(r.Execs, Exec{At: x.At, Exe: string(x.Exe), Args: string(x.Args)})
	}
	return &r
}

func (h *handedMember) takeOver(e *entry) *member {
	m := &member{
		id: h.ID, job: e, since: h.Since, execs: h.Execs, before: h.Before, start: h.Start, born: h.Born, guessed: h.Guessed, earlier: h.Earlier,
	}
	last := &m.ran
	for _, r := range h.Ran {
		one := &running{what: &watch.Program{Exe: string(r.Exe), Args: string(r.Args), Read: r.Read}, since: r.Since, until: r.Until}
		if r.Next != nil {
			one.next = &watch.Program{Exe: string(r.Next)}
		}
		*last, last = one, &one.before
	}
	return m
}
