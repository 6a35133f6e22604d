package job

import (
	"fmt"
	"math"
)

// Limit says how many processes a job may have: forks beyond are refused from now on. With 0 that is every fork. Those that are there
// stay, and whoever a witness finds comes in. nil: as many as there are.
func (t *Table) Limit(jid JID, most *int) error {
	e, err := t.entry(jid)
	if err != nil {
		return err
	}
	if e.MaxProcesses = nil; most != nil {
		n := *most
		e.MaxProcesses = &n
	}
	t.save(e)
	return nil
}

// Room reports, by ErrFull, that so many more processes may not be put into a job.
func (t *Table) Room(jid JID, more int) error {
	e, err := t.entry(jid)
	if err == nil && e.room() < more {
		err = e.full()
	}
	return err
}

// room is how many more may come, or less than none.
func (e *entry) room() int {
	if e.MaxProcesses == nil {
		return math.MaxInt
	}
	return *e.MaxProcesses - e.members.Len()
}

func (e *entry) full() error {
	return fmt.Errorf("job %d has %d processes of %d: %w", e.Seq, e.members.Len(), *e.MaxProcesses, ErrFull)
}
