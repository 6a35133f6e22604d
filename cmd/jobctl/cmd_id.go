package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) idCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "id [PID]",
		Short: "say which job a process is in",
		Long: `Say which job a process is in: its sequence number, or none. Without a PID it is
jobctl itself, and so the shell that started it.`,
		Example: "  jobctl id 4711\n  jobctl show $(jobctl id 4711)",
		Args:    needs("[PID]"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.id(cmd.Context(), args) },
	}
}

func (a *app) id(ctx context.Context, args []string) error {
	var pid int32
	var err error
	if len(args) > 0 {
		if pid, err = parsePID(args[0]); err != nil {
			return err
		}
	}
	ans, err := a.client().ID(ctx, pid)
	if err != nil {
		return cannot("say which job it is", err)
	}
	return a.show(ans, func() error {
		if ans.Seq == nil {
			return a.say("none")
		}
		_, err := fmt.Fprintln(a.stdout, seqText(*ans.Seq))
		return err
	})
}
