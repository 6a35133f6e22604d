package main

import (
	"context"
	"io"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/report"
)

// reportKeys are what a report can be by.
var reportKeys = []string{"user", "group", "job", "command", "service", "day", "hour", "tag:KEY"}

// reportView is how a report is shown.
type reportView struct {
	csv, noGraph bool
	summary      bool // of one job
}

func (a *app) reportCommand() *cobra.Command {
	var v reportView
	var jid string
	cmd := &cobra.Command{
		Use:   "report [--by KEY] [--job JID] [FILTER...] [--include-open] [--csv]",
		Short: "add up what was used",
		Long: `Add up what was used: jobs and processes that ended, the time that processes
were there (WALL), CPU time with what is on no process record, the memory of the
largest process, what was read and written, and billing units if jobd is
configured to bill. All that is kept, or the time from --since to --until;
--from and --to are the same two.

Use goes by when it was used, jobs are counted where they ended: the periods of
a bill add up, and one that is over gives the same numbers whenever it is asked
for. What lives now is counted up to its last checkpoint, or, with
--include-open, up to now.

--job is the report of one job, by command, with a summary. From a mark on:
  M=$(date +%FT%T); make; jobctl report --job self --since $M`,
		Example: "  jobctl report --by user --from 2026-05-01 --to 2026-06-01\n  jobctl report --by hour --since 1d\n  jobctl report --by tag:project --csv",
		Args:    needs(),
	}
	f := newFilter(a, cmd).ofRecords()
	f.ofReport(&v.noGraph)
	cmd.Flags().StringVar(&jid, "job", "", "of job `JID`")
	a.csvFlag(cmd, &v.csv)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req, err := f.request()
		if err != nil {
			return err
		}
		if jid != "" {
			if req.Job, err = jobRef(jid); err != nil {
				return err
			}
			v.summary = true
			if req.By == "" {
				req.By = "command"
			}
		}
		return a.sumUp(cmd.Context(), req, v)
	}
	return cmd
}

// ofReport adds the flags that only a report has.
func (f *filter) ofReport(noGraph *bool) {
	flags := f.registered.Flags()
	flags.StringVar(&f.req.By, "by", "", "by `KEY`: "+strings.Join(reportKeys, " "))
	flags.Lookup("since").Usage = "what was used after that time"
	flags.Lookup("until").Usage = "what was used up to that time"
	flags.Var(&f.since, "from", "the same as --since")
	flags.Var(&f.until, "to", "the same as --until")
	flags.Var(newLimit(&f.req.Limit), "limit", "`N` lines; the rest is one more")
	flags.BoolVar(&f.req.IncludeOpen, "include-open", false, "with what lives now")
	flags.BoolVar(noGraph, "no-graph", false, "by day and by hour: without bars")
	f.complete("by", reportKeys)
}

func (a *app) sumUp(ctx context.Context, req control.Request, v reportView) error {
	r, err := a.client().Report(ctx, req)
	if err != nil {
		return cannot("make the report", err)
	}
	switch {
	case v.csv:
		err = writeCSV(a.stdout, linesOf(r))
	case a.json:
		err = writeJSON(a.stdout, r)
	default:
		return a.writeReport(r, v)
	}
	if err != nil {
		return err
	}
	return a.sayGaps(a.stderr, r.Gaps)
}

// linesOf is all of the lines, with those below the others.
func linesOf(r report.Report) []report.Line {
	lines := array(r.Lines)
	if r.Other != nil {
		lines = append(lines, *r.Other)
	}
	return append(lines, r.Total)
}

func (a *app) writeReport(r report.Report, v reportView) error {
	if err := a.reportHead(r); err != nil {
		return err
	}
	t := a.reportTable(r)
	var err error
	if graphed(r.By) && !v.noGraph {
		err = writeGraph(a.stdout, t, r, a.width)
	} else {
		err = t.write(a.stdout, a.width)
	}
	if err != nil || !v.summary {
		return err
	}
	if _, err := io.WriteString(a.stdout, "\n"); err != nil {
		return err
	}
	return lineFacts(r.Total).write(a.stdout, a.width)
}

// reportHead says what the report is about, and what it lacks.
func (a *app) reportHead(r report.Report) error {
	now := a.now()
	text := "all that is kept"
	switch {
	case r.From != nil && r.To != nil:
		text = moment(*r.From, now) + " to " + moment(*r.To, now)
	case r.From != nil:
		text = "since " + moment(*r.From, now)
	case r.To != nil:
		text = "up to " + moment(*r.To, now)
	}
	open := "without what still runs"
	if r.IncludeOpen {
		open = "with what still runs"
	}
	if err := a.say("use by %s, %s, %s", plain(r.By), text, open); err != nil {
		return err
	}
	if r.KeptSince != nil {
		if err := a.say("process records are kept since %s; before that, jobs as a whole", moment(*r.KeptSince, now)); err != nil {
			return err
		}
	}
	return a.sayGaps(a.stdout, r.Gaps)
}

// reportTable has the lines, what is beyond the limit, and the sum.
func (a *app) reportTable(r report.Report) *table {
	t := &table{columns: []column{
		{title: strings.ToUpper(keyTitle(r.By)), floor: 8}, {title: "JOBS", right: true}, {title: "PROCS", right: true}, {title: "WALL", right: true},
		{title: "CPU", right: true}, {title: "MEM", right: true}, {title: "I/O", right: true},
	}}
	billed := r.Total.Units != nil
	if billed {
		t.columns = append(t.columns, column{title: "UNITS", right: true})
	}
	for _, l := range r.Lines {
		addLine(t, a.keyText(r.By, l), l, billed)
	}
	if r.Other != nil {
		addLine(t, "other", *r.Other, billed)
	}
	addLine(t, "total", r.Total, billed)
	return t
}

func addLine(t *table, key string, l report.Line, billed bool) {
	moved := l.ReadBytes + l.WriteBytes
	row := []string{key, number(&l.Jobs), number(&l.Processes), span(&l.Wall), about(&l.CPU, l.Estimated), size(&l.MaxRSS), size(&moved)}
	if billed {
		row = append(row, unitText(l.Units))
	}
	t.add(row...)
}

func unitText(units *float64) string {
	if units == nil {
		return none
	}
	return strconv.FormatFloat(*units, 'f', 2, 64)
}

// keyTitle is the last word of what a report is by: tag:project is about projects.
func keyTitle(by string) string {
	if key, ok := strings.CutPrefix(by, "tag:"); ok {
		return plain(key)
	}
	return plain(by)
}

// keyText is the key as people know it: jobd knows no names of groups, and of a job only its JID.
func (a *app) keyText(by string, l report.Line) string {
	switch {
	case by == "job" && l.JID != nil:
		return seqText(l.JID.Seq())
	case by == "group" && l.GID != nil:
		return groupName(*l.GID)
	}
	return plain(l.Key)
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return plain(g.Name)
	}
	return "#" + id
}

// lineFacts is a line in full.
func lineFacts(l report.Line) *facts {
	f := &facts{}
	f.add("processes", number(&l.Processes)+", "+span(&l.Wall)+" in all")
	f.add("cpu", about(&l.CPU, l.Estimated))
	f.add("", "user "+span(&l.CPUUser)+", system "+span(&l.CPUSystem)+", unattributed "+span(&l.CPUUnattributed))
	f.add("memory", size(&l.MaxRSS)+" at most in one process")
	f.add("disk", size(&l.ReadBytes)+" read, "+size(&l.WriteBytes)+" written")
	if l.Units != nil {
		f.add("units", unitText(l.Units))
	}
	return f
}
