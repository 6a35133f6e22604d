package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
)

// The exit codes beside those that control.ExitCode gives for an answer: 3 for no such job, 4 where jobd is not reached.
// run has its command's, and exitRun where jobctl itself could not do it.
const (
	exitDone   = 0
	exitFailed = 1 // refused, failed or timed out
	exitUsage  = 2
	exitRun    = 125
)

// exit is an exit code of which all has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a command line that cannot be meant.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }

// badUsage refuses the arguments of a verb.
func badUsage(cmd *cobra.Command, message string) error {
	hint := "jobctl help " + cmd.Name()
	if !cmd.HasParent() {
		hint = "jobctl help"
	}
	return &usageError{"cannot read the arguments of " + cmd.CommandPath() + ": " + message, hint}
}

// exitCode says how jobctl ended. What goes wrong before the command of run is there has a code of its own, so that it is
// never taken for the command's.
func exitCode(cmd *cobra.Command, err error) int {
	var code exit
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case cmd != nil && cmd.Name() == "run":
		return exitRun
	}
	return failureCode(err)
}

func failureCode(err error) int {
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return control.ExitCode(err)
}

// cannot says what was not done. That jobd cannot be reached needs no more words.
func cannot(do string, err error) error {
	if err == nil || errors.Is(err, control.ErrUnreachable) {
		return err
	}
	return fmt.Errorf("cannot %s: %w", do, err)
}

// report says on stderr what went wrong, and what to do.
func (a *app) report(err error) {
	var code exit
	if err == nil || errors.As(err, &code) {
		return
	}
	fmt.Fprintln(a.stderr, "jobctl: "+plain(err.Error()))
	if hint := a.hint(err); hint != "" {
		fmt.Fprintln(a.stderr, "jobctl: hint: "+plain(hint))
	}
}

func (a *app) hint(err error) string {
	var usage *usageError
	var own *hinted
	var answer *control.Error
	switch {
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &own):
		return own.hint
	case errors.As(err, &answer):
		return answer.Hint
	case errors.Is(err, control.ErrUnreachable):
		return "start jobd, or name its run directory: --run-dir"
	}
	return ""
}
