package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
)

func (a *app) showCommand() *cobra.Command {
	var related bool
	cmd := &cobra.Command{
		Use:   "show JID [--related]",
		Short: "show all that is known of a job",
		Long: `Show all that is known of a job, open or ended. - is what is unknown.

--related answers whether anything of a login still runs: it adds the members,
the open jobs of the same login, audit session, login uid or uid, and what the
user has running in no job.`,
		Example: "  jobctl show 17\n  jobctl show self --json\n  jobctl show 17 --related",
		Args:    needs("JID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if related {
				return a.showRelated(cmd.Context(), args[0])
			}
			return a.showJob(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&related, "related", false, "with what else runs of its login and its user")
	return cmd
}

func (a *app) showJob(ctx context.Context, name string) error {
	ref, err := jobRef(name)
	if err != nil {
		return err
	}
	in, err := a.client().Show(ctx, ref)
	if err != nil {
		return cannot("show job "+name, err)
	}
	return a.show(in, func() error { return a.jobFacts(in).write(a.stdout, a.width) })
}

func (a *app) jobFacts(in job.Info) *facts {
	f := &facts{}
	f.add("job", fmt.Sprintf("%d (%s) on %s", in.Seq, in.JID, plain(in.Host)))
	f.add("boot", plain(in.BootID))
	f.add("state", stateText(in.State)+when(in.Held, ", held")+when(in.Estimated, ", estimated"))
	f.add("user", fmt.Sprintf("%s (%d), group %s", plain(in.User), in.UID, number(in.GID)))
	originFacts(f, in)
	a.timeFacts(f, in)
	kinFacts(f, in)
	useFacts(f, in)
	f.add("witness", plain(in.Witness))
	f.add("tags", tagText(in.Tags))
	a.markFacts(f, in.Marks)
	return f
}

func originFacts(f *facts, in job.Info) {
	f.add("service", plain(in.Service))
	host := plain(in.RHost)
	if in.RPort != nil {
		host += " port " + number(in.RPort)
	}
	f.add("from", host)
	f.add("terminal", plain(in.TTY))
	f.add("key", plain(in.AuthKey))
	f.add("entry", entryText(in.POE))
	f.add("command", plain(in.Command))
	f.add("sessions", fmt.Sprintf("login uid %s, audit %s, logind %s",
		number(in.LoginUID), number(in.AuditSession), plain(in.LogindSession)))
}

// entryText is the point of entry; a job that is held may have none.
func entryText(pid int32) string {
	if pid == 0 {
		return none
	}
	return fmt.Sprintf("pid %d", pid)
}

func (a *app) timeFacts(f *facts, in job.Info) {
	now := a.now()
	f.add("started", fullTime(in.Started, now))
	if in.Ended == nil {
		f.add("ended", none)
		f.add("lasted", spanOf(now.Sub(in.Started))+" so far")
		return
	}
	f.add("ended", fullTime(*in.Ended, now)+", "+plain(in.EndReason))
	f.add("lasted", spanOf(in.Ended.Sub(in.Started)))
	f.add("exit", fmt.Sprintf("%s of the last process, %s of the entry", number(in.ExitStatus), number(in.POEExitStatus)))
}

func kinFacts(f *facts, in job.Info) {
	if in.ParentJID == nil && in.LoginJID == nil {
		return
	}
	f.add("made in", fmt.Sprintf("job %s, of login %s", seqOf(in.ParentJID, in.JID), seqOf(in.LoginJID, in.JID)))
}

func useFacts(f *facts, in job.Info) {
	f.add("processes", fmt.Sprintf("%d now, %d at most, %d in all", in.Processes, in.PeakProcesses, in.TotalProcesses)+
		when(in.MaxProcesses != nil, ", no more than "+number(in.MaxProcesses)))
	f.add("cpu", about(in.CPU, in.Estimated)+when(in.CPUSource != "", " by "+plain(in.CPUSource)))
	f.add("", fmt.Sprintf("user %s, system %s, unattributed %s", span(in.CPUUser), span(in.CPUSystem), span(in.CPUUnattributed)))
	f.add("memory", size(in.MaxRSS)+when(in.MaxRSS != nil, " at most in one process")+when(in.PeakMemory != nil, ", "+size(in.PeakMemory)+" in all"))
	f.add("disk", size(in.ReadBytes)+" read, "+size(in.WriteBytes)+" written")
}

func tagText(tags map[string]string) string {
	if len(tags) == 0 {
		return none
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, plain(k+"="+tags[k]))
	}
	return strings.Join(list, " ")
}

// markFacts lists the sessions that were opened inside the job.
func (a *app) markFacts(f *facts, marks []job.Mark) {
	name := "marks"
	if len(marks) == 0 {
		f.add(name, none)
	}
	for _, m := range marks {
		f.add(name, fmt.Sprintf("%s %s for %s (%s), pid %d, terminal %s", moment(m.Time, a.now()), plain(m.Service),
			plain(m.User), number(m.UID), m.PID, plain(m.TTY))+when(m.Closed, ", closed"))
		name = ""
	}
}

func when(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}
