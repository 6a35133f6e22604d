package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// showRelated shows a job, and whether anything of its login still runs.
func (a *app) showRelated(ctx context.Context, name string) error {
	ref, err := jobRef(name)
	if err != nil {
		return err
	}
	ans, err := a.client().Related(ctx, ref)
	if err != nil {
		return cannot("show job "+name, err)
	}
	return a.show(relatedObject(ans), func() error { return a.sayRelated(ans) })
}

// relatedObject is the answer as the contract names it: a process in no job has no JID.
func relatedObject(ans control.RelatedAnswer) any {
	type related struct {
		Members  []any                `json:"members"`
		Jobs     []control.RelatedJob `json:"jobs"`
		Unjobbed []any                `json:"unjobbed"`
		Hidden   int                  `json:"hidden"`
	}
	r := ans.Related
	return struct {
		job.Info
		Related related `json:"related"`
	}{ans.Info, related{processArray(r.Members), array(r.Jobs), processArray(r.Unjobbed), r.Hidden}}
}

func (a *app) sayRelated(ans control.RelatedAnswer) error {
	if err := a.jobFacts(ans.Info).write(a.stdout, a.width); err != nil {
		return err
	}
	r := ans.Related
	for _, part := range []struct {
		title string
		rows  int
		table *table
	}{
		{"in this job", len(r.Members), a.processTable(r.Members)},
		{"related jobs", len(r.Jobs), a.relatedTable(r.Jobs)},
		{"in no job", len(r.Unjobbed), a.processTable(r.Unjobbed)},
	} {
		if part.rows == 0 {
			continue
		}
		if _, err := fmt.Fprintf(a.stdout, "\n%s:\n", part.title); err != nil {
			return err
		}
		if err := part.table.write(a.stdout, a.width); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(a.stdout, "\n"); err != nil {
		return err
	}
	return a.say("%s", relatedText(r))
}

func (a *app) relatedTable(jobs []control.RelatedJob) *table {
	t := &table{columns: []column{
		{title: "JID", right: true}, {title: "USER", floor: 6}, {title: "FROM", floor: 7}, {title: "STARTED"}, {title: "STATE"},
		{title: "PROCS", right: true}, {title: "COMMAND", floor: 7}, {title: "THE SAME", floor: 9},
	}}
	now := a.now()
	for _, j := range jobs {
		t.add(seqText(j.Seq), plain(j.User), from(j.Info), clock(j.Started, now), stateText(j.State), number(&j.Processes),
			plain(j.Command), plain(strings.Join(j.Why, ",")))
	}
	return t
}

// relatedText is the answer in a sentence. What is the same user's need not be of the same login.
func relatedText(r control.Related) string {
	login, others := len(r.Members), len(r.Unjobbed)
	for _, j := range r.Jobs {
		if slices.Contains(j.Why, "login_jid") || slices.Contains(j.Why, "audit_session") {
			login += j.Processes
		} else {
			others += j.Processes
		}
	}
	text := "nothing of this login" + when(r.Hidden > 0, " that you may see") + " is running any more"
	if login > 0 {
		text = fmt.Sprintf("%s of this login %s running", count(login, "process", "processes"), are(login))
	}
	if others > 0 {
		text += fmt.Sprintf("; of the same user %d more %s", others, are(others))
	}
	if r.Hidden > 0 {
		text += fmt.Sprintf("; %d %s not yours to see", r.Hidden, are(r.Hidden))
	}
	return text
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
