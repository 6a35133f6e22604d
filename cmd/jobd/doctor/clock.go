package doctor

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// clockFacts are what the clock says, and when the books were written.
type clockFacts struct {
	now    time.Time
	last   time.Time // the newest of the books' files; zero: there is none, or it cannot be looked at
	synced bool      // as the kernel was told (adjtimex(2))
	noSync error     // it does not say
}

func (x *examination) clock(context.Context) []Finding {
	c := clockFacts{now: time.Now()}
	for _, path := range []string{filepath.Join(x.stateDir(), "jobd.db"), filepath.Join(x.RunDir, "open.journal")} {
		if st, err := os.Stat(path); err == nil && st.ModTime().After(c.last) {
			c.last = st.ModTime()
		}
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	c.synced, c.noSync = state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, err
	return judgeClock(c)
}

// clockSlack is how far in the future a file may have been written: clocks of a file server differ.
const clockSlack = 5 * time.Second

func judgeClock(c clockFacts) []Finding {
	var books, synced Finding
	switch {
	case c.now.Year() < 2024:
		books = fail("clock.books", "set the clock: times in the books are wrong", "it is %s", c.now.Format(time.RFC3339))
	case c.last.IsZero():
		books = ok("clock.books", "%s; there are no books to compare it with", c.now.Format(time.RFC3339))
	case c.last.Sub(c.now) > clockSlack:
		books = warn("clock.books", "set the clock right: the books go on, and mark a time that was set back",
			"the books were written at %s, and it is %s", c.last.Format(time.RFC3339), c.now.Format(time.RFC3339))
	default:
		books = ok("clock.books", "later than what the books were written last")
	}
	switch {
	case c.noSync != nil:
		synced = skip("clock.synced", "%v", c.noSync)
	case !c.synced:
		synced = warn("clock.synced", "run chrony, or another that keeps the time; a clock that jumps is marked in the books",
			"nobody keeps the clock true")
	default:
		synced = ok("clock.synced", "the clock is kept true")
	}
	return []Finding{books, synced}
}
