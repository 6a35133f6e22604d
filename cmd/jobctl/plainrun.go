package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"golang.org/x/sys/unix"
)

// runPlain runs a command as time(1) does: with the caller's environment, on the caller's terminal. It gives the command's
// exit code as an error, and waits for whatever becomes a child of jobctl meanwhile.
func runPlain(command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(sig) { // a command under nohup(1) shall not see SIGHUP
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	p, err := os.StartProcess(path, command, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	go forward(signals, p)
	return waitFor(p.Pid)
}

// forward passes on what was sent to jobctl alone. ^C and ^\ come from the terminal, which sends them to the command too.
func forward(signals <-chan os.Signal, p *os.Process) {
	for sig := range signals {
		if sig == unix.SIGTERM || sig == unix.SIGHUP {
			_ = p.Signal(sig) // it may be gone
		}
	}
}

// waitFor reaps all children until it is the turn of pid.
func waitFor(pid int) error {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("cannot wait for the command: %w", err)
		case got == pid && status.Signaled():
			return exit(128 + int(status.Signal()))
		case got == pid:
			return exit(status.ExitStatus())
		}
	}
}

// reapOrphans waits for those children that have ended already: only what was waited for has been counted.
func reapOrphans() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && err != unix.EINTR {
			return
		}
	}
}
