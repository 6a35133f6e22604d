package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
)

// troubles is what is wrong now, and since when.
type troubles map[string]time.Time

// trouble notes that something went wrong, or that it is right again. It is logged when that changes.
func (d *jobd) trouble(what string, is bool) {
	since, was := d.troubles[what]
	switch {
	case is && !was:
		d.troubles[what] = time.Now()
		d.log.Error("degraded", "why", what)
	case !is && was:
		delete(d.troubles, what)
		d.log.Info("healed", "why", what, "after", time.Since(since).Round(time.Millisecond))
	}
}

// degraded says since when something has been wrong, and what; zero: nothing is.
func (t troubles) degraded() (since time.Time, why job.Text) {
	for _, at := range t {
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return since, job.Text(strings.Join(slices.Sorted(maps.Keys(t)), "; "))
}
