package main

import "github.com/spf13/cobra"

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [FLAG...]",
		Short: "look whether this host is fit for jobd (jobd doctor)",
		Long: `Look whether this host is fit for jobd, and jobd for this host: the kernel, the
engine, cgroups, audit, PAM, files, the clock, the disk, how long a login takes,
and whether a process is followed. Each finding says what to do about it. jobctl
hands over to jobd doctor, with --run-dir and --json; jobd-doctor(8) has its
flags. It works without a running jobd; root sees more.`,
		Example: "  jobctl doctor\n  jobctl doctor --no-canary --json | jq '.findings[] | select(.state == \"fail\")'",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.become("look at this host", append(append([]string{"doctor"}, a.handedOver("")...), args...))
		},
	}
	cmd.DisableFlagParsing = true // all that follows is jobd's
	return cmd
}
