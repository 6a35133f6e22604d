package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// Stats is how the writing goes. Counts are since Open.
type Stats struct {
	Commits uint64 // that wrote something
	Records uint64 // process records on disk

	Queued      int    // records waiting
	QueuedJobs  int    // jobs waiting
	Dropped     uint64 // records that found the queue full, or the store closed
	DroppedJobs uint64 // the same for states of jobs

	Errors     uint64    // commits that failed; what they held is tried again
	LastError  error     // of the last one that failed, or was not tried
	Failing    bool      // the last commit failed, or history is halted
	LastCommit time.Time // zero: none yet
	FileSize   int64     // bytes

	Took    [len(CommitBounds) + 1]uint64 // commits that succeeded, by how long they took: up to each of CommitBounds, and longer
	TookSum time.Duration

	Halted    time.Time // since when history has been halted, for lack of room; zero: it is not
	HaltedWhy error     // nil: it is not
}

// CommitBounds are the upper bounds of Stats.Took, in seconds.
var CommitBounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5}

// PutJob hands over the state of a job that is open. The latest state of a job counts, and none after its end. What j
// points to must not be changed afterwards.
func (s *Store) PutJob(j job.Saved) { s.queue.putJob(&waitingJob{saved: j}) }

// EndJob hands over the final state of a job: it leaves the open ones and joins the ended. The first end of a job counts.
// Records that were handed over before are on disk no later than this.
func (s *Store) EndJob(j job.Saved) { s.queue.putJob(&waitingJob{saved: j, ended: true}) }

// PutRecord hands over a process record. The store copies it; what it points to must not be changed afterwards.
func (s *Store) PutRecord(r *job.Record) { s.queue.putRecord(r) }

// Flush waits until all that was handed over before is on disk, or gives the error of the attempt; what failed is kept
// and tried again later. While history is halted the error is ErrHalted.
func (s *Store) Flush(ctx context.Context) error {
	c := make(chan error, 1)
	if err := s.queue.flush(c); err != nil {
		return err
	}
	select {
	case err := <-c:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Waiting lists the jobs, open and ended, whose latest state was handed over and is not on disk yet. A journal has to
// hold these and no others.
func (s *Store) Waiting() []job.Saved { return s.queue.waiting() }

// Stats says how the writing goes.
func (s *Store) Stats() Stats {
	st := s.queue.snapshot()
	if fi, err := os.Stat(s.path); err == nil {
		st.FileSize = fi.Size()
	}
	return st
}

// run is the writer.
func (s *Store) run() {
	defer close(s.done)
	var log streaks
	chore := time.Now().Add(choreFirst)
	for {
		switch s.await(&log, chore) {
		case wakeQuit:
			s.final = s.commitWaiting(true)
			return
		case wakeChore:
			chore = s.chore()
		case wakeCommit:
			err := s.commitWaiting(false)
			log.commit(s, err)
			log.drops(s)
		}
	}
}

// streaks has each trouble logged once when it begins, however long it lasts.
type streaks struct {
	failed   int       // commits in a row
	tried    time.Time // the last of them
	halted   bool      // for lack of room
	told     uint64    // dropped when it was last looked at
	dropping bool
}

func (k *streaks) commit(s *Store, err error) {
	switch {
	case err == nil && k.failed > 0:
		s.opt.Log.Info("the store can be written again", "path", s.path, "failed", k.failed)
	case err != nil && k.failed == 0:
		s.opt.Log.Error("cannot write to the store, the books wait in memory", "path", s.path, "error", err)
	}
	k.tried, k.halted = time.Now(), errors.Is(err, ErrHalted)
	if k.failed++; err == nil {
		k.failed = 0
	}
}

func (k *streaks) drops(s *Store) {
	st := s.queue.snapshot()
	n := st.Dropped + st.DroppedJobs
	if n > k.told && !k.dropping {
		s.opt.Log.Warn("the store's queue is full", "records_dropped", st.Dropped, "jobs_dropped", st.DroppedJobs)
	}
	k.dropping, k.told = n > k.told, n
}

// due says when the next commit is due. After failures that is after a delay that grows with their number; while there is
// no room, about once a second it is looked whether there is some again.
func (k *streaks) due(s *Store) (time.Time, bool) {
	switch {
	case k.failed == 0:
		return s.queue.due(s.opt.Delay)
	case k.halted:
		return k.tried.Add(min(s.opt.Delay, time.Second)), true
	}
	return k.tried.Add(s.opt.Delay * time.Duration(min(k.failed, 10))), true
}

// wake is what the writer was woken for.
type wake uint8

const (
	wakeCommit wake = iota
	wakeChore
	wakeQuit
)

// await blocks until something is to be done. What waits to be committed goes before chores.
func (s *Store) await(log *streaks, chore time.Time) wake {
	for {
		next, commit := log.due(s)
		if !commit || chore.Before(next) { // while commits fail, too: dropping old days may be what makes room
			next, commit = chore, false
		}
		t := time.NewTimer(time.Until(next))
		select {
		case <-s.queue.first:
			t.Stop()
			continue
		case <-s.queue.now:
			t.Stop()
			return wakeCommit
		case <-s.quit:
			t.Stop()
			return wakeQuit
		case <-t.C:
		}
		if commit {
			return wakeCommit
		}
		return wakeChore
	}
}

// commitWaiting puts what waits on disk. The last time it is tried whatever room there is.
func (s *Store) commitWaiting(last bool) error {
	b, began := s.queue.take(), time.Now()
	var err error
	if !b.empty() {
		if !last {
			err = s.room()
		}
		if err == nil {
			err = s.commit(b)
		}
	}
	s.queue.finish(b, time.Since(began), err)
	return err
}

// commit puts a batch on disk, whole or not at all. The records go first, so that an ended job has its records.
func (s *Store) commit(b batch) error {
	jobs, moments := s.encodeJobs(b.jobs), s.tellable(b)
	err := s.update(func(tx *bolt.Tx) error {
		if err := s.putRecords(tx, b.records); err != nil {
			return err
		}
		for _, j := range jobs {
			if err := j.put(tx, s.badSum); err != nil {
				return err
			}
		}
		if err := putSaid(tx, b.said); err != nil {
			return err
		}
		return putRest(tx, moments, b.parts)
	})
	if err != nil {
		return fmt.Errorf("cannot commit to the store: %w", noRoom(err))
	}
	return nil
}

func putRest(tx *bolt.Tx, moments []job.Moment, parts []job.Part) error {
	for i := range moments {
		if err := putMoment(tx, &moments[i]); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := putPart(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// tellable leaves out what cannot be encoded, as encodeJobs does, and adds the gap of what was lost.
func (s *Store) tellable(b batch) (out []job.Moment) {
	list := b.moments
	if !b.lost.none() {
		list = append(slices.Clone(list), b.lost.gap(s.opt.BootID))
	}
	for i := range list {
		if _, err := encodeMoment(&list[i]); err != nil {
			s.opt.Log.Error("cannot encode a moment for the store", "kind", string(list[i].Kind), "error", err)
			continue
		}
		out = append(out, list[i])
	}
	return out
}

// encodeJobs leaves out what cannot be encoded (a date past the year 9999): trying again would hold up all the rest.
func (s *Store) encodeJobs(jobs []*waitingJob) []jobOp {
	out := make([]jobOp, 0, len(jobs))
	for _, w := range jobs {
		v, err := encodeJob(&w.saved)
		if err != nil {
			s.queue.refused()
			s.opt.Log.Error("cannot encode a job for the store", "jid", w.saved.JID, "error", err)
			continue
		}
		used := sum{UsedBy(&w.saved.Info), &w.saved.UID}
		out = append(out, jobOp{jid: w.saved.JID, end: endOf(&w.saved), ended: w.ended, value: v, user: w.saved.User, used: &used})
	}
	return out
}

func (q *queue) refused() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.DroppedJobs++
}
