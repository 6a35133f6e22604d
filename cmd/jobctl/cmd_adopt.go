package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
)

func (a *app) adoptCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "adopt PID|SCOPE|--all-sessions",
		Short: "make jobs of sessions that are older than jobd",
		Long: `Make a job of a process and all that descends from it, of a cgroup (SCOPE, a
path below the cgroup mount), or of each session that is in no job yet. It is
all or nothing. A plain number is a PID. For root.`,
		Example: `  jobctl adopt 4711
  jobctl adopt user.slice/user-1000.slice/session-3.scope
  jobctl adopt --all-sessions`,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := adoptRequest(cmd, args, all)
			if err != nil {
				return err
			}
			return a.adopt(cmd.Context(), req)
		},
	}
	cmd.Flags().BoolVar(&all, "all-sessions", false, "every session that is in no job")
	return cmd
}

func adoptRequest(cmd *cobra.Command, args []string, all bool) (req control.Request, err error) {
	switch {
	case all && len(args) > 0:
		return req, badUsage(cmd, "--all-sessions and an argument exclude each other")
	case all:
		return control.Request{AllSessions: true}, nil
	}
	if err := needs("PID or SCOPE")(cmd, args); err != nil {
		return req, err
	}
	if !numeric(args[0]) {
		return control.Request{Scope: args[0]}, nil
	}
	req.PID, err = parsePID(args[0])
	return req, err
}

func (a *app) adopt(ctx context.Context, req control.Request) error {
	ans, err := a.client().Adopt(ctx, req)
	if err != nil {
		return cannot("adopt", err)
	}
	ans.Jobs = array(ans.Jobs)
	return a.show(ans, func() error {
		if len(ans.Jobs) == 0 {
			return a.say("there is no session without a job")
		}
		for _, c := range ans.Jobs {
			if err := a.say("%d: %s%s", c.Seq, count(len(c.Processes), "process", "processes"), pidList(c.Processes)); err != nil {
				return err
			}
		}
		return nil
	})
}
