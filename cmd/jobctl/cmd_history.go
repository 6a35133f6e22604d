package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// jobOrders are what jobs can be sorted by.
var jobOrders = []string{"ended", "started", "cpu", "memory", "io", "elapsed", "processes"}

func (a *app) historyCommand() *cobra.Command {
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "history [FILTER...] [--sort KEY] [--limit N] [--csv]",
		Short: "show the jobs that have ended",
		Long: `Show the jobs that have ended, the newest first: who, from where, when it ended
and how long it was there, CPU time, the memory of its largest process, what it
read and wrote, how many processes there were in all, and why it ended.

The filters say which: all of them have to hold. Of a time, what overlaps with
it counts: a job that ran past midnight is one of both days. Times are how long
ago (2h, 7d), 09:12 for today, a date, a date and a time, or RFC 3339.`,
		Example: "  jobctl history --limit 20\n  jobctl history --since 7d --user alice --json\n  jobctl history --at '2026-05-04 09:12' --rhost 131.169.0.0/16",
		Args:    needs(),
	}
	f := newFilter(a, cmd).sortable(jobOrders...)
	a.csvFlag(cmd, &asCSV)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req, err := f.request()
		if err != nil {
			return err
		}
		return a.history(cmd.Context(), req, asCSV)
	}
	return cmd
}

// csvFlag is --csv of the verbs that print tables.
func (a *app) csvFlag(cmd *cobra.Command, set *bool) {
	cmd.Flags().BoolVar(set, "csv", false, "print CSV, for a spreadsheet")
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *set && a.json {
			return badUsage(cmd, "it is --json or --csv, not both")
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}

func (a *app) history(ctx context.Context, req control.Request, asCSV bool) error {
	jobs, err := a.client().History(ctx, req)
	if err != nil {
		return cannot("show the history", err)
	}
	if asCSV {
		err = writeCSV(a.stdout, jobs)
	} else {
		err = a.show(array(jobs), func() error { return a.historyTable(jobs).write(a.stdout, a.width) })
	}
	if err != nil {
		return err
	}
	req = shown(req, len(jobs), func() *time.Time { return jobs[len(jobs)-1].Ended })
	return a.noteGaps(ctx, req, asCSV || a.json)
}

func (a *app) historyTable(jobs []job.Info) *table {
	t := &table{columns: []column{
		{title: "JID", right: true}, {title: "USER", floor: 6}, {title: "FROM", floor: 7}, {title: "ENDED"}, {title: "LASTED", right: true},
		{title: "CPU", right: true}, {title: "MEM", right: true}, {title: "I/O", right: true}, {title: "PROCS", right: true}, {title: "REASON", floor: 4},
	}}
	now := a.now()
	for _, in := range jobs {
		t.add(seqText(in.Seq), plain(in.User), from(in), momentOr(in.Ended, now), lasted(in), about(in.CPU, in.Estimated),
			size(in.MaxRSS), size(both(in.ReadBytes, in.WriteBytes)), number(&in.TotalProcesses), plain(in.EndReason))
	}
	return t
}

func lasted(in job.Info) string {
	if in.Ended == nil || in.Started.IsZero() {
		return none
	}
	return spanOf(in.Ended.Sub(in.Started))
}

// both is what was read and written: not known where one of them is not.
func both(read, written *int64) *int64 {
	if read == nil || written == nil {
		return nil
	}
	sum := *read + *written
	return &sum
}
