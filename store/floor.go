package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/jobd-project/jobd/job"
)

// errFloor is a commit that was not tried, because little room is left.
var errFloor = errors.New("too little room is left")

// room gives ErrHalted where less is free on the file system than the floor.
func (s *Store) room() error {
	floor := s.keep.Load().Floor
	if floor < 0 {
		return nil
	}
	free, err := s.opt.free(filepath.Dir(s.path))
	if err != nil {
		return nil // nobody knows; writing will tell
	}
	if free < floor {
		return fmt.Errorf("cannot commit to the store: %w: %d MiB are free, the floor is %d MiB: %w", errFloor, free>>20, floor>>20, ErrHalted)
	}
	return nil
}

// FreeBytes is what jobd may still write on the file system of dir (statfs(2), f_bavail).
func FreeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// noRoom makes ErrHalted of the errors that go away when somebody makes room.
func noRoom(err error) error {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EFBIG, berrors.ErrMaxSizeReached} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", err, ErrHalted)
		}
	}
	return err
}

// halt notes since when history has been halted, and why.
func (q *queue) halt(err error) {
	switch {
	case !errors.Is(err, ErrHalted):
		q.stats.Halted, q.stats.HaltedWhy = time.Time{}, nil
	case q.stats.Halted.IsZero():
		q.stats.Halted, q.stats.HaltedWhy = time.Now(), err
	default:
		q.stats.HaltedWhy = err
	}
}

// lost is what the books will never have, until a gap in them says so.
type lost struct {
	records, jobs, others uint64 // jobs are states of jobs, others marks of time and parts
	since, last           time.Time
	fresh                 bool // some of it since the last commit was tried
	halted                bool // while there was no room
}

func (l *lost) none() bool { return l.records+l.jobs+l.others == 0 }

// lose counts what cannot be kept.
func (q *queue) lose(l lost) {
	q.stats.Dropped += l.records + l.others
	q.stats.DroppedJobs += l.jobs
	l.since = time.Now()
	l.last, l.fresh, l.halted = l.since, true, !q.stats.Halted.IsZero()
	q.lost = q.lost.with(l)
}

// with adds what was lost later.
func (l lost) with(m lost) lost {
	switch {
	case l.none():
		return m
	case m.none():
		return l
	}
	l.records, l.jobs, l.others = l.records+m.records, l.jobs+m.jobs, l.others+m.others
	l.last, l.fresh, l.halted = m.last, l.fresh || m.fresh, l.halted || m.halted
	return l
}

// gapMost is how long a loss may go on before the books say so, whether it is over or not.
const gapMost = time.Minute

// tellLoss gives what was lost when it is time to tell of it: when nothing was lost since the last attempt, so that one
// streak is one gap. Else it has the writer come back.
func (q *queue) tellLoss() lost {
	l := q.lost
	if l.none() {
		return lost{}
	}
	if l.fresh && !q.closed && time.Since(l.since) < gapMost {
		q.lost.fresh = false
		q.woken()
		return lost{}
	}
	q.lost = lost{}
	return l
}

// gap is what the books say of it.
func (l *lost) gap(boot string) job.Moment {
	why := "the store's queue was full"
	if l.halted {
		why = "history was halted for lack of room"
	}
	text := fmt.Sprintf("%s: %d process records were lost", why, l.records)
	if l.jobs > 0 {
		text += fmt.Sprintf(", %d states of jobs", l.jobs)
	}
	if l.others > 0 {
		text += fmt.Sprintf(", %d marks and parts", l.others)
	}
	since, records := l.since.UTC(), l.records
	return job.Moment{
		Time: l.last.UTC(), Kind: job.MomentGap, Since: &since, BootID: job.Text(boot), Text: job.Text(text), Records: &records,
	}
}
