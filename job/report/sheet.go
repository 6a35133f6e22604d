package report

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Options say what of the use that comes in a Sheet adds up, and how.
type Options struct {
	// Use counts by its end, and a job by its own: what ends after From and not after To. What ends with the midnight at
	// which a period begins is of the period before, so that periods next to each other add up. The zero time is no bound.
	From, To time.Time

	Location *time.Location // of days, hours and prime time; nil: UTC
	Billing  *Billing       // nil: nothing is billed
	Limit    int            // lines at most, the rest in Other: those with the most CPU, of days and hours the latest; 0: all
}

// Sheet adds up use. What comes in may come in any order. A Sheet is for one goroutine.
//
// A job is passed in with each use; nil where nobody knows it: its use is then of an unknown user, service and tag.
type Sheet struct {
	by       string
	opt      Options
	from, to int64 // Unix ns; from is not in it, to is
	keys     *keyer
	pricer   *Pricer // nil: nothing is billed
	need     watch.Group
	lines    map[key]*tally
	last     *tally // that of lastKey: records of a kind come one after another
	lastKey  key
}

// tally is a line in the making.
type tally struct {
	key   key
	line  Line
	units exact
}

// New makes an empty Sheet by user, group, job, command, service, day, hour or tag:KEY. It fails when it doesn't know the
// word, or with what Billing.Check says.
func New(by string, opt Options) (*Sheet, error) {
	keys, err := newKeyer(by, opt.Location)
	if err != nil {
		return nil, err
	}
	s := &Sheet{
		by: by, opt: opt, from: math.MinInt64, to: math.MaxInt64, keys: keys, lines: make(map[key]*tally),
		need: watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO,
	}
	if !opt.From.IsZero() {
		s.from = nanos(opt.From)
	}
	if !opt.To.IsZero() {
		s.to = nanos(opt.To)
	}
	if opt.Billing == nil {
		return s, nil
	}
	if s.pricer, err = opt.Billing.Compile(opt.Location); err != nil {
		return nil, err
	}
	if s.pricer != nil && s.pricer.delays() {
		s.need |= watch.GroupDelay
	}
	return s, nil
}

// Record takes in what a process used; of one with partial records each of them and the last. Only the last one counts a
// process.
func (s *Sheet) Record(r *job.Record, in *job.Info) {
	if l := s.record(r, in); l != nil && !r.Partial {
		l.line.Processes++
	}
}

// Live takes in what a process that still lives has used so far. r is its record as if it had ended now, with what its
// partial records hold in Earlier.
func (s *Sheet) Live(r *job.Record, in *job.Info) { s.record(r, in) }

// record adds up use, and returns its line; nil where it is of another period.
func (s *Sheet) record(r *job.Record, in *job.Info) *tally {
	if !s.within(r.End) {
		return nil
	}
	t := s.line(s.keys.record(r, in))
	var sum job.Sum
	sum.Add(r)
	t.line.sum(&sum, s.need)
	if s.pricer != nil {
		u := r.Net()
		from, to := span(r, &u)
		t.units.add(s.pricer.price(&u.Usage, from, to, in))
	}
	return t
}

// TakesSums reports whether a sum of records of one command is as good as the records: by command, with nothing billed.
func (s *Sheet) TakesSums() bool { return s.keys.kind == byCommand && s.pricer == nil }

// Sum takes in such a sum. All that it is of ended in the period.
func (s *Sheet) Sum(comm string, sum *job.Sum) {
	if sum.Records == 0 {
		return
	}
	l := &s.line(named(comm)).line
	l.Processes += sum.Processes
	l.sum(sum, s.need)
}

// sum takes in what records used, all but how many processes they are of. It is estimated where a group of need is not known.
func (l *Line) sum(sum *job.Sum, need watch.Group) {
	l.Wall += sum.Wall
	l.CPU += sum.CPU
	l.CPUUser += sum.User
	l.CPUSystem += sum.System
	l.MaxRSS = max(l.MaxRSS, sum.MaxRSS)
	l.CoreMem += sum.CoreMem
	l.ReadBytes += sum.Read
	l.WriteBytes += sum.Write
	l.Estimated = l.Estimated || sum.Estimated || !sum.Groups.Has(need)
}

// Part takes in what a job had used by a checkpoint that is on no process's record.
func (s *Sheet) Part(p job.Part, in *job.Info) { s.unattributed(p.JID, p.Unattributed, p.At, in) }

// Job takes in a job that has ended: it counts one, and its CPU that is on no process's record, less what its parts hold
// of it, earlier, in ns. All its parts count, those too that are of other periods.
func (s *Sheet) Job(in *job.Info, earlier int64) {
	at, ok := s.ended(in)
	if !ok {
		return
	}
	l := &s.line(s.keys.job(in.JID, at, in)).line
	l.Jobs++
	if in.CPUUnattributed == nil {
		l.Estimated = true
		return
	}
	if *in.CPUUnattributed < earlier { // a checkpoint saw too much: the sum is more than the job's
		l.Estimated = true
	}
	s.unattributed(in.JID, *in.CPUUnattributed-earlier, at, in)
}

// Whole takes in a job that has ended and whose process records are no longer kept: its totals as they stand, at its end,
// by command under the one that it began with. They are estimated, since their time and more is not known.
func (s *Sheet) Whole(in *job.Info) {
	at, ok := s.ended(in)
	if !ok {
		return
	}
	t := s.line(s.keys.job(in.JID, at, in))
	l, u := &t.line, totals(in)
	l.Jobs++
	l.Processes += int64(in.TotalProcesses)
	l.CPU += u.CPU
	l.CPUUser += u.User
	l.CPUSystem += u.System
	if in.CPUUnattributed != nil {
		l.CPUUnattributed += *in.CPUUnattributed
	}
	l.MaxRSS = max(l.MaxRSS, u.MaxRSS)
	l.ReadBytes += u.ReadBytes
	l.WriteBytes += u.WriteBytes
	l.Estimated = true
	if s.pricer != nil {
		t.units.add(s.pricer.price(&u, nanos(in.Started), at, in))
	}
}

// totals is what a job used, as if it had been one process.
func totals(in *job.Info) (u watch.Usage) {
	for _, f := range []struct {
		to   *int64
		from *int64
	}{
		{&u.CPU, in.CPU}, {&u.User, in.CPUUser}, {&u.System, in.CPUSystem}, {&u.MaxRSS, in.MaxRSS},
		{&u.ReadBytes, in.ReadBytes}, {&u.WriteBytes, in.WriteBytes},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if in.CPU != nil {
		u.Groups = watch.GroupCPU
	}
	return u
}

// unattributed adds CPU that is on no record.
func (s *Sheet) unattributed(jid job.JID, ns, at int64, in *job.Info) {
	if ns <= 0 || !s.within(at) {
		return
	}
	t := s.line(s.keys.unattributed(jid, at, in))
	t.line.CPU += ns
	t.line.CPUUnattributed += ns
	if s.pricer != nil {
		t.units.add(s.pricer.unattributed(ns, at, in))
	}
}

func (s *Sheet) within(at int64) bool { return at > s.from && at <= s.to }

// ended is when a job ended, if that was in the period. Unix ns.
func (s *Sheet) ended(in *job.Info) (int64, bool) {
	if in.Ended == nil {
		return 0, false
	}
	at := nanos(*in.Ended)
	return at, s.within(at)
}

func (s *Sheet) line(k key) *tally {
	if s.last != nil && s.lastKey == k {
		return s.last
	}
	t := s.lines[k]
	if t == nil {
		k.text = strings.Clone(k.text) // it may be of a record that is written over
		t = &tally{key: k}
		s.lines[k] = t
	}
	s.last, s.lastKey = t, t.key
	return t
}

// Report gives what has come in so far. Lines and Other add up to Total, units added in their order. Gaps, KeptSince and
// IncludeOpen are the caller's to fill in.
func (s *Sheet) Report() Report {
	rep := Report{By: s.by, Lines: []Line{}, Gaps: []job.Moment{}, Total: Line{Key: "total"}}
	if !s.opt.From.IsZero() {
		rep.From = &s.opt.From
	}
	if !s.opt.To.IsZero() {
		rep.To = &s.opt.To
	}
	first, rest := s.sorted()
	if len(rest) > 0 {
		other := tally{key: key{text: "other"}}
		for _, t := range rest {
			other.line.add(&t.line)
			other.units.sum(t.units)
		}
		l := s.finish(&other)
		l.Key, rep.Other = "other", &l
	}
	for _, t := range first {
		l := s.finish(t)
		s.keys.label(t.key, &l)
		rep.Lines = append(rep.Lines, l)
		rep.Total.add(&l)
	}
	if rep.Other != nil {
		rep.Total.add(rep.Other)
	}
	if s.pricer != nil && rep.Total.Units == nil {
		rep.Total.Units = new(float64)
	}
	return rep
}

// sorted gives the lines within the limit in their order, and those beyond it.
func (s *Sheet) sorted() (first, rest []*tally) {
	all := make([]*tally, 0, len(s.lines))
	for _, t := range s.lines {
		all = append(all, t)
	}
	byKey := func(a, b *tally) int {
		return cmp.Or(cmp.Compare(a.key.text, b.key.text), cmp.Compare(a.key.n, b.key.n))
	}
	n := len(all)
	if s.opt.Limit > 0 {
		n = min(n, s.opt.Limit)
	}
	if s.keys.chronological() {
		slices.SortFunc(all, byKey)
		return all[len(all)-n:], all[:len(all)-n]
	}
	slices.SortFunc(all, func(a, b *tally) int {
		if c := cmp.Compare(b.line.CPU, a.line.CPU); c != 0 {
			return c
		}
		return byKey(a, b)
	})
	return all[:n], all[n:]
}

// finish gives a line with its units.
func (s *Sheet) finish(t *tally) Line {
	l := t.line
	if s.pricer != nil {
		units := t.units.float()
		l.Units = &units
	}
	return l
}

// add takes in another line.
func (l *Line) add(o *Line) {
	l.Jobs += o.Jobs
	l.Processes += o.Processes
	l.Wall += o.Wall
	l.CPU += o.CPU
	l.CPUUser += o.CPUUser
	l.CPUSystem += o.CPUSystem
	l.CPUUnattributed += o.CPUUnattributed
	l.MaxRSS = max(l.MaxRSS, o.MaxRSS)
	l.CoreMem += o.CoreMem
	l.ReadBytes += o.ReadBytes
	l.WriteBytes += o.WriteBytes
	l.Estimated = l.Estimated || o.Estimated
	if o.Units != nil {
		units := *o.Units
		if l.Units != nil {
			units += *l.Units
		}
		l.Units = &units
	}
}
