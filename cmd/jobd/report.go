package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// accountant makes one report.
type accountant struct {
	d      *jobd
	peer   control.Peer
	req    control.Request
	match  *report.Matcher
	sheet  *report.Sheet
	jid    job.JID // the only job that it is about; 0: all
	jobs   *owners
	failed error             // of looking up a job: the report is not whole
	cut    map[job.JID]int64 // of open jobs that are counted as they are: when that was, Unix ns
	kept   time.Time         // records from before are not kept; zero: all are
	// ofProcesses: something is said of processes alone, so that what no record holds is not asked about.
	ofProcesses bool
	billed      bool
}

// report adds up what was used in a period, by whom or what.
func (d *jobd) report(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	turn := d.turns.of(peer)
	if err := turn.take(ctx); err != nil {
		return nil, err
	}
	defer turn.give()
	a, err := d.accountant(ctx, peer, req)
	if err != nil {
		return nil, err
	}
	if a.kept, err = d.store.RecordsFrom(); err != nil {
		return nil, unreadable(err)
	}
	steps := []func(context.Context) error{a.addParts, a.addJobs, a.addRecords}
	if req.IncludeOpen { // first: what leaves meanwhile is on the books when they are read
		steps = slices.Insert(steps, 0, a.addOpen, d.flush)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	rep := a.sheet.Report()
	rep.IncludeOpen = req.IncludeOpen
	if req.Since.Before(a.kept) {
		rep.KeptSince = &a.kept
	}
	if rep.Gaps, err = d.gapsIn(req); err != nil {
		return nil, err
	}
	return rep, nil
}

func unreadable(err error) error {
	return control.Errorf(control.Internal, "cannot read the books: %s", err)
}

func (d *jobd) accountant(ctx context.Context, peer control.Peer, req control.Request) (*accountant, error) {
	a := &accountant{d: d, peer: peer, req: req, cut: make(map[job.JID]int64)}
	a.ofProcesses = req.Command != "" || req.Exe != "" || req.PID != 0 || req.UID != nil || req.GID != nil || req.Exit != "" ||
		req.MinCPU+req.MinRSS+req.MinIO > 0
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	timeless := req
	timeless.Since, timeless.Until = time.Time{}, time.Time{} // the sheet sees to the time
	var err error
	if a.match, err = matcher(timeless); err != nil {
		return nil, err
	}
	if a.jobs, err = d.owners(ctx, peer, req, a.match); err != nil {
		return nil, err
	}
	billing := d.settings().Billing
	pricer, err := billing.Compile(time.Local)
	if err != nil {
		return nil, err
	}
	a.billed = pricer != nil
	by := req.By
	if by == "" {
		by = "user"
	}
	a.sheet, err = report.New(by, report.Options{
		From: req.Since, To: req.Until, Location: time.Local, Billing: &billing, Limit: req.Limit,
	})
	if err != nil {
		return nil, control.Errorf(control.BadRequest, "%s", err)
	}
	if req.Job != "" {
		a.jid, err = d.find(ctx, peer, control.Anyone, req.Job)
	}
	return a, err
}

// of gives the job of a use, nil where nobody knows it; false: it is not to be counted.
func (a *accountant) of(jid job.JID) (*job.Info, bool) {
	if a.failed != nil || a.jid != 0 && jid != a.jid {
		return nil, false
	}
	in, wanted, err := a.jobs.of(jid)
	a.failed = err
	return in, wanted
}

// before reports whether a use is of the time before an open job was counted as it was.
func (a *accountant) before(jid job.JID, at int64) bool {
	cut, open := a.cut[jid]
	return !open || at <= cut
}

// addParts counts what checkpoints found on no record.
func (a *accountant) addParts(ctx context.Context) error {
	from := a.req.Since
	if from.Before(a.kept) { // of jobs that ended before, the totals are taken
		from = a.kept
	}
	for p, err := range a.d.store.Parts(from, time.Time{}) {
		if err != nil {
			return unreadable(err)
		}
		if in, ok := a.of(p.JID); ok && !a.ofProcesses && a.before(p.JID, p.At) {
			a.sheet.Part(p, in)
		}
	}
	return cmp.Or(a.failed, ctx.Err())
}

// addJobs counts the jobs that ended, and what of their CPU is on no record. Of those that ended before the records that
// are kept begin, the totals are all there is.
func (a *accountant) addJobs(ctx context.Context) error {
	if a.ofProcesses {
		return nil
	}
	// What jobs are searched by is all that is needed of those whose records are kept: none is read any further.
	count := func(s *job.Saved) bool {
		if _, open := a.cut[s.JID]; open || a.jid != 0 && s.JID != a.jid || !a.d.seesJob(a.peer, &s.Info) || !a.match.JobOf(&s.Info) {
			return false
		}
		if s.Ended != nil && s.Ended.Before(a.kept) {
			return true
		}
		a.sheet.Job(&s.Info, s.Parted)
		return false
	}
	for s, err := range a.d.store.EndedJobs(store.JobQuery{From: a.req.Since, User: a.req.User, Want: count}) {
		if err != nil {
			return unreadable(err)
		}
		a.sheet.Whole(&s.Info)
	}
	return ctx.Err()
}

// addRecords counts what processes used.
func (a *accountant) addRecords(ctx context.Context) error {
	q := store.Query{Fields: a.fields()}
	if !a.req.Since.IsZero() {
		q.From = a.req.Since.Add(1) // what ends with the period before is in that
	}
	if !a.req.Until.IsZero() {
		q.To = a.req.Until.Add(1)
	}
	if a.jid != 0 {
		q.Jobs = []job.JID{a.jid}
	}
	if a.ofAll() && a.sheet.TakesSums() {
		q.Sums = a.sheet.Sum
	}
	n := 0
	err := a.d.store.Scan(q, func(r *job.Record) bool {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return false
		}
		if q.Sums != nil { // whose it is does not matter: nobody is looked up
			a.sheet.Record(r, nil)
			return true
		}
		if in, ok := a.of(r.JID); ok && a.before(r.JID, r.End) && a.match.Record(r) {
			a.sheet.Record(r, in)
		}
		return a.failed == nil
	})
	if err != nil {
		return unreadable(err)
	}
	return cmp.Or(a.failed, ctx.Err())
}

// ofAll reports whether all records of the period count, those too whose job is on no book.
func (a *accountant) ofAll() bool {
	return a.jid == 0 && !a.ofProcesses && len(a.cut) == 0 && jobsDoNotMatter(a.req) && trusted(a.peer)
}

// fields is what of a record the report and its conditions look at: what is left alone need not be unpacked.
func (a *accountant) fields() store.Fields {
	f := store.FieldCPU | store.FieldMemory | store.FieldIO | store.FieldEarlier
	for _, more := range []struct {
		when bool
		what store.Fields
	}{
		{a.req.By == "command" || a.req.Command != "", store.FieldComm},
		{a.req.UID != nil || a.req.GID != nil, store.FieldIDs},
		{a.req.Exe != "", store.FieldExe | store.FieldExecs},
		{a.req.Exit != "", store.FieldStatus},
		{a.billed, store.FieldRest},
	} {
		if more.when {
			f |= more.what
		}
	}
	return f
}

// addOpen counts what lives: what was used since the last checkpoint, as far as can be told now.
func (a *accountant) addOpen(ctx context.Context) error {
	jobs, err := a.d.look(ctx, func(in job.Info) bool {
		return (a.jid == 0 || in.JID == a.jid) && a.d.seesJob(a.peer, &in) && a.match.JobOf(&in)
	})
	if err != nil {
		return err
	}
	charges := a.d.chargesOnce()
	for _, g := range jobs {
		var recs map[watch.ID]*job.Record
		var part job.Part
		err := a.d.inOpenJob(ctx, g, charges, func(live map[watch.ID]*watch.Usage, charged *int64) (err error) {
			now := time.Now().UnixNano()
			a.cut[g.info.JID] = now
			recs, part, err = a.d.table.Since(g.info.JID, now, live, charged)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range recs {
			if a.match.Record(r) {
				a.sheet.Live(r, &g.info)
			}
		}
		if !a.ofProcesses {
			a.sheet.Part(part, &g.info)
		}
	}
	return nil
}

// gapsIn gives the gaps in the time that a request is about, and when the clock was set in it.
func (d *jobd) gapsIn(req control.Request) ([]job.Moment, error) {
	all, err := d.store.Moments(req.Since, req.Until)
	if err := d.unlessDamaged("marks of time", err); err != nil {
		return nil, unreadable(err)
	}
	gaps := []job.Moment{}
	for _, m := range all {
		if m.Doubtful() {
			gaps = append(gaps, m)
		}
	}
	if st := d.store.Stats(); !st.Halted.IsZero() && (req.Until.IsZero() || st.Halted.Before(req.Until)) { // it is not over
		gaps = append(gaps, job.Moment{Time: time.Now().UTC(), Since: &st.Halted, Kind: job.MomentGap, Text: "history is halted"})
	}
	return gaps, nil
}

// moments gives the marks of time in the books. They are no secret: they say when jobd ran.
func (d *jobd) moments(ctx context.Context, req control.Request) (any, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	all, err := d.store.Moments(req.Since, req.Until)
	if err := d.unlessDamaged("marks of time", err); err != nil {
		return nil, unreadable(err)
	}
	if all == nil {
		all = []job.Moment{}
	}
	return all, nil
}
