package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jobd-project/jobd/job/control"
)

// ask carries out what has no answer to be printed.
func (a *app) ask(req control.JobRequest) (control.JobAnswer, error) {
	return control.AskJob(context.Background(), a.jobSock(), req)
}

// jattach puts a process that is in no job into one.
func (a *app) jattach(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	pid, err := parsePID(args[0])
	if err != nil {
		return err
	}
	jid, err := parseJID(args[1])
	if err != nil {
		return err
	}
	ans, err := a.ask(control.JobRequest{Verb: control.JobAttachPID, PID: pid, JID: jid})
	if err == nil && ans.Already {
		fmt.Fprintf(a.stdout, "%d is in job[%s] already\n", pid, jid)
	}
	return err
}

// jdetach takes a process, or all processes of a job, out; they run on.
func (a *app) jdetach(args []string) error {
	if len(args) == 0 || len(args[0]) < 2 {
		return errUsage
	}
	option, value := args[0][:2], args[0][2:]
	if value == "" && len(args) == 2 {
		value, args = args[1], args[1:]
	}
	if len(args) != 1 || value == "" {
		return errUsage
	}
	req := control.JobRequest{}
	var err error
	switch option {
	case "-p":
		req.Verb = control.JobDetachPID
		req.PID, err = parsePID(value)
	case "-j":
		req.Verb = control.JobDetachJID
		req.JID, err = parseJID(value)
	default:
		return errUsage
	}
	if err == nil {
		_, err = a.ask(req)
	}
	return err
}

// jsethid has jobs made again, as the host id did when it was set, or no more with the last one there is. jobd has its own
// host id, from its configuration: another one is refused.
func (a *app) jsethid(args []string) error {
	if len(args) > 1 {
		return errUsage
	}
	req := control.JobRequest{Verb: control.JobSetHID}
	if len(args) == 1 {
		v, err := strconv.ParseUint(withoutPrefix(args[0]), 16, 32)
		if err != nil {
			return fmt.Errorf("%q is no host id: it has up to 8 hexadecimal digits", args[0])
		}
		hid := uint32(v)
		req.HID = &hid
	}
	_, err := a.ask(req)
	return err
}
