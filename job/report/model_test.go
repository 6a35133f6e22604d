package report

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// books are what a store may hold: jobs, and what came of them over four days.
type books struct {
	jobs    []*job.Info // ended
	records []*job.Record
	parts   []job.Part
}

// info finds a job; nil: it is on no book.
func (b *books) info(jid job.JID) *job.Info {
	for _, in := range b.jobs {
		if in.JID == jid {
			return in
		}
	}
	return nil
}

func (b *books) earlier(jid job.JID) (sum int64) {
	for _, p := range b.parts {
		if p.JID == jid {
			sum += p.Unattributed
		}
	}
	return sum
}

// enter puts everything into a sheet, in an order that a number stands for.
func (b *books) enter(s *Sheet, order int64) {
	n := len(b.records) + len(b.parts) + len(b.jobs)
	for _, i := range permutation(n, order) {
		switch records, parts := len(b.records), len(b.parts); {
		case i < records:
			s.Record(b.records[i], b.info(b.records[i].JID))
		case i < records+parts:
			p := b.parts[i-records]
			s.Part(p, b.info(p.JID))
		default:
			in := b.jobs[i-records-parts]
			s.Job(in, b.earlier(in.JID))
		}
	}
}

func permutation(n int, seed int64) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
		seed = seed*6364136223846793005 + 1442695040888963407
		j := int(uint64(seed) >> 33 % uint64(i+1))
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// instants are few and include midnights, so that ends fall together with those of periods.
func instant(rt *rapid.T, name string) time.Time {
	return time.Date(2026, 3, 4, 6*rapid.IntRange(1, 16).Draw(rt, name), 0, 0, rapid.IntRange(-1, 1).Draw(rt, "ns"), time.UTC)
}

func anyBooks(rt *rapid.T) *books {
	b := &books{}
	amount := rapid.Int64Range(0, 1e12)
	for i := range rapid.IntRange(0, 4).Draw(rt, "jobs") {
		in := &job.Info{
			JID: job.JID(i + 1), User: rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "user"), Ended: ptr(instant(rt, "ended")),
			Service: job.Text(rapid.SampledFrom([]string{"", "sshd"}).Draw(rt, "service")), Command: "bash", Started: noon.AddDate(0, 0, -2),
			Tags: map[string]string{"queue": rapid.SampledFrom([]string{"day", "night"}).Draw(rt, "queue")},
		}
		for range rapid.IntRange(0, 3).Draw(rt, "parts") {
			b.parts = append(b.parts, job.Part{JID: in.JID, At: instant(rt, "at").UnixNano(), Unattributed: amount.Draw(rt, "part")})
		}
		if rapid.Bool().Draw(rt, "known") {
			in.CPUUnattributed = ptr(b.earlier(in.JID) + amount.Draw(rt, "unattributed"))
		}
		b.jobs = append(b.jobs, in)
	}
	for range rapid.IntRange(0, 20).Draw(rt, "records") {
		b.records = append(b.records, anyUse(rt, amount))
	}
	return b
}

func anyUse(rt *rapid.T, amount *rapid.Generator[int64]) *job.Record {
	end := instant(rt, "end")
	r := &job.Record{
		JID: job.JID(rapid.IntRange(1, 5).Draw(rt, "jid")), End: end.UnixNano(), Partial: rapid.Bool().Draw(rt, "partial"), Used: true,
	}
	r.Usage = watch.Usage{
		Groups: allGroups, Comm: rapid.SampledFrom([]string{"", "sh", "cc1"}).Draw(rt, "comm"), GID: uint32(rapid.IntRange(0, 1).Draw(rt, "gid")),
		Elapsed: amount.Draw(rt, "elapsed"), CPU: amount.Draw(rt, "cpu"), User: amount.Draw(rt, "user"), System: amount.Draw(rt, "system"),
		MaxRSS: amount.Draw(rt, "rss"), CoreMem: amount.Draw(rt, "core"), ReadBytes: amount.Draw(rt, "read"), WriteBytes: amount.Draw(rt, "write"),
		ReadChars: amount.Draw(rt, "chars"),
	}
	if rapid.Bool().Draw(rt, "started") {
		r.Start = r.End - r.Usage.Elapsed
	}
	if rapid.Bool().Draw(rt, "checkpoints") {
		r.Earlier = &watch.Usage{Groups: allGroups, CPU: amount.Draw(rt, "cpu before"), Elapsed: amount.Draw(rt, "elapsed before")}
	}
	return r
}

var everyBy = []string{"user", "group", "job", "command", "service", "day", "hour", "tag:queue"}

// TestSheetsAddUp: lines and other are the total, whatever a report is by and in whatever order things come; and periods next
// to each other add up to the whole, with nothing twice.
func TestSheetsAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := anyBooks(rt)
		opt := Options{Limit: rapid.IntRange(0, 3).Draw(rt, "limit"), Billing: &goldenWeights}
		by := rapid.SampledFrom(everyBy).Draw(rt, "by")
		order := rapid.Int64()
		made := func(o Options, order int64) Report {
			s, err := New(by, o)
			if err != nil {
				rt.Fatal(err)
			}
			b.enter(s, order)
			return s.Report()
		}
		whole := made(opt, order.Draw(rt, "order"))
		linesAddUp(rt, whole)
		again := made(opt, order.Draw(rt, "another order"))
		if text(again) != text(whole) {
			rt.Fatalf("in another order:\n%s\n%s", text(whole), text(again))
		}

		cuts := []time.Time{{}, instant(rt, "cut"), instant(rt, "cut"), {}}
		if cuts[2].Before(cuts[1]) {
			cuts[1], cuts[2] = cuts[2], cuts[1]
		}
		sum := Line{Key: "total"}
		for i := range 3 {
			period := opt
			if period.From, period.To = cuts[i], cuts[i+1]; i == 1 && period.From.Equal(period.To) {
				continue
			}
			rep := made(period, order.Draw(rt, "order"))
			linesAddUp(rt, rep)
			sum.add(&rep.Total)
		}
		same(rt, "periods", sum, whole.Total)
		same(rt, "a dumb sum", b.dumb(), whole.Total)
	})
}

func text(rep Report) string {
	b, err := json.Marshal(rep)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func linesAddUp(rt *rapid.T, rep Report) {
	sum := Line{Key: "total"}
	for i := range rep.Lines {
		sum.add(&rep.Lines[i])
	}
	if rep.Other != nil {
		sum.add(rep.Other)
	}
	if sum.Units == nil {
		sum.Units = new(float64)
	}
	if *sum.Units != *rep.Total.Units {
		rt.Fatalf("units: lines %v, total %v", *sum.Units, *rep.Total.Units)
	}
	same(rt, "lines", sum, rep.Total)
}

// same compares two sums; units up to the rounding of floats, and of exact.
func same(rt *rapid.T, what string, got, want Line) {
	rt.Helper()
	if g, w := *got.Units, *want.Units; math.Abs(g-w) > 1e-12*math.Abs(w)+1e-17 {
		rt.Fatalf("%s: %v units, want %v", what, g, w)
	}
	got.Units, want.Units = nil, nil
	if got != want {
		rt.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// dumb adds everything up as one would by hand.
func (b *books) dumb() Line {
	p, err := goldenWeights.Compile(nil)
	if err != nil {
		panic(err)
	}
	l, units := Line{Key: "total"}, 0.0
	for _, r := range b.records {
		u, earlier := r.Usage, watch.Usage{}
		wall := u.Elapsed
		if r.Earlier != nil && !r.Partial {
			earlier = *r.Earlier
		}
		if !r.Partial {
			l.Processes++
		}
		l.Wall += max(wall-earlier.Elapsed, 0)
		l.CPU += max(u.CPU-earlier.CPU, 0)
		l.CPUUser += u.User
		l.CPUSystem += u.System
		l.MaxRSS = max(l.MaxRSS, u.MaxRSS)
		l.CoreMem += u.CoreMem
		l.ReadBytes += u.ReadBytes
		l.WriteBytes += u.WriteBytes
		units += p.Units(r, b.info(r.JID))
	}
	rest := func(ns, at int64, in *job.Info) {
		l.CPU += ns
		l.CPUUnattributed += ns
		units += p.unattributed(ns, at, in)
	}
	for _, part := range b.parts {
		rest(part.Unattributed, part.At, b.info(part.JID))
	}
	for _, in := range b.jobs {
		l.Jobs++
		if l.Estimated = l.Estimated || in.CPUUnattributed == nil; in.CPUUnattributed != nil {
			rest(*in.CPUUnattributed-b.earlier(in.JID), in.Ended.UnixNano(), in)
		}
	}
	l.Units = &units
	return l
}

// TestHoursAgainstFormat: an hour is what the clock on the wall said just before.
func TestHoursAgainstFormat(t *testing.T) {
	places := []*time.Location{time.UTC, place(t, "Europe/Berlin"), place(t, "Australia/Lord_Howe"), place(t, "America/Santiago"), place(t, "Asia/Kathmandu")}
	rapid.Check(t, func(rt *rapid.T) {
		loc := rapid.SampledFrom(places).Draw(rt, "place")
		for by, layout := range map[string]string{"hour": "2006-01-02T15", "day": time.DateOnly} {
			k, err := newKeyer(by, loc)
			if err != nil {
				rt.Fatal(err)
			}
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*48).Draw(rt, "at")) * time.Hour / 2)
			if _, change := at.In(loc).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(rt, "near a change of the clock") {
				at = change.Add(time.Duration(rapid.IntRange(-30, 10).Draw(rt, "hours")) * time.Hour)
			}
			for range 20 {
				at = at.Add(time.Duration(rapid.IntRange(-1500, 1500).Draw(rt, "step"))*time.Minute + time.Duration(rapid.IntRange(-1, 1).Draw(rt, "ns")))
				var l Line
				k.label(k.time(at.UnixNano()), &l)
				if want := at.Add(-1).In(loc).Format(layout); l.Key != want {
					rt.Fatalf("%s of %s: %s, want %s", by, at.In(loc), l.Key, want)
				}
			}
		}
	})
}

// TestExactSums: in any order, and as big numbers have it.
func TestExactSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.Float64Range(0, 1e12), 0, 30).Draw(rt, "numbers")
		var forth, back exact
		want := new(big.Float).SetPrec(200)
		for i, v := range list {
			forth.add(v)
			back.add(list[len(list)-1-i])
			want.Add(want, big.NewFloat(v))
		}
		if forth != back {
			rt.Fatal(forth, back)
		}
		w, _ := want.Float64()
		if got := forth.float(); math.Abs(got-w) > 1e-15*w+1e-17 {
			rt.Fatal(got, w)
		}
	})
	var e exact
	for _, v := range []float64{math.NaN(), -1, 0} {
		e.add(v)
	}
	if e != (exact{}) {
		t.Error(e)
	}
	e.add(1)
	if e.add(math.Inf(1)); e.float() != 1<<64 {
		t.Error(e.float())
	}
	if e.add(5); e.float() != 1<<64 {
		t.Error(e.float())
	}
}
