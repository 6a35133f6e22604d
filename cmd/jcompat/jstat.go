package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// commandWidth is how much of a command is shown.
const commandWidth = 32

// statOptions are those of jstat.
type statOptions struct {
	all, limits, processes, help bool
	jid                          job.JID // 0: the caller's own
}

// readStatOptions takes options as getopt(3) does: several behind one dash, and a value behind its letter or by itself.
func readStatOptions(args []string) (o statOptions, err error) {
	for ; len(args) > 0; args = args[1:] {
		letters, ok := strings.CutPrefix(args[0], "-")
		if !ok || letters == "" {
			return o, errUsage
		}
		for i, letter := range letters {
			switch letter {
			case 'a':
				o.all = true
			case 'l':
				o.limits = true
			case 'p':
				o.processes = true
			case 'h':
				o.help = true
			case 'j':
				value := letters[i+1:]
				if value == "" && len(args) > 1 {
					value, args = args[1], args[1:]
				}
				if o.jid, err = parseJID(value); err != nil {
					return o, err
				}
			default:
				return o, errUsage
			}
			if letter == 'j' {
				break
			}
		}
	}
	if o.all && o.jid != 0 {
		return o, errUsage
	}
	return o, nil
}

// jstat shows jobs: the caller's own, one, or all that the caller may see; with -p their processes.
func (a *app) jstat(args []string) error {
	o, err := readStatOptions(args)
	if err != nil {
		return err
	}
	if o.help {
		fmt.Fprintf(a.stdout, "Usage: %s\n", commands()["jstat"].usage)
		return nil
	}
	if o.limits {
		fmt.Fprintln(a.stderr, "jstat: -l was never more than a letter; jobctl show has what a job uses, and its limit")
	}
	jobs, err := a.statJobs(o)
	if err != nil || jobs == nil {
		return err
	}
	if o.processes {
		return a.statProcesses(jobs)
	}
	fmt.Fprintf(a.stdout, "%-18s %-12s %s\n%s %s %s\n", "JID", "OWNER", "COMMAND", dashes(18), dashes(12), dashes(commandWidth))
	for _, in := range jobs {
		fmt.Fprintf(a.stdout, "%s %-12s %s\n", in.JID, plain(in.User), shortCommand(in.Command))
	}
	a.saidNone(jobs)
	return nil
}

// statJobs asks for the jobs, all of one moment. Nil: the caller is in none, and has been told.
func (a *app) statJobs(o statOptions) ([]job.Info, error) {
	ctx := context.Background()
	if o.all {
		return a.client().List(ctx, control.Request{})
	}
	if o.jid == 0 {
		own, err := control.AskJob(ctx, a.jobSock(), control.JobRequest{Verb: control.JobGetJID})
		if err != nil {
			return nil, err
		}
		if own.JID == 0 {
			fmt.Fprintln(a.stdout, "Not attached to any job")
			return nil, nil
		}
		o.jid = own.JID
	}
	in, err := a.client().Show(ctx, control.JobRef(o.jid.String()))
	if err == nil && in.State == job.Ended {
		err = &control.Error{Code: control.NoSuchJob, Message: "it has ended"}
	}
	return []job.Info{in}, err
}

// statProcesses shows the processes of jobs, those of a job all of one moment.
func (a *app) statProcesses(jobs []job.Info) error {
	fmt.Fprintf(a.stdout, "%-18s %-12s %-6s %-6s %s\n%s %s %s %s %s\n", "JID", "OWNER", "PID", "PPID", "COMMAND",
		dashes(18), dashes(12), dashes(6), dashes(6), dashes(commandWidth))
	for _, in := range jobs {
		list, err := a.client().PS(context.Background(), control.Request{Job: control.JobRef(in.JID.String())})
		if err != nil && control.ExitCode(err) != 3 { // one that has ended meanwhile has none
			return err
		}
		for _, p := range list {
			fmt.Fprintf(a.stdout, "%s %-12s %-6d %-6s %s\n", in.JID, plain(in.User), p.PID, parentText(p.PPID), shortCommand(p.Comm))
		}
	}
	a.saidNone(jobs)
	return nil
}

func (a *app) saidNone(jobs []job.Info) {
	if len(jobs) == 0 {
		fmt.Fprintln(a.stdout, "<No JIDs found>")
	}
}

func parentText(ppid *int32) string {
	if ppid == nil {
		return "-"
	}
	return strconv.Itoa(int(*ppid))
}

func dashes(n int) string { return strings.Repeat("-", n) }

func shortCommand(c job.Text) string {
	runes := []rune(plain(string(c)))
	return string(runes[:min(len(runes), commandWidth)])
}
