package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) psCommand() *cobra.Command {
	var unjobbed bool
	cmd := &cobra.Command{
		Use:   "ps [JID]",
		Short: "show the processes of a job",
		Long: `Show the living processes of a job, or, with --unjobbed, those that belong to
users and are in no job. Without a JID it is the job that jobctl was started in.`,
		Example: "  jobctl ps 17\n  jobctl ps --unjobbed",
		Args:    needs("[JID]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if unjobbed && len(args) > 0 {
				return badUsage(cmd, "--unjobbed is about processes in no job, so that no JID goes with it")
			}
			return a.ps(cmd.Context(), args, unjobbed)
		},
	}
	cmd.Flags().BoolVar(&unjobbed, "unjobbed", false, "users' processes that are in no job")
	return cmd
}

func (a *app) ps(ctx context.Context, args []string, unjobbed bool) error {
	req := control.Request{Unjobbed: true}
	if !unjobbed {
		ref, err := ownUnless(args)
		if err != nil {
			return err
		}
		req = control.Request{Job: ref}
	}
	list, err := a.client().PS(ctx, req)
	if err != nil {
		return cannot("show the processes", err)
	}
	return a.show(processArray(list), func() error { return a.processTable(list).write(a.stdout, a.width) })
}

func (a *app) processTable(list []job.Process) *table {
	t := &table{columns: []column{
		{title: "PID", right: true}, {title: "PPID", right: true}, {title: "USER", floor: 6}, {title: "S"},
		{title: "STARTED"}, {title: "CPU", right: true}, {title: "MEM", right: true}, {title: "COMMAND", floor: 7},
	}}
	now := a.now()
	for _, p := range list {
		started := none
		if p.Started != nil {
			started = clock(*p.Started, now)
		}
		t.add(number(&p.PID), number(p.PPID), a.userName(p.UID), plain(p.State), started,
			about(p.CPU, p.Estimated), size(p.MaxRSS), plain(p.Comm))
	}
	return t
}
