package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
)

func (a *app) attachCommand() *cobra.Command {
	return a.into("attach", &cobra.Command{
		Short: "put a process into a job",
		Long: `Put a process that is in no job into one; what it starts from then on is in the
job too. --tree takes what descends from it already as well. One that is in that
job already stays there. For root.`,
		Example: "  jobctl attach 4711 17\n  jobctl attach --tree 4711 17",
	}, func(ctx context.Context, req control.Request) (control.ChangeAnswer, error) {
		return a.client().Attach(ctx, req)
	})
}

func (a *app) moveCommand() *cobra.Command {
	return a.into("move", &cobra.Command{
		Short: "put a process of one job into another",
		Long: `Put a process of one job into another; what it starts from then on is in the
new one. --tree takes what descends from it already as well. A job that is empty
then ends. For root.`,
		Example: "  jobctl move 4711 18",
	}, func(ctx context.Context, req control.Request) (control.ChangeAnswer, error) {
		return a.client().Move(ctx, req)
	})
}

// into makes a verb that puts a process into a job.
func (a *app) into(verb string, cmd *cobra.Command,
	do func(context.Context, control.Request) (control.ChangeAnswer, error)) *cobra.Command {
	var req control.Request
	cmd.Use = verb + " PID JID [--tree]"
	cmd.Args = needs("PID", "JID")
	cmd.Flags().BoolVar(&req.Tree, "tree", false, "with all that descends from it")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if req.PID, err = parsePID(args[0]); err != nil {
			return err
		}
		if req.Job, err = jobRef(args[1]); err != nil {
			return err
		}
		ans, err := do(cmd.Context(), req)
		if err != nil {
			return cannot(fmt.Sprintf("%s %d", verb, req.PID), err)
		}
		where := "in " + seqText(ans.Seq)
		if len(ans.Already) > 0 && len(ans.Already) == len(ans.Processes) {
			where += " already"
		}
		return a.sayChange(ans, where)
	}
	return cmd
}

func (a *app) detachCommand() *cobra.Command {
	var req control.Request
	var named string
	cmd := &cobra.Command{
		Use:   "detach PID|JID|--job JID [--tree]",
		Short: "take a process, or all of a job, out of its job",
		Long: `Take a process out of its job, for good; --tree takes what descends from it in
that job as well. Given a JID, take out all the processes of the job, which then
ends. The processes themselves run on. For root.

A plain number is always a PID here. A job is written as host:17 or 0x..., or
named by --job, which takes a plain 17 too.`,
		Example: "  jobctl detach 4711\n  jobctl detach --job 17",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if req, err = detachRequest(cmd, args, named, req.Tree); err != nil {
				return err
			}
			ans, err := a.client().Detach(cmd.Context(), req)
			if err != nil {
				return cannot("detach "+strings.Join(append(args, named), ""), err)
			}
			return a.sayChange(ans, "out of "+seqText(ans.Seq))
		},
	}
	cmd.Flags().BoolVar(&req.Tree, "tree", false, "with all that descends from it")
	cmd.Flags().StringVar(&named, "job", "", "all processes of job `JID`")
	return cmd
}

// detachRequest never takes a plain number for a job: PIDs and sequence numbers look the same, and one of them is wrong.
func detachRequest(cmd *cobra.Command, args []string, named string, tree bool) (req control.Request, err error) {
	switch {
	case named != "" && len(args) > 0:
		return req, badUsage(cmd, "--job and an argument exclude each other")
	case named == "" && len(args) == 0:
		return req, badUsage(cmd, "PID or JID is missing")
	case len(args) > 1:
		return req, badUsage(cmd, fmt.Sprintf("%q is one argument too many", args[1]))
	case len(args) == 1 && numeric(args[0]):
		req.Tree = tree
		req.PID, err = parsePID(args[0])
		return req, err
	case tree:
		return req, badUsage(cmd, "--tree goes with a PID: of a job all processes are taken")
	case len(args) == 1:
		named = args[0]
	}
	req.Job, err = jobRef(named)
	return req, err
}

// sayChange prints where processes are now: 4711 is in 17, or 3 processes are in 17: 4711 4712 4713.
func (a *app) sayChange(ans control.ChangeAnswer, where string) error {
	ans.Processes, ans.Already = array(ans.Processes), array(ans.Already)
	return a.show(ans, func() error {
		if len(ans.Processes) == 1 {
			return a.say("%d is %s", ans.Processes[0], where)
		}
		return a.say("%s are %s%s", count(len(ans.Processes), "process", "processes"), where, pidList(ans.Processes))
	})
}

func pidList(pids []int32) string {
	var b strings.Builder
	for i, pid := range pids {
		b.WriteString(when(i == 0, ":"))
		fmt.Fprintf(&b, " %d", pid)
	}
	return b.String()
}
