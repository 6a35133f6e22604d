package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// jwait waits until a job has ended, and says how its last process did.
func (a *app) jwait(args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	jid, err := parseJID(args[0])
	if err != nil {
		return err
	}
	ans, err := control.AskJob(context.Background(), a.jobSock(), control.JobRequest{Verb: control.JobWaitJID, JID: jid})
	if err != nil {
		return err
	}
	if ans.Status == nil {
		fmt.Fprintf(a.stdout, "job[%s] exit status: not known.\n", ans.JID)
		return nil
	}
	status := unix.WaitStatus(*ans.Status)
	fmt.Fprintf(a.stdout, "job[%s] exit status: %s.\n", ans.JID, hex(int(*ans.Status)))
	if status.Exited() {
		fmt.Fprintf(a.stdout, "\tExit detected with exit status: %s or %d\n", hex(status.ExitStatus()), status.ExitStatus())
	}
	if status.Signaled() {
		fmt.Fprintf(a.stdout, "\tSignal detected with signal: %d\n", status.Signal())
	}
	return nil
}

// hex is printf(3)'s %#x: 0 has no 0x.
func hex(n int) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", n)
}
