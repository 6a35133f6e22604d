package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
)

func (a *app) watchCommand() *cobra.Command {
	var req control.Request
	var events []string
	var pid string
	cmd := &cobra.Command{
		Use:   "watch [JID|--user U|--all|--host|--pid P] [--event E] [--since CURSOR]",
		Short: "show what happens in jobs, while it happens",
		Long: `Show what happens in a job, in those of a user, in all, or with --host also to
processes in no job, a line each, until the job has ended. Without a JID it is
the job that jobctl was started in. An ordinary user sees their own jobs.
--pid shows what happens to a process and to what descends from it from now on,
in a job or not, until they are all gone.

The events are clone, exec, uid, gid, exit (of a task), free (of a process that
is gone), refuse, job_start, job_end, and lost, which says that others came too
fast. With --json each is an object in a line; --since goes on after the line
that had this cursor.`,
		Example: `  jobctl watch 17
  jobctl watch --all --event job_start,job_end
  jobctl watch --user alice --event exec --json`,
		Args: needs("[JID]"),
	}
	f := cmd.Flags()
	f.StringVar(&req.User, "user", "", "jobs of the user `U`")
	f.BoolVar(&req.All, "all", false, "all jobs")
	f.BoolVar(&req.Host, "host", false, "every process of the host (root only)")
	f.StringVar(&pid, "pid", "", "the process `P` and what descends from it")
	f.StringSliceVar(&events, "event", nil, "only the events `E`, with commas between them")
	f.StringVar(&req.Cursor, "since", "", "go on after `CURSOR`")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		req.Event = strings.Join(events, ",")
		if pid != "" && (len(args) > 0 || req.User != "" || req.All || req.Host || req.Cursor != "") {
			return badUsage(cmd, "--pid goes with none of JID, --user, --all, --host and --since")
		}
		if pid != "" {
			if req.PID, err = parsePID(pid); err != nil {
				return err
			}
			req.Name = fmt.Sprintf("jobctl-%d", syscall.Getpid())
		}
		if len(args) > 0 {
			if req.Job, err = jobRef(args[0]); err != nil {
				return err
			}
		}
		return a.watch(cmd.Context(), req)
	}
	return cmd
}

func (a *app) watch(ctx context.Context, req control.Request) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ask := a.client().Watch
	if req.PID != 0 {
		ask = a.client().Subscribe
	}
	w, err := ask(ctx, req)
	if err != nil {
		return cannot("watch", err)
	}
	defer w.Close()
	out := bufio.NewWriter(a.stdout)
	cursor, err := a.copyEvents(out, w)
	err = errors.Join(err, out.Flush())
	switch {
	case errors.Is(err, context.Canceled): // somebody has seen enough
		return nil
	case errors.Is(err, control.ErrUnreachable) && cursor != "" && req.PID == 0:
		return &hinted{err, "go on where it ended: --since " + cursor}
	}
	return err
}

// copyEvents prints lines until there are no more, and gives the cursor of the last one. What has come is printed before it waits for more.
func (a *app) copyEvents(out *bufio.Writer, w *control.Watching) (cursor string, err error) {
	for {
		if !w.Ready() {
			if err := out.Flush(); err != nil {
				return cursor, err
			}
		}
		e, err := w.Next()
		if errors.Is(err, io.EOF) {
			return cursor, nil
		}
		if err != nil {
			return cursor, err
		}
		cursor = e.Cursor
		line := escaped(e.Line)
		if !a.json {
			line = []byte(shorten(a.eventText(&e), a.width))
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return cursor, err
		}
	}
}

// eventText is like: 19:02:17.123 28061081 exec 26337 /usr/bin/make.
func (a *app) eventText(e *control.WatchEvent) string {
	words := []string{e.Time.In(a.now().Location()).Format("15:04:05.000"), none, plain(e.Event)}
	if e.Seq != nil {
		words[1] = seqText(*e.Seq)
	}
	if e.PID != nil {
		words = append(words, number(e.PID))
	}
	if e.PID != nil && e.TGID != nil && *e.PID != *e.TGID {
		words = append(words, "thread of "+number(e.TGID))
	}
	return strings.Join(append(words, eventDetails(e)...), " ")
}

// eventDetails is what belongs to the event.
func eventDetails(e *control.WatchEvent) (words []string) {
	switch e.Event {
	case control.EventClone:
		words = append(words, "from "+number(e.PPID))
	case control.EventExec:
		words = append(words, plain(e.Exe))
	case control.EventUID:
		words = append(words, number(e.UID)+" effective "+number(e.EUID))
	case control.EventGID:
		words = append(words, number(e.GID)+" effective "+number(e.EGID))
	case control.EventExit:
		words = append(words, "status "+number(e.ExitStatus))
	case control.EventFree:
		words = append(words, "status "+number(e.ExitStatus), plain(e.Comm))
	case control.EventRefuse:
		words = append(words, plain(e.How))
	case control.EventLost:
		words = append(words, number(e.Lost)+" events", "("+plain(e.Why)+")")
	case control.EventJobStart:
		words = append(words, plain(e.User), plain(e.Service))
	case control.EventJobEnd:
		words = append(words, plain(e.User), plain(e.EndReason))
	}
	return words
}
