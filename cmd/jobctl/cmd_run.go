package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/pam"
)

// runService is the PAM service of run.
const runService = "jobctl"

// running is what a run was asked to do.
type running struct {
	user    string
	service string
	pamDir  string
	summary bool
	session bool // a user, a service or a place for services was named
}

func (a *app) runCommand() *cobra.Command {
	var r running
	cmd := &cobra.Command{
		Use:   "run [--summary] [--user U] [--service S] -- CMD [ARG...]",
		Short: "run a command in a PAM session, as a job",
		Long: `Run a command in a PAM session of a user, as a job, and end with its exit code.
What the command leaves behind stays in the job.

The PAM service is jobctl: /etc/pam.d/jobctl, and where there is no such file
PAM takes its service "other". A jobctl that is in no job yet gets one from
jobd, whatever the service says; inside a job the command stays in that job,
unless the service has pam_job.so with nested=new.

The command gets the session's environment, not the caller's, but for TERM. It
starts in the caller's directory; with --user, in that user's home. Only root
may run it as somebody else.

--summary prints what it all used when it ends: the command and whatever it
started, daemons too. An ordinary user needs no session for that and gets no
job: the command runs in the caller's job, directory and environment.

Exit code: the command's; 128+n when signal n ended it; 125 when jobctl could
not run it, for whatever reason.`,
		Example: `  jobctl run -- make -j8
  jobctl run --summary -- make -j8
  jobctl run --user alice -- /usr/local/bin/nightly`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return badUsage(cmd, "CMD is missing")
			}
			r.session = cmd.Flags().Changed("user") || cmd.Flags().Changed("service") || cmd.Flags().Changed("pam-dir")
			if r.summary {
				return a.runFollowed(cmd.Context(), args, r)
			}
			return a.run(cmd.Context(), args, r)
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows CMD is the command's
	cmd.Flags().BoolVar(&r.summary, "summary", false, "print what it all used when it ends")
	cmd.Flags().StringVar(&r.user, "user", "", "as user `U`")
	cmd.Flags().StringVar(&r.service, "service", runService, "the PAM service `S`")
	cmd.Flags().StringVar(&r.pamDir, "pam-dir", "", "the PAM services are in `DIR`, not in /etc/pam.d")
	return cmd
}

func (a *app) run(ctx context.Context, command []string, r running) error {
	do := "run " + command[0]
	who, err := r.who(a.euid)
	if err != nil {
		return cannot(do, err)
	}
	var jobErr error
	o := r.options(command, who.User)
	o.Opened = func(map[string]string) (more []string, err error) {
		more, jobErr = a.ensureJob(ctx, who)
		return more, jobErr
	}
	result, err := pam.Run(ctx, o)
	if jobErr != nil {
		return runFailure(do, jobErr)
	}
	if err != nil {
		return cannot(do, err)
	}
	if result.Closing != nil {
		fmt.Fprintln(a.stderr, "jobctl: "+plain(result.Closing.Error()))
	}
	return exit(result.Code)
}

// who is the user that the command runs as.
func (r running) who(euid int) (control.Request, error) {
	req, err := forUser(control.Request{Service: r.service}, r.user)
	if err == nil && euid != 0 && *req.UID != uint32(euid) {
		return req, &hinted{fmt.Errorf("only root may run it as %s", req.User), "sudo jobctl run --user " + req.User + " …"}
	}
	return req, err
}

// ensureJob has jobd make a job where the session's own modules did not: not every service has a pam_job.so. It gives
// what the session's environment is told of a job that was made; else the module has told it.
func (a *app) ensureJob(ctx context.Context, who control.Request) ([]string, error) {
	c := a.client()
	own, err := c.ID(ctx, 0)
	if err != nil || own.JID != nil {
		return nil, err
	}
	in, err := c.Create(ctx, who)
	if err != nil {
		return nil, err
	}
	return []string{"JOB_JID=" + in.JID.String()}, nil
}

// runFailure keeps the sentence whole: the reader sees why the command did not run.
func runFailure(do string, err error) error {
	var answer *control.Error
	switch {
	case errors.Is(err, control.ErrUnreachable):
		return fmt.Errorf("cannot %s: it would be in no job: %w", do, err)
	case errors.As(err, &answer):
		err = fmt.Errorf("jobctl is in no job and gets none: %w", err)
		if answer.Code == control.Denied {
			err = &hinted{err, "start it in a login, which is a job, or as root"}
		}
	}
	return cannot(do, err)
}

func (r running) options(command []string, name string) pam.Options {
	o := pam.Options{
		Service: r.service, User: name, Cmd: command, ConfDir: r.pamDir, TTY: terminalName(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if r.user == "" {
		o.Dir, _ = os.Getwd() // a directory that is gone is no reason not to run: then it is the user's home
	}
	if kind := os.Getenv("TERM"); kind != "" {
		o.Env = append(o.Env, "TERM="+kind)
	}
	return o
}

// terminalName is stdin's terminal as PAM_TTY has it, without /dev/.
func terminalName() string {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return ""
	}
	name, err := os.Readlink("/proc/self/fd/0")
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(name, "/dev/")
}

// callingUser is whoever started jobctl.
func callingUser() (account, error) {
	u, err := user.Current()
	if err != nil {
		return account{}, fmt.Errorf("the caller has no name: %w", err)
	}
	return findUser(u.Username)
}
