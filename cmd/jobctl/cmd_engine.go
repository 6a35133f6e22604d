package main

import "github.com/spf13/cobra"

func (a *app) engineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine VERB [ARG...]",
		Short: "see or unload what outlives jobd in the kernel (jobd engine)",
		Long: `See what of jobd's is in the kernel, whether it runs or not: the labels of
processes. Unload takes them out, for which jobd has to be stopped; processes
stay in their jobs, which the next jobd finds by other witnesses. For root.`,
		Example: "  jobctl engine status\n  jobctl engine unload",
	}
	return a.handing(cmd, "look after the engine", "status or unload")
}
