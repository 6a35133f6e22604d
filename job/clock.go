package job

import "time"

// Sync tells the table how the wall clock stands to CLOCK_MONOTONIC. Events carry the latter, records the former.
func (t *Table) Sync(wall time.Time, mono int64) {
	t.wall, t.mono = wall.Round(0), mono // wall time only: what is written down is compared, not what the runtime knows beside it
}

// Stepped tells the table, after Sync, that the wall clock has been set since the Sync before, by so much. What happened before is
// said in the time of then, and durations are as long as they were: so a job that goes on began at another time, by the clock
// as it is now.
func (t *Table) Stepped(by time.Duration) {
	t.stepped, t.by, t.last = t.mono, by, 0
	for _, e := range t.jobs {
		e.Started = e.Started.Add(by)
		t.save(e)
	}
}

// At turns the kernel's stamp, CLOCK_MONOTONIC ns, into what the wall clock said then. 0 is now.
func (t *Table) At(mono int64) time.Time {
	switch {
	case mono == 0:
		return t.wall
	case t.beforeStep(mono):
		return t.now(mono).Add(-t.by)
	}
	return t.now(mono)
}

// Slept tells the table for how long the host has slept since it was booted, ns: CLOCK_MONOTONIC stands still meanwhile, the
// wall clock does not.
func (t *Table) Slept(ns int64) { t.slept = ns }

// beforeStep reports whether a stamp is of before the wall clock was set last.
func (t *Table) beforeStep(mono int64) bool { return mono != 0 && mono < t.stepped }

// now turns the kernel's stamp into wall time by the clock as it is now.
func (t *Table) now(mono int64) time.Time { return t.wall.Add(time.Duration(mono - t.mono)) }

// A clock that is adjusted runs faster or slower, by no more than a thousandth (adjtimex(2), adjtime(3)). What is more, and more than a
// quarter of a second, was set.
const (
	clockDrift = 1000
	clockLeast = 250 * time.Millisecond
)

// ClockStep is by how much a wall clock was set that advanced by wall while elapsed went by; 0: it was not.
func ClockStep(wall, elapsed time.Duration) time.Duration {
	if by := wall - elapsed; by.Abs() > clockLeast+elapsed.Abs()/clockDrift {
		return by
	}
	return 0
}

// catchUp moves the start of a job that was open when jobd was stopped, if the clock has been set since.
func (t *Table) catchUp(e *entry) {
	if e.Uptime == 0 {
		return // written down by a jobd that did not say when it was by that clock
	}
	asOf := time.Unix(0, e.AsOf)
	e.Started = e.Started.Add(ClockStep(t.wall.Sub(asOf), time.Duration(t.mono+t.slept-e.Uptime)))
}
