package pam

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killAfter is how long a command may take to heed SIGTERM once ctx has ended.
const killAfter = 5 * time.Second

// caught holds the signals that are passed on to the command.
type caught struct{ c chan os.Signal }

// catch takes the signals that a caller would hand on, but for those that it
// was started to ignore: a command under nohup(1) shall not see SIGHUP.
func catch() *caught {
	s := &caught{c: make(chan os.Signal, 16)}
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(s.c, sig)
		}
	}
	return s
}

func (s *caught) stop() { signal.Stop(s.c) }

// wait passes signals on until the command has ended, and only then reaps it:
// while it is a zombie, its pid and process group are nobody else's.
func (c *command) wait(ctx context.Context, signals *caught) Result {
	ended := make(chan struct{})
	go func() {
		awaitExit(c.cmd.Process.Pid)
		close(ended)
	}()
	done, kill := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case <-ended:
			return c.reap()
		case sig := <-signals.c:
			c.forward(sig.(syscall.Signal))
		case <-done:
			done = nil
			c.send(unix.SIGTERM)
			kill = time.After(killAfter)
		case <-kill:
			c.send(unix.SIGKILL)
		}
	}
}

// awaitExit returns when the child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// forward passes on what the caller got. On a shared terminal ^C and ^\ reach
// the command from the kernel, as they reach the caller: not twice.
func (c *command) forward(sig syscall.Signal) {
	if !c.alone && (sig == unix.SIGINT || sig == unix.SIGQUIT) {
		return
	}
	c.send(sig)
}

// send may find nobody left, which is as well.
func (c *command) send(sig syscall.Signal) {
	if c.alone {
		_ = unix.Kill(-c.cmd.Process.Pid, sig)
		return
	}
	_ = c.cmd.Process.Signal(sig)
}

func (c *command) reap() Result {
	_ = c.cmd.Wait() // an exit code other than 0 is no error here
	ws := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return Result{Code: 128 + int(ws.Signal()), Signal: ws.Signal()}
	}
	return Result{Code: ws.ExitStatus()}
}
