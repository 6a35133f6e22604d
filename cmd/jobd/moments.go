package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
)

// lastWritten is when the newest of some files was written; zero where there is none.
func lastWritten(paths ...string) (last time.Time, err error) {
	for _, p := range paths {
		st, err := os.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return last, err
		case st.ModTime().After(last):
			last = st.ModTime()
		}
	}
	return last, nil
}

// begin notes in the books that jobd has been started, and that it missed what was until now. That is on disk before anything else
// is written: were jobd killed again, nothing else would tell.
func (d *jobd) begin(missing time.Time) error {
	past, err := d.store.Moments(time.Time{}, time.Time{})
	if err := d.unlessDamaged("marks of time", err); err != nil {
		return fmt.Errorf("cannot read the marks of time: %w", err)
	}
	rebooted := d.store.LastBoot() != "" && d.store.LastBoot() != d.boot
	if rebooted {
		missing = bootTime()
		d.mark(job.Moment{Time: missing, Kind: job.MomentBoot})
	}
	if stopped := inOrder(past, d.whole); !d.continued && !d.whole.IsZero() && !(rebooted && stopped) {
		d.markDown(missing, stopped)
	}
	setup := job.Text(d.cfg.summary(d.settings()))
	if old, ok := lastOf(past, job.MomentStart); ok && old.Text != setup {
		d.mark(job.Moment{Time: d.started, Kind: job.MomentConfig, Text: setup})
	}
	d.mark(job.Moment{Time: d.started, Kind: job.MomentStart, Text: setup})
	if err := d.flush(context.Background()); err != nil {
		d.log.Error("cannot write down that jobd was started", "error", err)
	}
	return nil
}

// killCosts is how much of the time before the last write to a file can be missing from the books when jobd was killed: what waited
// for its commit then, and how long a commit takes on a busy disk. What was not told yet by then comes on top.
const killCosts = 2 * time.Second

// markDown notes that jobd was not there until now, since it was stopped or something killed it.
func (d *jobd) markDown(until time.Time, stopped bool) {
	since := d.whole
	if !stopped {
		since = since.Add(-killCosts - d.engine.Lag())
	}
	if by := job.ClockStep(until.Sub(d.whole), 0); by < 0 { // time has passed, however little
		d.markStep(d.whole, until, "while jobd was not running the clock was set")
		since = until
	}
	d.mark(job.Moment{Time: until, Since: &since, Kind: job.MomentGap, Text: "jobd was not running"})
}

func (d *jobd) mark(m job.Moment) {
	m.BootID, m.Time = job.Text(d.boot), m.Time.UTC()
	d.store.PutMoment(m)
}

// inOrder reports whether jobd was stopped, not killed, when the books ended.
func inOrder(past []job.Moment, ended time.Time) bool {
	stop, ok := lastOf(past, job.MomentStop)
	if !ok || stop.Time.Before(ended.Add(-time.Minute)) {
		return false
	}
	start, ok := lastOf(past, job.MomentStart)
	return !ok || start.Time.Before(stop.Time)
}

func lastOf(past []job.Moment, kind job.MomentKind) (job.Moment, bool) {
	for _, m := range slices.Backward(past) {
		if m.Kind == kind {
			return m, true
		}
	}
	return job.Moment{}, false
}

func bootTime() time.Time { return time.Now().Add(-time.Duration(sinceBoot())) }

// losses is a time in which the kernel dropped something, while it lasts.
type losses struct {
	since, last     time.Time // zero: nothing is being lost
	events, records uint64    // the engine's counts when it was looked at last …
	before          struct{ events, records uint64 }
	looked          time.Time // … and when that was
}

// lossOver is how long nothing may have been lost for a gap to be over, and for jobd to be whole again.
const lossOver = time.Second

// lookForLosses runs after each drain.
func (d *jobd) lookForLosses() {
	c, now, l := d.engine.Counts(), time.Now(), &d.losses
	events, records := c.Lost, c.RecordsLost+max(c.RecordsMissed, c.TasksMissed)
	if events > l.events || records > l.records {
		if l.since.IsZero() {
			l.since = l.looked
			l.before.events, l.before.records = l.events, l.records
			if l.since.IsZero() {
				l.since = d.started
			}
		}
		l.last = now
		d.troubleSince("events were lost", l.since, fmt.Errorf("%d events and %d exit records so far; all processes are compared with the table",
			events-l.before.events, records-l.before.records))
	}
	l.events, l.records, l.looked = events, records, now
}

// closeGap writes a gap down when it is over.
func (d *jobd) closeGap(now time.Time) {
	l := &d.losses
	if l.since.IsZero() || now.Sub(l.last) < lossOver || d.engine.Loss() != nil {
		return
	}
	d.trouble("events were lost", nil)
	events, records, since := l.events-l.before.events, l.records-l.before.records, l.since.UTC()
	d.mark(job.Moment{
		Time: l.last, Since: &since, Kind: job.MomentGap, Text: "the kernel dropped what jobd should have heard",
		Events: &events, Records: &records,
	})
	l.since = time.Time{}
}
