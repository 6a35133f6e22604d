package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
)

func (a *app) limitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "limit JID N|none",
		Short: "bound how many processes a job may have",
		Long: `Bound how many processes a job may have: forks beyond are refused, and with 0
every fork is. Those that are there stay. How they are refused, jobctl status
says: the fork fails, or the new process is killed. For root.`,
		Example: "  jobctl limit 17 200\n  jobctl limit 17 0\n  jobctl limit 17 none",
		Args:    needs("JID", "N|none"),
		RunE: func(cmd *cobra.Command, args []string) error {
			most, err := parseLimit(args[1])
			if err != nil {
				return badUsage(cmd, err.Error())
			}
			return a.limit(cmd.Context(), args[0], most)
		},
	}
}

// parseLimit gives nil for none.
func parseLimit(s string) (*int, error) {
	if s == "none" {
		return nil, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%q is no number of processes, nor none", s)
	}
	most := int(n)
	return &most, nil
}

func (a *app) limit(ctx context.Context, name string, most *int) error {
	ref, err := jobRef(name)
	if err != nil {
		return err
	}
	in, err := a.client().Limit(ctx, ref, most)
	if err != nil {
		return cannot("limit "+name, err)
	}
	return a.show(in, func() error { return a.say("%s", limitText(in)) })
}

func limitText(in job.Info) string {
	text := fmt.Sprintf("%d has no limit", in.Seq)
	if in.MaxProcesses != nil {
		text = fmt.Sprintf("%d may have %s", in.Seq, count(*in.MaxProcesses, "process", "processes"))
	}
	return text + fmt.Sprintf(", and has %d", in.Processes)
}
