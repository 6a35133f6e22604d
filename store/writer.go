package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
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
	LastError  error     // of the last one that failed
	Failing    bool      // the last commit failed
	LastCommit time.Time // zero: none yet
	FileSize   int64     // bytes
}

// PutJob hands over the state of a job that is open. The latest state of a job counts, and none after its end. What j
// points to must not be changed afterwards.
func (s *Store) PutJob(j job.Saved) { s.queue.putJob(&waitingJob{saved: j}) }

// EndJob hands over the final state of a job: it leaves the open ones and joins the ended. The first end of a job counts.
// Records that were handed over before are on disk no later than this.
func (s *Store) EndJob(j job.Saved) { s.queue.putJob(&waitingJob{saved: j, ended: true}) }

// PutRecord hands over a process record, which must not be changed afterwards.
func (s *Store) PutRecord(r *job.Record) { s.queue.putRecord(r) }

// Kick has a commit start now; it doesn't wait for it.
func (s *Store) Kick() { signal(s.queue.now) }

// Flush waits until all that was handed over before is on disk, or gives the error of the attempt; what failed is kept
// and tried again later.
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
	for s.await(log.failed) {
		err := s.commitWaiting()
		log.commit(s, err)
		log.drops(s)
	}
	s.final = s.commitWaiting()
}

// streaks has each trouble logged once when it begins, however long it lasts.
type streaks struct {
	failed   int    // commits in a row
	told     uint64 // dropped when it was last looked at
	dropping bool
}

func (k *streaks) commit(s *Store, err error) {
	switch {
	case err == nil && k.failed > 0:
		s.opt.Log.Info("the store can be written again", "path", s.path, "failed", k.failed)
	case err != nil && k.failed == 0:
		s.opt.Log.Error("cannot write to the store, the books wait in memory", "path", s.path, "error", err)
	}
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

// await blocks until a commit is due; false: the store is being closed. After failures that is after a delay that grows
// with their number, or when somebody asks.
func (s *Store) await(failed int) bool {
	wait := s.opt.Delay * time.Duration(min(failed, 10))
	if failed == 0 {
		select {
		case <-s.queue.first:
		case <-s.queue.now:
			return true
		case <-s.quit:
			return false
		}
		wait = time.Until(s.queue.due(s.opt.Delay))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.queue.now:
	case <-s.quit:
		return false
	}
	return true
}

func (s *Store) commitWaiting() error {
	b := s.queue.take()
	var err error
	if !b.empty() {
		err = s.commit(b)
	}
	s.queue.finish(b, err)
	return err
}

// commit puts a batch on disk, whole or not at all. The records go first, so that an ended job has its records.
func (s *Store) commit(b batch) error {
	jobs := s.encodeJobs(b.jobs)
	tail := s.tail
	err := s.update(func(tx *bolt.Tx) error {
		if err := s.putRecords(tx, b.records); err != nil {
			return err
		}
		for _, j := range jobs {
			if err := j.put(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.tail = tail
		return fmt.Errorf("cannot commit to the store: %w", err)
	}
	return nil
}

// encodeJobs leaves out what cannot be encoded (a date past the year 9999): trying again would hold up all the rest.
func (s *Store) encodeJobs(jobs []*waitingJob) []jobOp {
	out := make([]jobOp, 0, len(jobs))
	for _, w := range jobs {
		v, err := json.Marshal(&w.saved)
		if err != nil {
			s.queue.refused()
			s.opt.Log.Error("cannot encode a job for the store", "jid", w.saved.JID, "error", err)
			continue
		}
		out = append(out, jobOp{jid: w.saved.JID, end: endOf(&w.saved), ended: w.ended, value: v})
	}
	return out
}

func (q *queue) refused() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.DroppedJobs++
}
