package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// sayKilled prints a paragraph for each job, or one object for them all.
func (a *app) sayKilled(refs []control.JobRef, answers []control.KillAnswer, errs []error, k *killing) error {
	if a.json {
		if slices.ContainsFunc(errs, func(err error) bool { return err == nil }) {
			return writeJSON(a.stdout, sum(answers))
		}
		return nil
	}
	for i, ref := range refs {
		if errs[i] != nil {
			continue
		}
		if err := a.sayOne(ref, answers[i], k); err != nil {
			return err
		}
	}
	return nil
}

// sum adds up answers; each process that is left says which job it is of.
func sum(answers []control.KillAnswer) control.KillAnswer {
	all := control.KillAnswer{Left: []control.KillLeft{}, Refused: []control.KillLeft{}, Jobs: []job.JID{}}
	for _, ans := range answers {
		all.Signalled += ans.Signalled
		all.Ended += ans.Ended
		all.Left = append(all.Left, ans.Left...)
		all.Refused = append(all.Refused, ans.Refused...)
		all.Jobs = append(all.Jobs, ans.Jobs...)
	}
	return all
}

func (a *app) sayOne(ref control.JobRef, ans control.KillAnswer, k *killing) error {
	name := string(ref)
	if len(ans.Jobs) > 0 {
		name = seqText(ans.Jobs[0].Seq())
	}
	text, about := killedText(name, ans, k)
	line := text + when(len(about) > 0, ": "+strings.Join(about, "; "))
	if len(about) == 0 || cells(line) <= a.width {
		return a.say("%s", line)
	}
	if err := a.say("%s:", text); err != nil {
		return err
	}
	for _, who := range about {
		if err := a.say("  %s", who); err != nil {
			return err
		}
	}
	return nil
}

// killedText says what was done, and of whom there is more to say.
func killedText(name string, ans control.KillAnswer, k *killing) (text string, about []string) {
	for _, l := range ans.Refused {
		about = append(about, leftText(l))
	}
	refused := when(len(ans.Refused) > 0, fmt.Sprintf(", %d refused", len(ans.Refused)))
	switch {
	case k.signal.set && k.signal.number == 0:
		return fmt.Sprintf("%s of %s can be signalled", count(ans.Signalled, "process", "processes"), name) + refused, about
	case k.signal.set:
		return fmt.Sprintf("sent %s to %s of %s", signalName(k.signal.number), count(ans.Signalled, "process", "processes"),
			name) + refused, about
	case len(ans.Left)+len(ans.Refused) == 0:
		return name + " ended" + withBelow(ans.Jobs), nil
	}
	left := make([]string, 0, len(ans.Left))
	for _, l := range ans.Left {
		left = append(left, leftText(l))
	}
	return fmt.Sprintf("%s: %d ended, %d left", name, ans.Ended, len(ans.Left)) + refused, append(left, about...)
}

func withBelow(jobs []job.JID) string {
	if len(jobs) < 2 {
		return ""
	}
	var below []string
	for _, j := range jobs[1:] {
		below = append(below, seqText(j.Seq()))
	}
	return ", with " + strings.Join(below, ", ")
}

// leftText is like 9913 D state, nfs.
func leftText(l control.KillLeft) string {
	text := fmt.Sprintf("%d %s", l.PID, plain(l.Comm))
	if l.State != "" {
		text = fmt.Sprintf("%d %s state", l.PID, plain(l.State))
	}
	return text + when(l.Why != "", ", "+plain(l.Why))
}

// killedExit gives the code of the first job that was refused, not found or not asked for, else 1 where somebody is left.
func killedExit(answers []control.KillAnswer, errs []error, k *killing) error {
	for _, err := range errs {
		if err != nil {
			return exit(failureCode(err))
		}
	}
	for _, ans := range answers {
		left := len(ans.Left) > 0 && !k.signal.set // a signal that was sent once leaves them all
		if left || len(ans.Refused) > 0 {
			return exit(exitFailed)
		}
	}
	return nil
}
