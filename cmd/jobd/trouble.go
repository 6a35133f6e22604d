package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
)

// troubles is what is wrong now, and since when.
type troubles map[string]time.Time

// trouble notes that something went wrong, or (nil) that it is right again. It is logged when that changes, not each time.
func (d *jobd) trouble(what string, err error) { d.troubleSince(what, time.Now(), err) }

// tellTrouble is trouble for who is not in the loop.
func (d *jobd) tellTrouble(ctx context.Context, what string, err error) {
	_ = d.do(ctx, func() error { d.trouble(what, err); return nil }) // fails only when jobd stops
}

// troubleSince is trouble for something that began earlier.
func (d *jobd) troubleSince(what string, begin time.Time, err error) {
	since, was := d.troubles[what]
	switch {
	case err != nil && !was:
		d.troubles[what] = begin
		d.log.Error("degraded", "why", what, "since", begin.UTC().Format(time.RFC3339Nano), "error", err)
	case err == nil && was:
		delete(d.troubles, what)
		d.log.Info("healed", "why", what, "after", time.Since(since).Round(time.Millisecond))
	}
}

// storeTrouble notes how the store is.
func (d *jobd) storeTrouble() {
	st := d.store.Stats()
	err := st.LastError
	if !st.Failing {
		err = nil
	}
	d.trouble("the store cannot be written", err)
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
