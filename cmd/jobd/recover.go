package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// recover takes up the jobs that were open when jobd last ran, by what is on file. Jobs of another boot are closed; of the
// others the members are found again.
func (d *jobd) recover(open []job.Saved) error {
	d.syncClock() // by which the jobs' own times are taken up
	pasts := d.readPasts(open)
	queued := d.queued() // what is in there is from before, and about these jobs: they have to be there first
	if !queued {
		if err := d.drain(); err != nil { // what queued during the first scan
			return err
		}
	}
	var here []job.Saved
	for _, s := range open {
		if string(s.BootID) == d.boot {
			here = append(here, s)
		}
	}
	found, err := d.engine.Recover(here)
	if err != nil {
		return fmt.Errorf("cannot find the members of open jobs: %w", err)
	}
	if err := d.begin(time.Now()); err != nil { // from now on nothing is missed
		return err
	}
	if err := d.reserveFirst(); err != nil {
		return err
	}
	past, err := pasts()
	if err != nil {
		return err
	}
	for _, s := range open {
		if err := d.restore(s, found[s.JID], past[s.JID]); err != nil {
			return err
		}
	}
	if err := d.carryOut(nil); err != nil {
		return err
	}
	if err := d.limitAgain(); err != nil {
		return err
	}
	if err := d.journal.Compact(d.store.Waiting()); err != nil || !queued {
		return err
	}
	return d.drainAll()
}

// reserveFirst fetches the first sequence numbers, on disk before any is given.
func (d *jobd) reserveFirst() error {
	first, limit, err := d.store.Reserve(reserveBlock)
	if err != nil {
		return fmt.Errorf("cannot reserve sequence numbers: %w", err)
	}
	d.table.Reserve(first, limit)
	return nil
}

// restore puts one job back into the table, member by member.
func (d *jobd) restore(s job.Saved, f kernel.Found, past *pastOf) error {
	s.Parted = past.parted
	s.Entrants = slices.DeleteFunc(s.Entrants, func(e job.Entrant) bool {
		st, err := kernel.Proc.Stat(e.PID)
		if err != nil { // it has gone: the queue may still tell of it; or it cannot be looked at
			return !slices.ContainsFunc(f.Members, func(id watch.ID) bool { return id.PID == e.PID })
		}
		return st.Start != e.Start // its pid is another's now
	})
	if err := d.table.Restore(s, f.POE, f.Members, past.since, past.unended(f.Members)); err != nil {
		return fmt.Errorf("cannot take up job %d: %w", s.Seq, err)
	}
	for _, id := range f.Members {
		d.table.Resume(id, ownParts(id, past.parts[id.PID]))
	}
	if len(f.Members) > 0 {
		d.borrow(s)
	}
	d.log.Info("job taken up", "jid", s.JID, "seq", s.Seq, "user", s.User, "members", len(f.Members), "poe", f.POE != watch.ID{})
	return nil
}

// unlessDamaged is err, but for a value of the books that cannot be read: that is logged, and jobd goes on without it.
func (d *jobd) unlessDamaged(what string, err error) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	d.log.Error("a part of the books cannot be read: jobd db check says more", "part", what, "error", err)
	return nil
}

// lastOpen gives the jobs that were open when jobd stopped, the newest word on each: what the journal knows goes before what
// the store does, because it is newer.
func (d *jobd) lastOpen() ([]job.Saved, error) {
	journal, replayed, err := store.OpenJournal(d.journalPath())
	if err != nil {
		return nil, err
	}
	d.journal = journal
	if torn, skipped := journal.Damage(); torn || skipped > 0 {
		d.log.Warn("the journal was damaged", "torn", torn, "skipped", skipped)
	}
	stored, err := d.store.OpenJobs()
	if err := d.unlessDamaged("open jobs", err); err != nil {
		return nil, err
	}
	byJID := make(map[job.JID]job.Saved)
	for _, s := range stored {
		byJID[s.JID] = s
	}
	for _, s := range replayed {
		byJID[s.JID] = s
	}
	out := make([]job.Saved, 0, len(byJID))
	for _, s := range byJID {
		past, err := d.store.Job(s.JID)
		switch {
		case err == nil && past.State == job.Ended: // its end was committed, its journal line outlived it
		case s.State == job.Ended:
			d.store.EndJob(s) // its end was not
			d.account(&s.Info)
		default:
			out = append(out, s)
		}
	}
	return out, nil
}
