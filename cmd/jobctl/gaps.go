package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// gapsShown is how many gaps are told one by one.
const gapsShown = 3

// noteGaps says what is not whole of the time that was asked about: below a table, or beside what programs read. That it
// cannot be found out is said too, and spoils no answer.
func (a *app) noteGaps(ctx context.Context, req control.Request, beside bool) error {
	out := a.stdout
	if beside {
		out = a.stderr
	}
	moments, err := a.client().Moments(ctx, control.Request{Since: req.Since, Until: req.Until})
	if err != nil {
		fmt.Fprintln(a.stderr, "jobctl: cannot tell whether this is whole: "+plain(err.Error()))
		return nil
	}
	var gaps []job.Moment
	for _, m := range moments {
		if m.Doubtful() && overlaps(req.Since, req.Until, m.Begin(), m.Time) {
			gaps = append(gaps, m)
		}
	}
	return a.sayGaps(out, gaps)
}

// shown narrows the time that was asked about to what a list of n shows, where it ends at its limit: oldest is when the last
// of them ended.
func shown(req control.Request, n int, oldest func() *time.Time) control.Request {
	if n == 0 || n != req.Limit || req.Sort != "" {
		return req
	}
	if end := oldest(); end != nil && end.After(req.Since) {
		req.Since = *end
	}
	return req
}

// sayGaps tells the last ones, and how many there are before them.
func (a *app) sayGaps(w io.Writer, gaps []job.Moment) error {
	if more := len(gaps) - gapsShown; more > 0 {
		if err := a.sayTo(w, "not whole: %s before these", count(more, "gap", "gaps")); err != nil {
			return err
		}
		gaps = gaps[more:]
	}
	for _, g := range gaps {
		if err := a.sayTo(w, "not whole: %s", gapText(g, a.now())); err != nil {
			return err
		}
	}
	return nil
}

// gapText is like 2026-05-02 09:00:00 to 09:05:30, 12 events lost, jobd was down.
func gapText(g job.Moment, now time.Time) string {
	from, to := g.Begin().In(now.Location()), g.Time.In(now.Location())
	end := to.Format(time.DateTime)
	if sameDay(from, to) {
		end = to.Format(time.TimeOnly)
	}
	parts := []string{from.Format(time.DateTime) + " to " + end}
	if g.Events != nil && *g.Events > 0 {
		parts = append(parts, count(*g.Events, "event", "events")+" lost")
	}
	if g.Records != nil && *g.Records > 0 {
		parts = append(parts, count(*g.Records, "record", "records")+" lost")
	}
	if g.Text != "" {
		parts = append(parts, plain(g.Text))
	}
	return strings.Join(parts, ", ")
}
