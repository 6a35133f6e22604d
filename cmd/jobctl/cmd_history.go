package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) historyCommand() *cobra.Command {
	var req control.Request
	since := &instant{now: a.now}
	cmd := &cobra.Command{
		Use:   "history [--limit N] [--since D|TIME] [--user U]",
		Short: "show the jobs that have ended",
		Long: `Show the jobs that have ended, the newest first: who, from where, when, the CPU
time, how many processes there were in all, and why the job ended.

--since takes how long ago (2h, 7d), 09:12 for today, a date, a date and a time,
or RFC 3339.`,
		Example: "  jobctl history --limit 20\n  jobctl history --since 7d --user alice --json",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.Since = since.Time
			return a.history(cmd.Context(), req)
		},
	}
	cmd.Flags().Var(newLimit(&req.Limit), "limit", "the newest `N` only")
	cmd.Flags().Var(since, "since", "what ended at that time or after it")
	cmd.Flags().StringVar(&req.User, "user", "", "the jobs of user `U` only")
	return cmd
}

func (a *app) history(ctx context.Context, req control.Request) error {
	jobs, err := a.client().History(ctx, req)
	if err != nil {
		return cannot("show the history", err)
	}
	return a.show(array(jobs), func() error { return a.historyTable(jobs).write(a.stdout, a.width) })
}

func (a *app) historyTable(jobs []job.Info) *table {
	t := &table{columns: []column{
		{title: "JID", right: true}, {title: "USER", floor: 6}, {title: "FROM", floor: 7}, {title: "STARTED"}, {title: "ENDED"},
		{title: "CPU", right: true}, {title: "PROCS", right: true}, {title: "REASON", floor: 4},
	}}
	now := a.now()
	for _, in := range jobs {
		t.add(seqText(in.Seq), plain(in.User), from(in), moment(in.Started, now), momentOr(in.Ended, now),
			about(in.CPU, in.Estimated), number(&in.TotalProcesses), plain(in.EndReason))
	}
	return t
}
