package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
)

func (a *app) createCommand() *cobra.Command {
	var req control.Request
	var want, user string
	cmd := &cobra.Command{
		Use:   "create [--hold] [--jid J] [--user U]",
		Short: "make a job, and print its JID",
		Long: `Make a job and print its sequence number. With --hold it is empty and lives
until jobctl release; processes are put into it by jobctl attach. Without,
jobctl itself is its only process, so that it ends at once: for a job with a
command in it see jobctl run. For root.`,
		Example: "  jid=$(jobctl create --hold --user alice)\n  jobctl attach 4711 $jid",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if want != "" {
				if req.Want, err = jobRef(want); err != nil {
					return err
				}
			}
			return a.create(cmd.Context(), req, user)
		},
	}
	cmd.Flags().BoolVar(&req.Hold, "hold", false, "an empty job that lives until it is released")
	cmd.Flags().StringVar(&want, "jid", "", "the JID `J`, one that was never given")
	cmd.Flags().StringVar(&user, "user", "", "for user `U` instead of the caller")
	return cmd
}

func (a *app) create(ctx context.Context, req control.Request, user string) error {
	req, err := forUser(req, user)
	if err != nil {
		return cannot("make a job", err)
	}
	in, err := a.client().Create(ctx, req)
	if err != nil {
		return cannot("make a job", err)
	}
	return a.show(in, func() error {
		_, err := fmt.Fprintln(a.stdout, seqText(in.Seq))
		return err
	})
}

// forUser names the user, the uid and the gid: jobd asks no name service.
func forUser(req control.Request, user string) (control.Request, error) {
	var acc account
	var err error
	if user == "" {
		acc, err = callingUser()
	} else {
		acc, err = findUser(user)
	}
	req.User, req.UID, req.GID = acc.name, &acc.uid, &acc.gid
	return req, err
}

func (a *app) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "release JID",
		Short:   "let a held job end",
		Long:    "Let a job end that was made with jobctl create --hold: now, when it is empty,\nelse when its last process leaves. For root.",
		Example: "  jobctl release 17",
		Args:    needs("JID"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.release(cmd.Context(), args[0]) },
	}
}

func (a *app) release(ctx context.Context, name string) error {
	ref, err := jobRef(name)
	if err != nil {
		return err
	}
	if err := a.client().Release(ctx, ref); err != nil {
		return cannot("release "+name, err)
	}
	return a.show(struct{}{}, func() error { return a.say("%s released", name) })
}
