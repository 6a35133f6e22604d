package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) drainCommand() *cobra.Command {
	return a.switching("drain", "make no new jobs", "no new jobs are made until jobctl resume",
		`Make no new jobs: logins get none, as if jobd were down. Those that there are go
on. It lasts until jobctl resume or the host's next boot, also over restarts of
jobd. For root.`,
		func(ctx context.Context) error { return a.client().Drain(ctx) })
}

func (a *app) resumeCommand() *cobra.Command {
	return a.switching("resume", "make jobs again", "new jobs are made again",
		"Make jobs again, after jobctl drain. For root.",
		func(ctx context.Context) error { return a.client().Resume(ctx) })
}

func (a *app) switching(verb, short, done, long string, do func(context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use:     verb,
		Short:   short,
		Long:    long,
		Example: "  jobctl " + verb,
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := do(cmd.Context()); err != nil {
				return cannot(verb, err)
			}
			return a.show(struct{}{}, func() error { return a.say("%s", done) })
		},
	}
}
