package pam

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"runtime"

	"golang.org/x/sys/unix"
)

// Run opens the session, runs the command in it, waits for it, and closes the
// session. An error means that the command has not run: everything after
// that is in the Result.
//
// SIGINT, SIGTERM, SIGHUP and SIGQUIT that reach the caller meanwhile are
// passed on to the command. When ctx ends the command gets SIGTERM, and
// SIGKILL if it is still there after five seconds.
//
// Modules change the state of the calling thread (namespaces, keyrings,
// groups), so all of it happens on one thread, and the command is forked from
// there. The kernel lets only the main thread set /proc/self/loginuid, which
// pam_loginuid does: a program whose services use that calls
// runtime.LockOSThread in an init function and Run from its main goroutine. On
// any other thread, Run uses a new one and throws it away afterwards; on the
// main thread, what the modules have changed stays, but for the groups.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := complete(&o); err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("cannot run %s: %w", o.Cmd[0], err)
	}
	runtime.LockOSThread()
	if onMainThread() {
		defer runtime.UnlockOSThread()
		return runHere(ctx, o)
	}
	runtime.UnlockOSThread()
	return runElsewhere(ctx, o)
}

func onMainThread() bool { return unix.Gettid() == unix.Getpid() }

// runElsewhere runs on a thread that ends with its goroutine, because that
// goroutine never unlocks it.
func runElsewhere(ctx context.Context, o Options) (Result, error) {
	type outcome struct {
		r   Result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread()
		r, err := runHere(ctx, o)
		done <- outcome{r, err}
	}()
	out := <-done
	return out.r, out.err
}

// complete checks o and fills in who the caller is.
func complete(o *Options) error {
	if o.Service == "" {
		return errors.New("cannot open a session: no service is named")
	}
	if len(o.Cmd) == 0 || o.Cmd[0] == "" {
		return errors.New("cannot open a session: no command is given")
	}
	if o.User != "" && o.RUser != "" {
		return nil
	}
	me, err := user.Current()
	if err != nil && o.User == "" {
		return fmt.Errorf("cannot open a session: the caller has no name: %w", err)
	}
	if err != nil {
		return nil // PAM_RUSER stays unset
	}
	if o.User == "" {
		o.User = me.Username
	}
	if o.RUser == "" {
		o.RUser = me.Username
	}
	return nil
}

// runHere does it all on the current thread. Signals are caught before the
// session opens, so that none leaves one open.
func runHere(ctx context.Context, o Options) (Result, error) {
	signals := catch()
	defer signals.stop()
	s, err := openSession(o)
	if err != nil {
		return Result{}, fmt.Errorf("cannot open a session for %s under %s: %w", o.User, o.Service, err)
	}
	r, err := runIn(ctx, s, o, signals)
	closing := s.close()
	if err != nil {
		return Result{}, fmt.Errorf("cannot run %s as %s: %w", o.Cmd[0], s.account.name, errors.Join(err, closing))
	}
	r.Closing = closing
	return r, nil
}

func runIn(ctx context.Context, s *session, o Options, signals *caught) (Result, error) {
	if o.Opened != nil {
		more, err := o.Opened(s.env)
		if err != nil {
			return Result{}, err
		}
		o.Env = append(more, o.Env...)
	}
	c, err := newCommand(s, o)
	if err != nil {
		return Result{}, err
	}
	if err := c.cmd.Start(); err != nil {
		return Result{}, err
	}
	return c.wait(ctx, signals), nil
}
