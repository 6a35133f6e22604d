package main

import (
	"bufio"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// recordOrders are what records of processes can be sorted by.
var recordOrders = []string{"ended", "started", "cpu", "memory", "io", "elapsed"}

// recordView is how records are shown.
type recordView struct{ csv, tree, execs bool }

func (a *app) procsCommand() *cobra.Command {
	var v recordView
	cmd := &cobra.Command{
		Use:   "procs [JID] [FILTER...] [--sort KEY] [--limit N] [--tree|--csv]",
		Short: "show the records of processes that have ended",
		Long: `Show the records of processes that have ended, the newest first: of one job, or
without a JID of all the jobs that the caller may see. jobctl procs self shows
those of the job that jobctl was started in.

The filters say which: all of them have to hold. --uid and --group are the
process's own, --user, --service, --rhost and --tag are those of its job.

--execs lists the programs below each process that ran more than one. --tree
shows what ran in a job below what started it, with what still lives there; an
orphan stands at the top, or below its reaper.`,
		Example: "  jobctl procs 17 --tree\n  jobctl procs --command '^cc1$' --min-cpu 1m --sort cpu --limit 10\n  jobctl procs --exit fail --since 1h --csv",
		Args:    needs("[JID]"),
	}
	f := newFilter(a, cmd).sortable(recordOrders...).ofRecords()
	cmd.Flags().BoolVar(&v.tree, "tree", false, "of one job, each below its parent")
	cmd.Flags().BoolVar(&v.execs, "execs", false, "list the programs, where there is more than one")
	a.csvFlag(cmd, &v.csv)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, err := f.request()
		if err != nil {
			return err
		}
		if len(args) > 0 {
			if req.Job, err = jobRef(args[0]); err != nil {
				return err
			}
		}
		if v.tree && (v.csv || req.Sort != "" || req.Limit > 0 || req.Job == "") {
			return badUsage(cmd, "--tree is of one JID, and all of it: no --csv, --sort or --limit goes with it")
		}
		return a.procs(cmd.Context(), req, v)
	}
	return cmd
}

func (a *app) procs(ctx context.Context, req control.Request, v recordView) error {
	if !v.tree && (v.csv || a.json) {
		return a.printRecords(ctx, req, v.csv)
	}
	ask, t := a.client().Procs, a.recordTable
	if v.tree { // what has ended finds its parents among those who live
		ask, t = a.everything, a.treeTable
	}
	list, err := ask(ctx, req)
	if err != nil {
		return cannot("show the records", err)
	}
	if err := a.show(processArray(list), func() error { return t(list, v.execs).write(a.stdout, a.width) }); err != nil {
		return err
	}
	req = shown(req, len(list), func() *time.Time { return list[len(list)-1].Ended })
	return a.noteGaps(ctx, req, a.json)
}

// printRecords prints them as they come: for programs there may be millions.
func (a *app) printRecords(ctx context.Context, req control.Request, asCSV bool) error {
	n, last := 0, (*time.Time)(nil)
	add, end := a.printer(asCSV)
	err := a.client().EachProc(ctx, req, func(p job.Process) error {
		n, last = n+1, p.Ended
		return add(p)
	})
	if err != nil {
		return cannot("show the records", err) // JSON that has begun stays open: nobody takes it for all
	}
	if err := end(); err != nil {
		return err
	}
	return a.noteGaps(ctx, shown(req, n, func() *time.Time { return last }), true)
}

func (a *app) printer(asCSV bool) (add func(job.Process) error, end func() error) {
	if asCSV {
		c := newCSV[job.Process](a.stdout)
		return c.add, c.end
	}
	w := &arrayWriter{out: bufio.NewWriter(a.stdout)}
	return func(p job.Process) error { return w.add(named(p)) }, w.end
}

func (a *app) recordTable(list []job.Process, execs bool) *table {
	t := &table{columns: []column{
		{title: "JID", right: true}, {title: "PID", right: true}, {title: "USER", floor: 6}, {title: "ENDED"},
		{title: "LASTED", right: true}, {title: "CPU", right: true}, {title: "MEM", right: true}, {title: "I/O", right: true},
		{title: "EXIT", right: true}, {title: "COMMAND", floor: 7},
	}}
	now := a.now()
	for _, p := range list {
		t.add(seqText(p.Seq), number(&p.PID), a.userName(p.UID), momentOr(p.Ended, now), span(p.Elapsed), about(p.CPU, p.Estimated),
			size(p.MaxRSS), size(both(p.ReadBytes, p.WriteBytes)), number(p.ExitStatus), plain(p.Comm))
		a.noteExecs(t, p, execs, "")
	}
	return t
}
