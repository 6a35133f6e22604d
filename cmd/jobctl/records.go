package main

import (
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
)

// treeTable has each process below its parent, with its times.
func (a *app) treeTable(list []job.Process, execs bool) *table {
	t := &table{columns: []column{
		{title: "COMMAND", floor: 20}, {title: "PID", right: true}, {title: "STARTED"}, {title: "LASTED", right: true}, {title: "CPU", right: true},
		{title: "MEM", right: true}, {title: "EXIT", right: true},
	}}
	now := a.now()
	nodes := report.Tree(list)
	for i, branch := range branches(nodes, a.width/3) {
		p := list[nodes[i].Process]
		length, exit := p.Elapsed, number(p.ExitStatus)
		if p.Ended == nil {
			exit = "lives"
			if p.Started != nil && length == nil {
				ns := int64(now.Sub(*p.Started))
				length = &ns
			}
		}
		t.add(branch+plain(p.Comm), number(&p.PID), momentOr(p.Started, now), span(length), about(p.CPU, p.Estimated), size(p.MaxRSS), exit)
		a.noteExecs(t, p, execs, strings.Repeat(" ", cells(branch)))
	}
	return t
}

// branches draws the lines of a tree: what stands before each node. They take at most width columns: of a deep one the
// trunk is cut off.
func branches(nodes []report.Node, width int) []string {
	last := make([]bool, len(nodes)) // of its parent's children
	open := make(map[int]bool)       // depths at which a sibling follows
	for i := len(nodes) - 1; i >= 0; i-- {
		d := nodes[i].Depth
		last[i] = !open[d]
		open[d] = true
		for below := d + 1; open[below]; below++ {
			delete(open, below)
		}
	}
	out := make([]string, len(nodes))
	var trunk []string
	for i, n := range nodes {
		trunk = trunk[:max(n.Depth-1, 0)]
		prefix := strings.Join(trunk[max(len(trunk)-width, 0):], "")
		if n.Depth > 0 {
			branch, below := "├─ ", "│  "
			if last[i] {
				branch, below = "└─ ", "   "
			}
			prefix += branch
			trunk = append(trunk, below)
		}
		if cells(prefix) > width {
			prefix = "…" + tail(prefix, width-1)
		}
		out[i] = prefix
	}
	return out
}

// noteExecs lists the programs of a process that ran more than one: when, and which, with the arguments where they are kept.
func (a *app) noteExecs(t *table, p job.Process, wanted bool, indent string) {
	if !wanted || len(p.Execs) < 2 {
		return
	}
	for _, x := range p.Execs {
		what := plain(x.Exe)
		if len(x.Argv) > 0 {
			what += ": " + plain(strings.Join(x.Argv, " "))
		}
		t.note(indent + moment(x.Time, a.now()) + " " + what)
	}
}
