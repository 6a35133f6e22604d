package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) waitCommand() *cobra.Command {
	var limit timeout
	var only bool
	cmd := &cobra.Command{
		Use:   "wait [--timeout D] [--only] JID",
		Short: "wait until a job has ended",
		Long: `Wait until a job has ended, and those that were made inside it; --only waits for
just the job. For a job that ended long ago it returns at once. Exit code 1 when
the time is over first.`,
		Example: "  jobctl wait --timeout 1h 17 && echo done",
		Args:    needs("JID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.wait(cmd.Context(), args[0], control.Request{Timeout: limit.Duration, Only: only})
		},
	}
	cmd.Flags().Var(&limit, "timeout", "give up after that time (default never)")
	cmd.Flags().BoolVar(&only, "only", false, "not the jobs that were made inside it")
	return cmd
}

func (a *app) wait(ctx context.Context, name string, req control.Request) (err error) {
	if req.Job, err = jobRef(name); err != nil {
		return err
	}
	in, err := a.client().Wait(ctx, req)
	if err != nil {
		return cannot("wait for "+name, err)
	}
	return a.show(in, func() error { return a.say("%s", endText(in)) })
}

// endText is like: 17 ended after 3h02m: exit, 120 processes, cpu 3m02s.
func endText(in job.Info) string {
	text := seqText(in.Seq) + " ended"
	if in.Ended != nil {
		text += " after " + spanOf(in.Ended.Sub(in.Started))
	}
	return text + fmt.Sprintf(": %s, %s, cpu %s", plain(in.EndReason), count(in.TotalProcesses, "process", "processes"),
		about(in.CPU, in.Estimated))
}
