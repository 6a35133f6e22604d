package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "show how jobd is",
		Long:    "Show how jobd is: its engine and why that one, what it counts, what it missed.",
		Example: "  jobctl status\n  jobctl status --json | jq .events_lost",
		Args:    needs(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
}

func (a *app) status(ctx context.Context) error {
	st, err := a.client().Status(ctx)
	if err != nil {
		return cannot("show how jobd is", err)
	}
	return a.show(st, func() error { return a.statusFacts(st).write(a.stdout, a.width) })
}

func (a *app) statusFacts(st control.StatusAnswer) *facts {
	f := &facts{}
	f.add("jobd", fmt.Sprintf("%s, pid %d, since %s", plain(st.Version), st.PID, fullTime(st.Started, a.now())))
	f.add("host", fmt.Sprintf("%s, id 0x%08x", plain(st.Host), st.HID))
	f.add("boot", plain(st.BootID))
	f.add("engine", withReason(st.Engine, st.EngineWhy))
	f.add("cgroup", withReason(st.Cgroup, string(st.CgroupWhy)))
	f.add("labels", labelsText(st))
	f.add("refusal", withReason(st.Refusal, string(st.RefusalWhy)))
	f.add("witnesses", plain(strings.Join(st.Witnesses, ", ")))
	f.add("logins", drainText(st.Drained))
	f.add("jobs", jobCounts(st.Jobs))
	f.add("members", fmt.Sprint(st.Members))
	subscriberFacts(f, st.Subscribers)
	if st.Streams > 0 {
		f.add("streams", fmt.Sprintf("%d of events are open", st.Streams))
	}
	f.add("events", eventCounts(st.Events))
	f.add("missed", fmt.Sprintf("%d events, %d witnesses, %d exit records; %s", st.EventsLost, st.Unwitnessed,
		st.RecordsMissed, count(st.Resyncs, "resync", "resyncs")))
	f.add("degraded", a.degraded(st))
	balanceFacts(f, st.Balance)
	a.storeFacts(f, st.Store)
	f.add("confined", plain(strings.Join(st.Confined, ", ")))
	f.add("audit", auditText(st.Audit))
	a.configFacts(f, st)
	return f
}

// labelsText is where the kernel keeps labels.
func labelsText(st control.StatusAnswer) string {
	if st.Labels == "" {
		return withReason("none in the kernel", string(st.LabelsWhy))
	}
	text := "kept in " + string(st.Labels)
	if st.Unlabelled > 0 {
		text += fmt.Sprintf(", %d left out for a while", st.Unlabelled)
	}
	return plain(text)
}

func auditText(s control.AuditStatus) string {
	text := "no records"
	if s.On {
		text = fmt.Sprintf("%d records, %d dropped", s.Sent, s.Dropped)
	}
	return withReason(text, string(s.Why))
}

// configFacts is which configuration holds, and what does not. A jobd that is older says nothing of it.
func (a *app) configFacts(f *facts, st control.StatusAnswer) {
	c := st.Config
	if c.ReadAt.IsZero() {
		return
	}
	f.add("config", fmt.Sprintf("%s, read %s", plain(cmp.Or(string(c.File), "the defaults, no file")), fullTime(c.ReadAt, a.now())))
	if c.Error != "" {
		f.add("", "NOT READ AGAIN: "+plain(string(c.Error)))
	}
	if len(c.Restart) > 0 {
		f.add("", "holds after a restart: "+plain(strings.Join(c.Restart, ", ")))
	}
	if st.Log.Dropped > 0 {
		f.add("log", fmt.Sprintf("%d lines were dropped: not read in time, or not written", st.Log.Dropped))
	}
}

func withReason(what, why string) string {
	if why == "" {
		return plain(what)
	}
	return plain(what) + ": " + plain(why)
}

func drainText(drained bool) string {
	if drained {
		return "get no job: drained (jobctl resume)"
	}
	return "become jobs"
}

func jobCounts(jobs map[job.State]int) string {
	return fmt.Sprintf("%d open, %d lingering", jobs[job.Open], jobs[job.Lingering])
}

func subscriberFacts(f *facts, list []control.SubscriberInfo) {
	name := "subscribers"
	for _, s := range list {
		text := fmt.Sprintf("%s %s of %s", plain(s.Kind), plain(s.Name), plain(s.Owner))
		if s.Processes != nil {
			text += ", " + count(*s.Processes, "process", "processes")
		}
		text += subscriberCounts(s)
		f.add(name, text)
		name = ""
	}
}

// subscriberCounts is how a subscriber came to its processes, or what a watcher hears.
func subscriberCounts(s control.SubscriberInfo) string {
	var list []string
	if s.Attached != nil && s.Detached != nil && s.Subscribed != nil {
		list = append(list, fmt.Sprintf("init %d + subscribed %d + attached %d, detached %d", s.Init, *s.Subscribed, *s.Attached, *s.Detached))
	}
	if len(s.Hears) > 0 {
		list = append(list, "hears "+plain(strings.Join(s.Hears, ", ")))
	}
	if s.Errors != nil && *s.Errors > 0 {
		list = append(list, count(int(*s.Errors), "error", "errors"))
	}
	if len(list) == 0 {
		return ""
	}
	return ": " + strings.Join(list, "; ")
}

func eventCounts(events map[string]uint64) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(events)) {
		list = append(list, fmt.Sprintf("%s %d", plain(name), events[name]))
	}
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

func (a *app) degraded(st control.StatusAnswer) string {
	if st.DegradedSince == nil {
		return "no"
	}
	return "since " + fullTime(*st.DegradedSince, a.now()) + ": " + plain(st.DegradedWhy)
}

func balanceFacts(f *facts, b job.Balance) {
	verdict := "ok"
	if off := b.Error(); off != 0 {
		verdict = fmt.Sprintf("WRONG by %d", off)
	}
	f.add("balance", verdict)
	f.add("", fmt.Sprintf("attached %d + inherited %d + adopted %d", b.Attached, b.Inherited, b.Adopted))
	f.add("", fmt.Sprintf("= departed %d + live %d", b.Departed, b.Live))
}

func (a *app) storeFacts(f *facts, s control.StoreStatus) {
	f.add("books", fmt.Sprintf("%s, %s", plain(s.Path), size(&s.Bytes)))
	f.add("", fmt.Sprintf("last commit %s, %d queued, %d dropped, %s", momentOr(s.LastCommit, a.now()), s.Queued, s.Dropped,
		count(s.Errors, "error", "errors")))
	if s.HaltedSince != nil {
		f.add("", "HISTORY IS HALTED since "+momentOr(s.HaltedSince, a.now()))
	}
	if s.SetAside != "" {
		f.add("", "a damaged file was set aside: "+plain(s.SetAside))
	}
	if s.LastError != "" {
		f.add("", "last error: "+plain(s.LastError))
	}
}

func (a *app) selfcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "selfcheck",
		Short: "compare jobd's table with the kernel",
		Long: `Let jobd compare its table with the processes that there are and check the
balance. Exit code 1 when something differs.`,
		Example: "  jobctl selfcheck",
		Args:    needs(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.selfcheck(cmd.Context()) },
	}
}

func (a *app) selfcheck(ctx context.Context) error {
	ans, err := a.client().Selfcheck(ctx)
	if err != nil {
		return cannot("check", err)
	}
	ans.Differences = array(ans.Differences)
	err = a.show(ans, func() error { return a.sayCheck(ans) })
	if err == nil && !ans.OK {
		return exit(exitFailed)
	}
	return err
}

func (a *app) sayCheck(ans control.SelfcheckAnswer) error {
	f := &facts{}
	name := "table"
	if len(ans.Differences) == 0 {
		f.add(name, "as the kernel has it")
	}
	for _, d := range ans.Differences {
		f.add(name, plain(d))
		name = ""
	}
	balanceFacts(f, ans.Balance)
	return f.write(a.stdout, a.width)
}
