package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) listCommand() *cobra.Command {
	var all, asCSV bool
	cmd := &cobra.Command{
		Use:   "list [--all] [FILTER...] [--sort KEY] [--limit N] [--csv]",
		Short: "show the open jobs, one line each",
		Long: `Show the open and the lingering jobs, the newest first, one line each:
JID, user, where the login came from (else its terminal, else its service),
when it started, state, processes, CPU time and command.

There is no header, on a terminal or not. - is what is unknown, ~ stands before
what is estimated. The filters say which jobs: all of them have to hold.`,
		Example: `  jobctl list
  jobctl list --sort cpu --limit 5
  jobctl list --all --json | jq '.[].user'`,
		Args: needs(),
	}
	cmd.Flags().BoolVar(&all, "all", false, "the jobs that have ended too")
	f := newFilter(a, cmd).sortable(jobOrders...)
	a.csvFlag(cmd, &asCSV)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req, err := f.request()
		if err != nil {
			return err
		}
		req.All = all
		return a.list(cmd.Context(), req, asCSV)
	}
	return cmd
}

func (a *app) list(ctx context.Context, req control.Request, asCSV bool) error {
	jobs, err := a.client().List(ctx, req)
	if err != nil {
		return cannot("list the jobs", err)
	}
	if asCSV {
		return writeCSV(a.stdout, jobs)
	}
	return a.show(array(jobs), func() error { return a.jobTable(jobs).write(a.stdout, a.width) })
}

// jobTable has no header: what stands in a line explains itself.
func (a *app) jobTable(jobs []job.Info) *table {
	t := &table{columns: []column{
		{right: true}, {floor: 6}, {floor: 7}, {}, {}, {right: true}, {}, {right: true}, {floor: 4},
	}}
	now := a.now()
	for _, in := range jobs {
		n, noun := in.Processes, "procs"
		if n == 1 {
			noun = "proc"
		}
		t.add(seqText(in.Seq), plain(in.User), from(in), clock(in.Started, now), stateText(in.State),
			number(&n), noun, about(in.CPU, in.Estimated), plain(in.Command))
	}
	return t
}

func stateText(s job.State) string { return plain(s) }

// from is the host that a job came from, else its terminal, else the service that opened it.
func from(in job.Info) string {
	for _, text := range []job.Text{in.RHost, in.TTY, in.Service} {
		if text != "" {
			return plain(text)
		}
	}
	return none
}
