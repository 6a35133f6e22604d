package main

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// What others chose: names of all lengths, in all scripts, with what moves a cursor in them.
func anyText() *rapid.Generator[job.Text] {
	return rapid.Map(rapid.OneOf(
		rapid.StringN(0, 40, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("a日é\u0301\u202e\x1b[2J\r\n\t 🐧…│\x00\u200b")), 0, 300, -1),
		rapid.StringMatching(`[a-z0-9.-]{1,120}`),
	), func(s string) job.Text { return job.Text(s) })
}

func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(g, true) }

func anyTime() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.Int64Range(-1<<33, 1<<35), func(s int64) time.Time { return time.Unix(s, 0) })
}

func anyJob(t *rapid.T) job.Info {
	text, figure := anyText(), maybe(rapid.Int64())
	uid := maybe(rapid.Uint32())
	return job.Info{
		JID: job.JID(rapid.Uint64().Draw(t, "jid")), Seq: rapid.Uint32().Draw(t, "seq"), Host: text.Draw(t, "host"),
		User: string(text.Draw(t, "user")), UID: rapid.Uint32().Draw(t, "uid"), Service: text.Draw(t, "service"), TTY: text.Draw(t, "tty"),
		RHost: text.Draw(t, "rhost"), RPort: maybe(rapid.Int()).Draw(t, "rport"), AuthKey: text.Draw(t, "key"),
		State: job.State(text.Draw(t, "state")), Started: anyTime().Draw(t, "started"), Ended: maybe(anyTime()).Draw(t, "ended"),
		Held: rapid.Bool().Draw(t, "held"), LoginUID: uid.Draw(t, "login uid"), AuditSession: uid.Draw(t, "audit"),
		LogindSession: text.Draw(t, "logind"), POE: rapid.Int32().Draw(t, "poe"), Command: text.Draw(t, "command"),
		Marks:     []job.Mark{{Service: text.Draw(t, "mark"), User: text.Draw(t, "mark user"), TTY: text.Draw(t, "mark tty"), PID: -1 << 31}},
		Processes: rapid.Int().Draw(t, "n"), PeakProcesses: rapid.Int().Draw(t, "peak"), TotalProcesses: rapid.Int().Draw(t, "total"),
		CPU: figure.Draw(t, "cpu"), CPUSource: text.Draw(t, "source"), CPUUser: figure.Draw(t, "cpu user"),
		CPUSystem: figure.Draw(t, "cpu system"), CPUUnattributed: figure.Draw(t, "cpu rest"), MaxRSS: figure.Draw(t, "rss"),
		EndReason: text.Draw(t, "reason"), Witness: text.Draw(t, "witness"), Estimated: rapid.Bool().Draw(t, "estimated"),
		Tags: map[string]string{string(text.Draw(t, "tag")): string(text.Draw(t, "tag value"))},
	}
}

func anyProcess(t *rapid.T) job.Process {
	text, figure := anyText(), maybe(rapid.Int64())
	pid := rapid.OneOf(rapid.Int32Range(1, 20), rapid.Int32())
	return job.Process{
		Seq: rapid.Uint32().Draw(t, "seq"), PID: pid.Draw(t, "pid"), PPID: maybe(pid).Draw(t, "ppid"), Comm: text.Draw(t, "comm"),
		State: text.Draw(t, "state"), Started: maybe(anyTime()).Draw(t, "started"), Ended: maybe(anyTime()).Draw(t, "ended"),
		Elapsed: figure.Draw(t, "elapsed"), CPU: figure.Draw(t, "cpu"), MaxRSS: figure.Draw(t, "rss"),
		ExitStatus: maybe(rapid.Int()).Draw(t, "exit"), Estimated: rapid.Bool().Draw(t, "estimated"),
	}
}

func anyEvent(t *rapid.T) control.WatchEvent {
	text, pid := anyText(), maybe(rapid.Int32())
	return control.WatchEvent{
		Event: rapid.SampledFrom([]string{
			"clone", "exec", "uid", "gid", "exit", "free", "refuse", "lost", "job_start", "job_end", "gone", string(text.Draw(t, "event")),
		}).Draw(t, "kind"),
		Time: anyTime().Draw(t, "time"), Seq: maybe(rapid.Uint32()).Draw(t, "seq"), PID: pid.Draw(t, "pid"), TGID: pid.Draw(t, "tgid"),
		PPID: pid.Draw(t, "ppid"), Exe: text.Draw(t, "exe"), Comm: text.Draw(t, "comm"), User: string(text.Draw(t, "user")),
		Service: text.Draw(t, "service"), EndReason: text.Draw(t, "reason"), Why: string(text.Draw(t, "why")), How: string(text.Draw(t, "how")),
	}
}

func anyLeft(t *rapid.T) control.KillLeft {
	text := anyText()
	return control.KillLeft{PID: rapid.Int32().Draw(t, "pid"), Comm: text.Draw(t, "comm"), State: text.Draw(t, "state"), Why: text.Draw(t, "why")}
}

// fits checks that what is printed is lines of printable characters, none of them too wide.
func fits(t *rapid.T, what, out string, width int) {
	if out != "" && !strings.HasSuffix(out, "\n") {
		t.Fatalf("%s: the last line has no end: %q", what, out)
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if n := cells(line); n > width {
			t.Fatalf("%s: a line of %d columns, %d are there: %q", what, n, width, line)
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }); i >= 0 {
			t.Fatalf("%s: a character that is not printable at %d: %q", what, i, line)
		}
	}
}

// TestNoLineIsTooWide: whatever users, hosts and commands are called, no line is wider than the terminal, nothing in it
// moves the cursor, and a table has a line for each row.
func TestNoLineIsTooWide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := testApp()
		a.width = rapid.SampledFrom([]int{columns, columns, leastColumns, 40, 132}).Draw(t, "width")
		jobs := rapid.SliceOfN(rapid.Custom(anyJob), 0, 4).Draw(t, "jobs")
		list := rapid.SliceOfN(rapid.Custom(anyProcess), 0, 12).Draw(t, "processes")
		for name, tab := range map[string]*table{
			"list": a.jobTable(jobs), "history": a.historyTable(jobs), "ps": a.processTable(list), "procs": a.recordTable(list, false),
			"a tree of records": a.treeTable(list, false),
		} {
			out := printed(t, a.width, tab)
			fits(t, name, out, a.width)
			if n := strings.Count(out, "\n"); n != len(tab.rows) && n != len(tab.rows)+1 {
				t.Fatalf("%s: %d lines for %d rows", name, n, len(tab.rows))
			}
		}
		e := anyEvent(t)
		fits(t, "watch", shorten(a.eventText(&e), a.width)+"\n", a.width)
		for _, in := range jobs {
			fits(t, "show", printed(t, a.width, a.jobFacts(in)), a.width)
		}
		forestFits(t, list, a.width)
		related := control.Related{Members: list, Unjobbed: list, Hidden: len(list)}
		for _, in := range jobs {
			related.Jobs = append(related.Jobs, control.RelatedJob{Info: in, Why: []string{"login_jid", "audit_session", "login_uid", "uid"}})
		}
		fits(t, "related jobs", printed(t, a.width, a.relatedTable(related.Jobs)), a.width)
	})
}

// forestFits checks that each process is drawn once, however their parents go round in circles.
func forestFits(t *rapid.T, list []job.Process, width int) {
	f := newForest(list, width)
	fits(t, "tree", f.out.String(), width)
	var pids []int32
	for _, p := range list {
		pids = append(pids, p.PID)
	}
	slices.Sort(pids)
	if n, want := strings.Count(f.out.String(), "\n"), len(slices.Compact(pids)); n != want {
		t.Fatalf("tree: %d lines for %d processes", n, want)
	}
}

func printed(t *rapid.T, width int, p interface {
	write(w io.Writer, width int) error
}) string {
	var b strings.Builder
	if err := p.write(&b, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestArrayWriter prints what writeJSON does.
func TestArrayWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(anyProcess), 0, 3).Draw(t, "processes")
		var whole, pieces strings.Builder
		w := &arrayWriter{out: bufio.NewWriter(&pieces)}
		for _, p := range list {
			if err := w.add(named(p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.end(), writeJSON(&whole, processArray(list))); err != nil || pieces.String() != whole.String() {
			t.Fatalf("%v: %s, not %s", err, pieces.String(), whole.String())
		}
	})
}

// TestWhatIsSaidFits is the same for what the verbs that do something say.
func TestWhatIsSaidFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out strings.Builder
		a := testApp()
		a.stdout, a.width = &out, columns
		ans := control.KillAnswer{
			Signalled: rapid.Int().Draw(t, "signalled"), Ended: rapid.Int().Draw(t, "ended"),
			Left: rapid.SliceOfN(rapid.Custom(anyLeft), 0, 4).Draw(t, "left"), Refused: rapid.SliceOfN(rapid.Custom(anyLeft), 0, 4).Draw(t, "refused"),
			Jobs: rapid.SliceOfN(rapid.Map(rapid.Uint64(), func(n uint64) job.JID { return job.JID(n) }), 0, 40).Draw(t, "jobs"),
		}
		k := &killing{signal: signalFlag{number: rapid.IntRange(0, 64).Draw(t, "signal"), set: rapid.Bool().Draw(t, "once")}}
		change := control.ChangeAnswer{Processes: rapid.SliceOfN(rapid.Int32(), 0, 100).Draw(t, "pids")}
		for _, err := range []error{
			a.sayOne("17", ans, k), a.sayChange(change, "in 17"), a.say("%s", endText(anyJob(t))),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		fits(t, "kill", out.String(), columns)
	})
}
