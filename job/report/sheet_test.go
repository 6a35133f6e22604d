package report

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

func sheet(t testing.TB, by string, opt Options) *Sheet {
	t.Helper()
	s, err := New(by, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ran is the record of a process that ended at an instant after a second.
func ran(jid job.JID, comm string, end time.Time, cpu int64) *job.Record {
	return &job.Record{
		JID: jid, PID: 7, Start: end.Add(-time.Second).UnixNano(), End: end.UnixNano(), Used: true,
		Usage: watch.Usage{Groups: allGroups, Comm: comm, UID: 1000, GID: 100, CPU: cpu},
	}
}

// keys are a report's lines, each with its CPU.
func keys(rep Report) map[string]int64 {
	out := make(map[string]int64)
	for _, l := range rep.Lines {
		out[l.Key] += l.CPU
	}
	if rep.Other != nil {
		out["other"] = rep.Other.CPU
	}
	out["total"] = rep.Total.CPU
	return out
}

func expect(t *testing.T, what string, rep Report, want map[string]int64) {
	t.Helper()
	if d := cmp.Diff(want, keys(rep)); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// TestKeys has three processes of two jobs, and CPU of each on no record.
func TestKeys(t *testing.T) {
	alice := &job.Info{JID: 17, User: "alice", UID: 1000, GID: ptr(uint32(100)), Service: "sshd", Command: "bash", Started: noon, Ended: ptr(noon.Add(3 * time.Hour)),
		CPUUnattributed: ptr(int64(1000)), Tags: map[string]string{"project": "x7"}}
	bob := &job.Info{JID: 18, User: "bob", UID: 1001, Started: noon, Ended: ptr(noon.Add(30 * time.Hour)), CPUUnattributed: ptr(int64(20000))}
	for by, want := range map[string]map[string]int64{
		"user":    {"alice": 1003, "bob": 20004, "total": 21007},
		"job":     {"17": 1003, "18": 20004, "total": 21007},
		"service": {"sshd": 1003, "-": 20004, "total": 21007},
		"command": {"make": 1, "cc1": 6, "bash": 0, "-": 0, Unattributed: 21000, "total": 21007},
		"group":   {"100": 1003, "-": 20004, "total": 21007},
		"day":     {"2026-03-04": 1003, "2026-03-05": 20004, "total": 21007},
		"hour": {"2026-03-04T12": 1, "2026-03-04T13": 2, "2026-03-04T14": 1000, "2026-03-05T12": 4, "2026-03-05T17": 20000,
			"total": 21007},
		"tag:project": {"x7": 1003, "-": 20004, "total": 21007},
		"tag:account": {"-": 21007, "total": 21007},
	} {
		s := sheet(t, by, Options{})
		s.Record(ran(17, "make", noon.Add(time.Minute), 1), alice)
		s.Record(ran(17, "cc1", noon.Add(time.Hour+time.Minute), 2), alice)
		r := ran(18, "cc1", noon.Add(25*time.Hour), 4)
		r.Usage.Groups &^= watch.GroupBasic
		s.Record(r, bob)
		s.Job(alice, 0)
		s.Job(bob, 0)
		rep := s.Report()
		expect(t, "by "+by, rep, want)
		if rep.Total.Jobs != 2 || rep.Total.Processes != 3 || rep.Total.CPUUnattributed != 21000 || rep.Total.Wall != 3e9 || rep.By != by {
			t.Errorf("by %s: %+v", by, rep.Total)
		}
	}
}

func TestLabels(t *testing.T) {
	jid := job.NewJID(4779, 17)
	in := &job.Info{JID: jid, User: "alice", UID: 1000, GID: ptr(uint32(100))}
	for by, want := range map[string]Line{
		"user":  {Key: "alice", UID: ptr(uint32(1000))},
		"group": {Key: "100", GID: ptr(uint32(100))},
		"job":   {Key: "17", JID: &jid},
	} {
		s := sheet(t, by, Options{})
		s.Record(ran(jid, "sh", noon, 0), in)
		got := s.Report().Lines[0]
		if d := cmp.Diff(want, Line{Key: got.Key, UID: got.UID, GID: got.GID, JID: got.JID}); d != "" {
			t.Errorf("by %s: %s", by, d)
		}
	}
}

// TestUnknownJob: use of a job that is on no book is used all the same.
func TestUnknownJob(t *testing.T) {
	for by, key := range map[string]string{"user": "-", "service": "-", "tag:a": "-", "job": "17", "command": "sh"} {
		s := sheet(t, by, Options{Billing: &goldenWeights})
		s.Record(ran(17, "sh", noon, 5), nil)
		rep := s.Report()
		expect(t, "by "+by, rep, map[string]int64{key: 5, "total": 5})
		if rep.Lines[0].UID != nil {
			t.Error("its uid is known")
		}
	}
	s := sheet(t, "user", Options{Billing: &goldenWeights})
	s.Part(job.Part{JID: 17, At: noon.UnixNano(), Unattributed: 5}, nil)
	expect(t, "part", s.Report(), map[string]int64{"-": 5, "total": 5})
}

// TestMidnightIsOfTheDayThatItCloses: so is an end of a period.
func TestMidnightIsOfTheDayThatItCloses(t *testing.T) {
	midnight := time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)
	s := sheet(t, "day", Options{})
	s.Record(ran(1, "sh", midnight, 1), nil)
	s.Record(ran(1, "sh", midnight.Add(1), 2), nil)
	s.Part(job.Part{JID: 1, At: midnight.UnixNano(), Unattributed: 4}, nil)
	s.Job(&job.Info{JID: 1, Ended: &midnight, CPUUnattributed: ptr(int64(12))}, 4)
	expect(t, "days", s.Report(), map[string]int64{"2026-03-04": 13, "2026-03-05": 2, "total": 15})
	if l := s.Report().Lines; l[0].Jobs != 1 || l[1].Jobs != 0 {
		t.Error("the job is counted on another day than its use")
	}
	for i, opt := range []Options{{To: midnight}, {From: midnight}} {
		s := sheet(t, "user", opt)
		s.Record(ran(1, "sh", midnight, 1), nil)
		s.Record(ran(1, "sh", midnight.Add(1), 2), nil)
		expect(t, "period", s.Report(), map[string]int64{"-": int64(i + 1), "total": int64(i + 1)})
	}
}

func TestDaysOfAPlace(t *testing.T) {
	berlin := place(t, "Europe/Berlin")
	utc := func(h, m int) time.Time { return time.Date(2026, 10, 24, h, m, 0, 0, time.UTC) }
	s := sheet(t, "hour", Options{Location: berlin})
	for i, at := range []time.Time{utc(22, 0), utc(22, 1), utc(23, 59), utc(24, 30), utc(25, 0), utc(25, 30), utc(26, 1)} {
		s.Record(ran(1, "sh", at, 1<<i), nil)
	}
	expect(t, "hours", s.Report(), map[string]int64{ // 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC
		"2026-10-24T23": 1, "2026-10-25T00": 2, "2026-10-25T01": 4, "2026-10-25T02": 8 + 16 + 32, "2026-10-25T03": 64, "total": 127,
	})
}

// TestDayOfTheClockChange: a day of 23 hours is neither longer before the change of the clock nor after it, whichever part of
// it is met first.
func TestDayOfTheClockChange(t *testing.T) {
	berlin := place(t, "Europe/Berlin")
	utc := func(d, h int) time.Time { return time.Date(2026, 3, d, h, 30, 0, 0, time.UTC) }
	for _, first := range []time.Time{utc(29, 0), utc(29, 12)} { // the clock is put forward at 01:00 UTC
		s := sheet(t, "day", Options{Location: berlin})
		s.Record(ran(1, "sh", first, 1), nil)
		s.Record(ran(1, "sh", utc(28, 22), 2), nil)
		s.Record(ran(1, "sh", first, 4), nil)
		s.Record(ran(1, "sh", utc(29, 22), 8), nil)
		expect(t, "days", s.Report(), map[string]int64{"2026-03-28": 2, "2026-03-29": 5, "2026-03-30": 8, "total": 15})
	}
}

// TestPartialRecords: a process with two checkpoints; what it used counts where it was used, the process where it ended.
func TestPartialRecords(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	start, end := day(4).Add(18*time.Hour), day(6).Add(time.Hour)
	use := func(cpu, rss int64, elapsed time.Duration) watch.Usage {
		return watch.Usage{Groups: allGroups, Comm: "tmux", CPU: cpu, User: cpu / 2, System: cpu / 2, MaxRSS: rss, ReadBytes: 10 * cpu, CoreMem: cpu, Elapsed: int64(elapsed)}
	}
	first := &job.Record{JID: 1, Start: start.UnixNano(), End: day(5).UnixNano(), Partial: true, Used: true, Usage: use(100, 5, 6*time.Hour)}
	second := &job.Record{JID: 1, Start: start.UnixNano(), End: day(6).UnixNano(), Partial: true, Used: true, Usage: use(40, 7, 24*time.Hour)}
	last := &job.Record{JID: 1, Start: start.UnixNano(), End: end.UnixNano(), Used: true, Usage: use(142, 7, 31*time.Hour), Earlier: ptr(use(140, 0, 30*time.Hour))}
	s := sheet(t, "day", Options{})
	for _, r := range []*job.Record{last, first, second} {
		s.Record(r, nil)
	}
	want := []Line{
		{Key: "2026-03-04", Wall: int64(6 * time.Hour), CPU: 100, CPUUser: 50, CPUSystem: 50, MaxRSS: 5, ReadBytes: 1000, CoreMem: 100},
		{Key: "2026-03-05", Wall: int64(24 * time.Hour), CPU: 40, CPUUser: 20, CPUSystem: 20, MaxRSS: 7, ReadBytes: 400, CoreMem: 40},
		{Key: "2026-03-06", Wall: int64(time.Hour), CPU: 2, CPUUser: 1, CPUSystem: 1, MaxRSS: 7, ReadBytes: 20, CoreMem: 2, Processes: 1},
	}
	if d := cmp.Diff(want, s.Report().Lines); d != "" {
		t.Error(d)
	}

	live := sheet(t, "day", Options{})
	live.Live(last, nil)
	want[2].Processes = 0
	if d := cmp.Diff(want[2:], live.Report().Lines); d != "" {
		t.Error("living:", d)
	}
}

// TestNothingBelowZero: figures of checkpoints are read another way than those of exits, and may be ahead.
func TestNothingBelowZero(t *testing.T) {
	r := ran(1, "sh", noon, 5)
	r.Earlier = &watch.Usage{Groups: allGroups, CPU: 6, User: 1, Elapsed: int64(time.Minute)}
	s := sheet(t, "user", Options{Billing: &goldenWeights})
	s.Record(r, nil)
	s.Job(&job.Info{JID: 1, Ended: &noon, CPUUnattributed: ptr(int64(3))}, 4)
	if l := s.Report().Total; l.CPU != 0 || l.CPUUser != 0 || l.Wall != 0 || l.CPUUnattributed != 0 || *l.Units != 0 {
		t.Errorf("%+v", l)
	}
}

func TestEstimated(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *job.Record)
		opt    Options
		want   bool
	}{
		{"all is known", func(r *job.Record) {}, Options{}, false},
		{"marked", func(r *job.Record) { r.Estimated = true }, Options{}, true},
		{"no usage", func(r *job.Record) { r.Used = false }, Options{}, true},
		{"no I/O", func(r *job.Record) { r.Usage.Groups &^= watch.GroupIO }, Options{}, true},
		{"no start", func(r *job.Record) { r.Start = 0 }, Options{}, false},
		{"no switches, no delays", func(r *job.Record) { r.Usage.Groups &^= watch.GroupDelay | watch.GroupSwitch }, Options{}, false},
		{"no delays, which cost", func(r *job.Record) { r.Usage.Groups &^= watch.GroupDelay }, Options{Billing: &goldenWeights}, true},
	} {
		r := ran(1, "sh", noon, 1)
		c.change(r)
		s := sheet(t, "user", c.opt)
		s.Record(r, nil)
		if rep := s.Report(); rep.Lines[0].Estimated != c.want || rep.Total.Estimated != c.want {
			t.Errorf("%s: %v", c.name, rep.Total.Estimated)
		}
	}
	s := sheet(t, "user", Options{})
	s.Job(&job.Info{JID: 1, Ended: &noon}, 0)
	if !s.Report().Total.Estimated {
		t.Error("nobody knows how much CPU is on no record, and the line does not say so")
	}
}

// TestUnknownFiguresAreNotAdded: a group that not all threads had is no figure of the process.
func TestUnknownFiguresAreNotAdded(t *testing.T) {
	r := ran(1, "sh", noon, 5)
	r.Usage.Groups, r.Usage.MaxRSS, r.Usage.CoreMem, r.Usage.ReadBytes, r.Usage.User = 0, 1, 1, 1, 1
	s := sheet(t, "user", Options{})
	s.Record(r, nil)
	want := Line{Key: "total", Processes: 1, Wall: 1e9, Estimated: true}
	if d := cmp.Diff(want, s.Report().Total); d != "" {
		t.Error(d)
	}
}

func TestWhole(t *testing.T) {
	in := &job.Info{
		JID: 17, User: "alice", UID: 1000, Command: "make", Started: noon.Add(-time.Hour), Ended: &noon, TotalProcesses: 12, CPU: ptr(int64(10e9)),
		CPUUser: ptr(int64(6e9)), CPUSystem: ptr(int64(2e9)), CPUUnattributed: ptr(int64(1e9)), MaxRSS: ptr(int64(5)), ReadBytes: ptr(int64(3)),
	}
	b := flat(Weights{Time: 1, STime: 1, UTime: 2}) // 10 s, a quarter of it system time: 2.5 + 2 · 7.5
	want := Line{Jobs: 1, Processes: 12, CPU: 10e9, CPUUser: 6e9, CPUSystem: 2e9, CPUUnattributed: 1e9, MaxRSS: 5, ReadBytes: 3,
		Units: ptr(17.5), Estimated: true}
	for by, key := range map[string]string{"user": "alice", "command": "make", "day": "2026-03-04", "group": "-"} {
		s := sheet(t, by, Options{Billing: &b})
		s.Whole(in)
		got := s.Report().Lines[0]
		want.Key, want.UID = key, got.UID
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("by %s: %s", by, d)
		}
	}
	s := sheet(t, "user", Options{From: noon})
	s.Whole(in)
	s.Job(in, 0)
	open := *in
	open.Ended = nil
	s.Whole(&open)
	s.Job(&open, 0)
	if rep := s.Report(); len(rep.Lines) != 0 {
		t.Errorf("of another period, and counted: %+v", rep.Lines)
	}
}

func TestLimit(t *testing.T) {
	by := func(by string) Report {
		s := sheet(t, by, Options{Limit: 2, Billing: ptr(flat(Weights{Time: 1, STime: 1}))})
		for i, cpu := range []int64{5e9, 9e9, 7e9, 1e9} {
			r := ran(1, string(rune('a'+i)), noon.AddDate(0, 0, i), cpu)
			r.Usage.MaxRSS = cpu
			s.Record(r, nil)
		}
		return s.Report()
	}
	rep := by("command")
	if got := rep.Lines; len(got) != 2 || got[0].Key != "b" || got[1].Key != "c" {
		t.Errorf("%+v", got)
	}
	if d := cmp.Diff(&Line{Key: "other", Processes: 2, Wall: 2e9, CPU: 6e9, MaxRSS: 5e9, Units: ptr(6.)}, rep.Other); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Line{Key: "total", Processes: 4, Wall: 4e9, CPU: 22e9, MaxRSS: 9e9, Units: ptr(22.)}, rep.Total); d != "" {
		t.Error(d)
	}
	if rep = by("day"); rep.Lines[0].Key != "2026-03-06" || rep.Lines[1].Key != "2026-03-07" || rep.Other.CPU != 14e9 {
		t.Errorf("%+v", rep)
	}
}

func TestEmptyReport(t *testing.T) {
	rep := sheet(t, "user", Options{From: noon, Limit: 3}).Report()
	want := Report{By: "user", From: &noon, Lines: []Line{}, Gaps: []job.Moment{}, Total: Line{Key: "total"}}
	if !reflect.DeepEqual(rep, want) {
		t.Errorf("%+v", rep)
	}
	if rep = sheet(t, "user", Options{Billing: &goldenWeights}).Report(); rep.Total.Units == nil || *rep.Total.Units != 0 {
		t.Error("nothing was used, and what it costs is not known")
	}
}

func TestBadSheets(t *testing.T) {
	for _, by := range []string{"", "users", "tag", "tag:"} {
		if _, err := New(by, Options{}); err == nil || !strings.Contains(err.Error(), "cannot report by") {
			t.Errorf("by %q: %v", by, err)
		}
	}
	if _, err := New("user", Options{Billing: &Billing{PrimeHours: "x"}}); err == nil {
		t.Error("a bad calendar is taken")
	}
}

// TestNamesOutliveTheirRecord: a record is written over by the next one.
func TestNamesOutliveTheirRecord(t *testing.T) {
	s := sheet(t, "command", Options{})
	r := ran(1, "first", noon, 1)
	s.Record(r, nil)
	*r = *ran(1, "second", noon, 2)
	s.Record(r, nil)
	expect(t, "commands", s.Report(), map[string]int64{"first": 1, "second": 2, "total": 3})
}

// TestACommandCannotPassForUnattributed: a process may call itself what it likes, in 15 bytes.
func TestACommandCannotPassForUnattributed(t *testing.T) {
	if len(Unattributed) <= 15 {
		t.Error("it can")
	}
}
