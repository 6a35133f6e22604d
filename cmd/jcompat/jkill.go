package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// jkill sends a signal to every process of each job. One job that cannot be signalled does not keep it from the others.
func (a *app) jkill(args []string) error {
	if len(args) == 1 && args[0] == "-l" {
		a.listSignals()
		return nil
	}
	sig := int(unix.SIGTERM)
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		n, ok := signalNumber(args[0][1:])
		if !ok {
			return errUsage
		}
		sig, args = n, args[1:]
	}
	if len(args) == 0 {
		return errUsage
	}
	var failed []error
	for _, arg := range args {
		if err := a.killOne(arg, sig); err != nil {
			failed = append(failed, err)
		}
	}
	for _, err := range failed[:max(len(failed)-1, 0)] { // main says the last
		fmt.Fprintln(a.stderr, explain("jkill", err))
	}
	return errors.Join(failed[max(len(failed)-1, 0):]...)
}

func (a *app) killOne(arg string, sig int) error {
	jid, err := parseJID(arg)
	if err != nil {
		return err
	}
	_, err = control.AskJob(context.Background(), a.jobSock(), control.JobRequest{Verb: control.JobKillJID, JID: jid, Signal: sig})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Processes in job[%s] sent signal %d.\n", jid, sig)
	return nil
}

// signalNumber takes a number, or a name with or without SIG, in any case.
func signalNumber(s string) (int, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, n >= 0 && n <= 64
	}
	n := int(unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")))
	return n, n != 0
}

// listSignals prints four signals a line.
func (a *app) listSignals() {
	for n := 1; n < 32; n++ {
		name := unix.SignalName(unix.Signal(n))
		text := fmt.Sprintf("%-10s[%2d]", name, n)
		if n%4 == 0 || n == 31 {
			fmt.Fprintln(a.stdout, text)
		} else {
			fmt.Fprint(a.stdout, text, "      ")
		}
	}
}
