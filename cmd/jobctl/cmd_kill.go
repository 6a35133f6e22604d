package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// killing is what a kill was asked to do.
type killing struct {
	signal  signalFlag
	now     bool
	only    bool
	self    bool
	list    bool
	timeout timeout
}

func (a *app) killCommand() *cobra.Command {
	var k killing
	cmd := &cobra.Command{
		Use:   "kill [-s SIG|--now] [--only] [--timeout D] JID...|--self",
		Short: "end jobs, or send them a signal",
		Long: `End jobs: jobd sends TERM, HUP and CONT to all that runs in them, after 10 s
KILL until they are empty, and says who is left and why. --timeout is the time
that is given before KILL; --now sends KILL at once; -s sends one signal, once.

It takes a job and those that were made inside it; --only takes just the job.
The job that jobctl itself was started in is named by --self, so that nobody
ends their own session by a slip of the finger.

SIG is a name with or without SIG, in any case, or a number; 0 sends nothing and
counts who could be signalled. Exit code 1 when somebody is left, or refused.`,
		Example: `  jobctl kill 17 18
  jobctl kill --timeout 60s 17
  jobctl kill -s USR1 17`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.kill(cmd, args, &k) },
	}
	cmd.Flags().VarP(&k.signal, "signal", "s", "send this signal, once")
	cmd.Flags().BoolVar(&k.now, "now", false, "send KILL at once")
	cmd.Flags().BoolVar(&k.only, "only", false, "not the jobs that were made inside it")
	cmd.Flags().Var(&k.timeout, "timeout", "how long to wait before KILL (default 10s)")
	cmd.Flags().BoolVar(&k.self, "self", false, "the job that jobctl was started in")
	cmd.Flags().BoolVarP(&k.list, "list", "l", false, "list the signals")
	return cmd
}

func (a *app) kill(cmd *cobra.Command, args []string, k *killing) error {
	if k.list {
		_, err := io.WriteString(a.stdout, signalList())
		return err
	}
	refs, err := k.check(cmd, args)
	if err != nil {
		return err
	}
	if err := a.spareOwn(cmd.Context(), refs, k); err != nil {
		return err
	}
	answers, errs := a.killAll(cmd.Context(), refs, k)
	if err := a.sayKilled(refs, answers, errs, k); err != nil {
		return err
	}
	for _, err := range errs {
		a.report(err)
	}
	return killedExit(answers, errs, k)
}

// check gives the jobs that are meant.
func (k *killing) check(cmd *cobra.Command, args []string) ([]control.JobRef, error) {
	once := k.signal.set
	switch {
	case len(args) == 0 && !k.self:
		return nil, badUsage(cmd, "JID is missing")
	case once && k.now:
		return nil, badUsage(cmd, "-s and --now exclude each other")
	case k.timeout.Duration != 0 && (once || k.now):
		return nil, badUsage(cmd, "--timeout is the time before KILL, which -s and --now don't give")
	}
	refs, err := jobRefs(args)
	if err != nil {
		return nil, err
	}
	if slices.Contains(refs, control.Self) {
		return nil, badUsage(cmd, "your own job is named by --self")
	}
	if k.self {
		refs = append(refs, control.Self)
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

// request is what jobd is asked for.
func (k *killing) request(ref control.JobRef) control.Request {
	return control.Request{
		Job: ref, Signal: k.signal.number, Probe: k.signal.set && k.signal.number == 0,
		Now: k.now, Only: k.only, Timeout: k.timeout.Duration,
	}
}

// spareOwn refuses the caller's own job, and the login that it was made in, unless they are meant.
func (a *app) spareOwn(ctx context.Context, refs []control.JobRef, k *killing) error {
	if k.self || k.signal.set && k.signal.number == 0 {
		return nil
	}
	own, err := a.client().ID(ctx, 0)
	if err != nil {
		return cannot("kill", err)
	}
	for _, ref := range refs {
		if names(ref, own.JID) || names(ref, own.LoginJID) && !k.only {
			return &hinted{fmt.Errorf("cannot kill %s: jobctl was started in that job", ref), "jobctl kill --self"}
		}
	}
	return nil
}

// names reports whether a person who types ref means the job, seen from its own host.
func names(ref control.JobRef, jid *job.JID) bool {
	if jid == nil {
		return false
	}
	meant, err := job.ParseJID(string(ref), jid.HID(), hostOf(string(ref)))
	return err == nil && meant == *jid
}

// killAll ends the jobs at the same time: each may take its 10 s.
func (a *app) killAll(ctx context.Context, refs []control.JobRef, k *killing) ([]control.KillAnswer, []error) {
	answers, errs := make([]control.KillAnswer, len(refs)), make([]error, len(refs))
	var all sync.WaitGroup
	for i, ref := range refs {
		all.Go(func() {
			ans, err := a.client().Kill(ctx, k.request(ref))
			answers[i], errs[i] = ans, cannot("kill "+string(ref), err)
		})
	}
	all.Wait()
	return answers, errs
}
