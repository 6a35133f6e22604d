package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) procsCommand() *cobra.Command {
	var req control.Request
	cmd := &cobra.Command{
		Use:   "procs [JID] [--limit N]",
		Short: "show the records of processes that have ended",
		Long: `Show the records of processes that have ended, the newest first: of one job, or
without a JID of all the jobs that the caller may see. jobctl procs self shows
those of the job that jobctl was started in.`,
		Example: "  jobctl procs 17\n  jobctl procs --limit 100 --json",
		Args:    needs("[JID]"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				if req.Job, err = jobRef(args[0]); err != nil {
					return err
				}
			}
			return a.procs(cmd.Context(), req)
		},
	}
	cmd.Flags().Var(newLimit(&req.Limit), "limit", "the newest `N` only")
	return cmd
}

func (a *app) procs(ctx context.Context, req control.Request) error {
	list, err := a.client().Procs(ctx, req)
	if err != nil {
		return cannot("show the records", err)
	}
	return a.show(processArray(list), func() error { return a.recordTable(list).write(a.stdout, a.width) })
}

func (a *app) recordTable(list []job.Process) *table {
	t := &table{columns: []column{
		{title: "JID", right: true}, {title: "PID", right: true}, {title: "USER", floor: 6}, {title: "ENDED"},
		{title: "LASTED", right: true}, {title: "CPU", right: true}, {title: "MEM", right: true}, {title: "EXIT", right: true},
		{title: "COMMAND", floor: 7},
	}}
	now := a.now()
	for _, p := range list {
		t.add(seqText(p.Seq), number(&p.PID), a.userName(p.UID), momentOr(p.Ended, now), span(p.Elapsed),
			about(p.CPU, p.Estimated), size(p.MaxRSS), number(p.ExitStatus), plain(p.Comm))
	}
	return t
}
