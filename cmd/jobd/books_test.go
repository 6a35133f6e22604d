package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// noon is when the books of these tests begin.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const testHID = 7

func jid(seq uint32) job.JID { return job.NewJID(testHID, seq) }

func hours(h float64) time.Time { return noon.Add(time.Duration(h * float64(time.Hour))) }

// bookkeeper is a jobd without an engine: its loop only carries commands out. Nothing in it needs root.
func bookkeeper(t *testing.T) *jobd {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(filepath.Join(t.TempDir(), "jobd.db"), store.Options{
		HID: testHID, BootID: "boot", Now: noon, Log: log, KeepRecords: -1, KeepJobs: -1, Floor: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &watch.Table{}
	n, err := pnotify.New(w)
	if err != nil {
		t.Fatal(err)
	}
	table, err := job.New(n, job.Config{HID: testHID, Host: "login03", BootID: "boot"})
	if err != nil {
		t.Fatal(err)
	}
	d := &jobd{
		cfg: &config{settings: defaultSettings()}, log: log, store: st, watch: w, notify: n, table: table, turns: newTurns(),
		logins: make(chan command), commands: make(chan command), ended: make(chan struct{}),
		rouse: func() {}, settle: func() {}, // nobody rests
	}
	d.cfg.Host = "login03"
	d.live.Store(&d.cfg.settings)
	d.troubles = make(troubles)
	go func() {
		defer close(d.ended)
		for c := range d.commands {
			c.done <- c.do()
		}
	}()
	t.Cleanup(func() {
		close(d.commands)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// past is a job on the books: three of them, and a part of one.
func past(seq uint32, user string, uid, gid uint32, service, rhost string, from, to float64, cpu, unattributed int64, tags map[string]string) job.Saved {
	end := hours(to).UTC()
	zero := int64(0)
	status := int(seq % 2)
	return job.Saved{Info: job.Info{
		JID: jid(seq), Seq: seq, Host: "login03", BootID: "boot", User: user, UID: uid, GID: &gid, Service: job.Text(service),
		RHost: job.Text(rhost), State: job.Ended, Started: hours(from).UTC(), Ended: &end, CPU: &cpu, CPUSource: job.SourceCgroup,
		CPUUnattributed: &unattributed, CPUUser: &zero, CPUSystem: &zero, MaxRSS: &zero, ReadBytes: &zero, WriteBytes: &zero,
		ExitStatus: &status, EndReason: job.EndExit, Tags: tags, Command: job.Text(user + "-sh"),
	}}
}

// gone is a record on the books.
func gone(seq uint32, pid int32, uid, gid uint32, comm, exe string, from, to float64, cpu, rss, io int64) *job.Record {
	start, end := hours(from).UnixNano(), hours(to).UnixNano()
	return &job.Record{
		JID: jid(seq), PID: pid, Start: start, End: end, Exited: true, Status: int64(pid%2) << 8, Used: true, Exe: exe,
		Usage: watch.Usage{
			Groups: watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO, Comm: comm, UID: uid, GID: gid, PPID: 1,
			Elapsed: end - start, CPU: cpu, User: cpu, MaxRSS: rss, ReadBytes: io / 2, WriteBytes: io - io/2, Threads: 1,
		},
	}
}

const s = int64(time.Second)

// keep writes the books that the tests ask about.
func (d *jobd) keepBooks(t *testing.T) {
	t.Helper()
	d.store.EndJob(past(1, "alice", 1000, 100, "sshd", "192.0.2.7", 0, 2, 10*s, 2*s, map[string]string{"project": "x1", "queue": "long"}))
	d.store.EndJob(past(2, "bob", 1001, 100, "sshd", "2001:db8::5", 1, 3, 20*s, 0, map[string]string{"project": "y2"}))
	d.store.EndJob(past(3, "alice", 1000, 100, "cron", "", 20, 30, 5*s, 1*s, nil))
	for _, r := range []*job.Record{
		gone(1, 11, 0, 0, "sshd", "/usr/sbin/sshd", 0, 2, 1*s, 10<<20, 0),
		gone(1, 12, 1000, 100, "gcc", "/usr/bin/gcc", 0.5, 1, 7*s, 90<<20, 1<<20),
		gone(2, 21, 1001, 100, "gcc", "/home/bob/gcc", 1, 3, 15*s, 50<<20, 3<<20),
		gone(2, 22, 1001, 200, "make", "/usr/bin/make", 1, 3, 5*s, 5<<20, 0),
	} {
		d.store.PutRecord(r)
	}
	// a process that ran past midnight: 1 s before, 3 s after
	part := gone(3, 31, 1000, 100, "tmux", "/usr/bin/tmux", 20, 24, 1*s, 1<<20, 0)
	part.End, part.Partial, part.Exited = hours(12).UnixNano(), true, false
	part.Start, part.Usage.Elapsed = hours(11.5).UnixNano(), int64(30*time.Minute)
	d.store.PutRecord(part)
	last := gone(3, 31, 1000, 100, "tmux", "/usr/bin/tmux", 11.5, 30, 4*s, 1<<20, 0)
	last.Earlier = &watch.Usage{CPU: 1 * s, User: 1 * s, Elapsed: int64(30 * time.Minute)}
	d.store.PutRecord(last)
	d.store.PutMoment(job.Moment{Time: hours(5), Since: new(hours(4)), Kind: job.MomentGap, Text: "jobd was not running"})
	if err := d.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var (
	root  = control.Peer{Root: true}
	alice = control.Peer{UID: 1000, GID: 100}
)

// ask answers a request and gives the answer in the JSON that a client would get.
func ask[T any](t *testing.T, d *jobd, peer control.Peer, req control.Request) T {
	t.Helper()
	v, err := d.answer(context.Background(), peer, control.Anyone, req)
	if err != nil {
		t.Fatalf("%+v: %v", req, err)
	}
	if list, ok := v.(control.Processes); ok {
		all := []job.Process{}
		if err := list(func(p job.Process) bool { all = append(all, p); return true }); err != nil {
			t.Fatalf("%+v: %v", req, err)
		}
		v = all
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out T
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilters(t *testing.T) {
	d := bookkeeper(t)
	d.keepBooks(t)
	tests := []struct {
		name  string
		peer  control.Peer
		req   control.Request
		jobs  string // history: sequences
		procs string // records: pids
	}{
		{"all", root, control.Request{}, "3 2 1", "31 22 21 11 12"},
		{"own", alice, control.Request{}, "3 1", "31 11 12"},
		{"user", root, control.Request{User: "bob"}, "2", "22 21"},
		{"another user's", alice, control.Request{User: "bob"}, "", ""},
		{"uid", root, control.Request{UID: new(uint32(1000))}, "3 1", "31 12"},
		{"group", root, control.Request{GID: new(uint32(200))}, "", "22"},
		{"a job's group", root, control.Request{GID: new(uint32(100))}, "3 2 1", "31 21 12"},
		{"command", root, control.Request{Command: "^(gcc|alice-sh)$"}, "3 1", "21 12"},
		{"service", root, control.Request{Service: "cron"}, "3", "31"},
		{"network", root, control.Request{RHost: "192.0.2.0/24"}, "1", "11 12"},
		{"address", root, control.Request{RHost: "2001:DB8::5"}, "2", "22 21"},
		{"tag", root, control.Request{Tag: []string{"project=x1"}}, "1", "11 12"},
		{"any value of a tag", root, control.Request{Tag: []string{"project"}}, "2 1", "22 21 11 12"},
		{"overlap", root, control.Request{Since: hours(2.5), Until: hours(21)}, "3 2", "31 22 21"},
		{"at", root, control.Request{Since: hours(1.5), Until: hours(1.5).Add(1)}, "2 1", "22 21 11"},
		{"least CPU", root, control.Request{MinCPU: 7 * s}, "2 1", "21 12"},
		{"least memory", root, control.Request{MinRSS: 50 << 20}, "", "21 12"},
		{"least I/O", root, control.Request{MinIO: 2 << 20}, "", "21"},
		{"exit", root, control.Request{Exit: "!0"}, "3 1", "31 21 11"},
		{"limit", root, control.Request{Limit: 2}, "3 2", "31 22"},
		{"by CPU", root, control.Request{Sort: "cpu"}, "2 1 3", "21 12 22 31 11"},
		{"most CPU", root, control.Request{Sort: "cpu", Limit: 1}, "2", "21"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := tt.req
			req.Verb = control.History
			var seqs []string
			for _, in := range ask[[]job.Info](t, d, tt.peer, req) {
				seqs = append(seqs, fmt.Sprint(in.Seq))
			}
			if got := strings.Join(seqs, " "); got != tt.jobs {
				t.Errorf("jobs %q, want %q", got, tt.jobs)
			}
			req.Verb = control.Procs
			var pids []string
			for _, p := range ask[[]job.Process](t, d, tt.peer, req) {
				pids = append(pids, fmt.Sprint(p.PID))
			}
			if got := strings.Join(pids, " "); got != tt.procs {
				t.Errorf("records of %q, want %q", got, tt.procs)
			}
		})
	}
	req := control.Request{Verb: control.Procs, Exe: "^/home/"}
	if got := ask[[]job.Process](t, d, root, req); len(got) != 1 || got[0].PID != 21 {
		t.Errorf("exe: %+v", got)
	}
	req = control.Request{Verb: control.Procs, PID: 12}
	if got := ask[[]job.Process](t, d, root, req); len(got) != 1 || got[0].Comm != "gcc" {
		t.Errorf("pid: %+v", got)
	}
}

// line is what a test looks at of a report's line.
type line struct {
	Key              string
	Jobs, Procs      int64
	CPU, Rest        int64 // s
	RSS, IO, WallMin int64 // MiB, MiB, minutes
}

func lineOf(l report.Line) line {
	return line{
		l.Key, l.Jobs, l.Processes, l.CPU / s, l.CPUUnattributed / s, l.MaxRSS >> 20, (l.ReadBytes + l.WriteBytes) >> 20, l.Wall / int64(time.Minute),
	}
}

func TestReports(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	d := bookkeeper(t)
	d.keepBooks(t)
	total := line{"total", 3, 5, 35, 3, 90, 4, 120 + 30 + 240 + 18*60 + 30}
	tests := []struct {
		name string
		peer control.Peer
		req  control.Request
		want []line
	}{
		{"user", root, control.Request{}, []line{
			{"bob", 1, 2, 20, 0, 50, 3, 240}, {"alice", 2, 3, 15, 3, 90, 1, 150 + 18*60 + 30}, total}},
		{"own", alice, control.Request{}, []line{
			{"alice", 2, 3, 15, 3, 90, 1, 150 + 18*60 + 30}, {"total", 2, 3, 15, 3, 90, 1, 150 + 18*60 + 30}}},
		{"group", root, control.Request{By: "group"}, []line{{"100", 3, 5, 35, 3, 90, 4, 390 + 18*60 + 30}, total}},
		{"service", root, control.Request{By: "service"}, []line{
			{"sshd", 2, 4, 30, 2, 90, 4, 390}, {"cron", 1, 1, 5, 1, 1, 0, 18*60 + 30}, total}},
		{"tag", root, control.Request{By: "tag:project"}, []line{
			{"y2", 1, 2, 20, 0, 50, 3, 240}, {"x1", 1, 2, 10, 2, 90, 1, 150}, {"-", 1, 1, 5, 1, 1, 0, 18*60 + 30}, total}},
		{"day", root, control.Request{By: "day"}, []line{
			{"2026-03-02", 2, 4, 31, 2, 90, 4, 390 + 30}, {"2026-03-03", 1, 1, 4, 1, 1, 0, 18 * 60}, total}},
		{"one day", root, control.Request{By: "user", Since: hours(12)}, []line{
			{"alice", 1, 1, 4, 1, 1, 0, 18 * 60}, {"total", 1, 1, 4, 1, 1, 0, 18 * 60}}},
		{"the day before", root, control.Request{By: "service", Until: hours(12)}, []line{
			{"sshd", 2, 4, 30, 2, 90, 4, 390}, {"cron", 0, 0, 1, 0, 1, 0, 30}, {"total", 2, 4, 31, 2, 90, 4, 420}}},
		{"a command", root, control.Request{By: "user", Command: "^gcc$"}, []line{
			{"bob", 0, 1, 15, 0, 50, 3, 120}, {"alice", 0, 1, 7, 0, 90, 1, 30}, {"total", 0, 2, 22, 0, 90, 4, 150}}},
		{"the top", root, control.Request{By: "user", Limit: 1}, []line{
			{"bob", 1, 2, 20, 0, 50, 3, 240}, {"other", 2, 3, 15, 3, 90, 1, 150 + 18*60 + 30}, total}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.Verb = control.Report
			var got []line
			for range 2 { // asked again, it gives the same
				rep := ask[report.Report](t, d, tt.peer, tt.req)
				got = nil
				for _, l := range rep.Lines {
					got = append(got, lineOf(l))
				}
				if rep.Other != nil {
					got = append(got, lineOf(*rep.Other))
				}
				got = append(got, lineOf(rep.Total))
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

func TestReportOfAJob(t *testing.T) {
	d := bookkeeper(t)
	d.keepBooks(t)
	rep := ask[report.Report](t, d, root, control.Request{Verb: control.Report, Job: "1", By: "command"})
	cpu := map[string]int64{}
	for _, l := range rep.Lines {
		cpu[l.Key] = l.CPU / s
	}
	if cpu["gcc"] != 7 || cpu["sshd"] != 1 || rep.Total.CPU != 10*s || rep.Total.CPUUnattributed != 2*s || rep.Total.Jobs != 1 {
		t.Errorf("lines %v, total %+v", cpu, rep.Total)
	}
	_, err := d.answer(context.Background(), alice, control.Anyone, control.Request{Verb: control.Report, Job: "2"})
	if e, ok := err.(*control.Error); !ok || e.Code != control.Denied {
		t.Errorf("another's job: %v", err)
	}
}

// TestReportBySums: by command, what the books have in sum gives what the records give, at the edges of a period too.
func TestReportBySums(t *testing.T) {
	d := bookkeeper(t)
	d.keepBooks(t)
	const n = 5000 // a second a record: enough for blocks that are settled
	for i := range n {
		comm := []string{"cc1", "as", "ld"}[i%3]
		r := gone(1, int32(100+i), 1000, 100, comm, "/usr/bin/"+comm, float64(i)/3600, float64(i+1)/3600, s/10, int64(i)<<10, 1<<10)
		if r.Estimated = i == 4000; i%7 == 0 {
			r.Used, r.Usage = false, watch.Usage{}
		}
		d.store.PutRecord(r)
	}
	if err := d.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range [][2]time.Time{
		{}, {hours(0.1), {}}, {{}, hours(1.2)}, {hours(1.0 / 3600), {}}, {{}, hours(n / 3600.0)}, {hours(n / 3600.0), hours(30)},
	} {
		req := control.Request{Verb: control.Report, By: "command", Since: p[0], Until: p[1]}
		want, got := byRecords(t, d, req), ask[report.Report](t, d, root, req)
		if diff := cmp.Diff(want.Lines, got.Lines); diff != "" {
			t.Errorf("%v: -records +report:\n%s", p, diff)
		}
		if diff := cmp.Diff(want.Total, got.Total); diff != "" {
			t.Errorf("%v: -records +report:\n%s", p, diff)
		}
	}
	inSum := int64(0)
	count := store.Query{Sums: func(_ string, sum *job.Sum) { inSum += sum.Records }}
	if err := d.store.Scan(count, func(*job.Record) bool { return true }); err != nil || inSum < n/2 {
		t.Errorf("%d records are in sum, %v", inSum, err)
	}
	rep := ask[report.Report](t, d, alice, control.Request{Verb: control.Report, By: "command"})
	if rep.Total.Processes != n+3 {
		t.Errorf("of alice's own: %+v", rep.Total)
	}
}

// byRecords makes a report of all jobs from each record.
func byRecords(t *testing.T, d *jobd, req control.Request) report.Report {
	t.Helper()
	a, err := d.accountant(t.Context(), root, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.addParts(t.Context()), a.addJobs(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := d.store.Scan(store.Query{}, func(r *job.Record) bool { a.sheet.Record(r, nil); return true }); err != nil {
		t.Fatal(err)
	}
	return a.sheet.Report()
}

// A period with a gap says so.
func TestGaps(t *testing.T) {
	d := bookkeeper(t)
	d.keepBooks(t)
	for _, tt := range []struct {
		since, until float64
		gaps         int
	}{{0, 3, 0}, {3, 4.5, 1}, {4.2, 4.3, 1}, {4.5, 20, 1}, {6, 7, 0}} {
		rep := ask[report.Report](t, d, root, control.Request{Verb: control.Report, Since: hours(tt.since), Until: hours(tt.until)})
		if len(rep.Gaps) != tt.gaps {
			t.Errorf("from %g to %g: gaps %+v, want %d", tt.since, tt.until, rep.Gaps, tt.gaps)
		}
	}
	all := ask[[]job.Moment](t, d, alice, control.Request{Verb: control.Moments})
	if len(all) != 1 || all[0].Kind != job.MomentGap || !slices.Equal([]job.Text{all[0].Text}, []job.Text{"jobd was not running"}) {
		t.Errorf("moments: %+v", all)
	}
}

// What would take the host's time or memory is refused before anything is read.
func TestTooMuchIsRefused(t *testing.T) {
	d := bookkeeper(t)
	for _, req := range []control.Request{
		{Verb: control.Procs, Sort: "cpu", Limit: 1 << 30},
		{Verb: control.Procs, Command: "(?:.?){1000}"},
		{Verb: control.Report, Exe: "(?:[a-z]{10}){200}"},
	} {
		_, err := d.answer(context.Background(), alice, control.Anyone, req)
		if e, ok := err.(*control.Error); !ok || e.Code != control.BadRequest {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

// People who were taken out of the books are not nobody's to see.
func TestForgottenIsNotNobodys(t *testing.T) {
	d := bookkeeper(t)
	d.store.EndJob(past(9, "forgotten", 65534, 65534, "sshd", "", 0, 1, s, 0, nil))
	d.store.EndJob(past(10, "nobody", 65534, 65534, "sshd", "", 0, 1, s, 0, nil))
	if err := d.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		peer control.Peer
		jobs int
	}{{control.Peer{UID: 65534}, 1}, {root, 2}} {
		if got := ask[[]job.Info](t, d, tt.peer, control.Request{Verb: control.History}); len(got) != tt.jobs {
			t.Errorf("uid %d sees %d jobs, want %d", tt.peer.UID, len(got), tt.jobs)
		}
		if got := ask[report.Report](t, d, tt.peer, control.Request{Verb: control.Report}); got.Total.Jobs != int64(tt.jobs) {
			t.Errorf("uid %d has %d jobs in a report, want %d", tt.peer.UID, got.Total.Jobs, tt.jobs)
		}
	}
}
