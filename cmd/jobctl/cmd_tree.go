package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func (a *app) treeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tree [JID]",
		Short: "show the processes of a job as a tree",
		Long: `Show the living processes of a job as a tree: PID, command and CPU time. What
has lost its parent, as daemons do, stands at the top. Without a JID it is the
job that jobctl was started in. With --json it is what jobctl ps prints.`,
		Example: "  jobctl tree 17",
		Args:    needs("[JID]"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.tree(cmd.Context(), args) },
	}
}

func (a *app) tree(ctx context.Context, args []string) error {
	ref, err := ownUnless(args)
	if err != nil {
		return err
	}
	in, err := a.client().Show(ctx, ref)
	if err != nil {
		return cannot("show the tree", err)
	}
	list, err := a.client().PS(ctx, control.Request{Job: ref})
	if err != nil {
		return cannot("show the tree", err)
	}
	return a.show(processArray(list), func() error {
		if err := a.jobTable([]job.Info{in}).write(a.stdout, a.width); err != nil {
			return err
		}
		return newForest(list, a.width).write(a.stdout)
	})
}

// forest is processes below their parents.
type forest struct {
	children map[int32][]job.Process
	roots    []job.Process
	reached  map[int32]bool
	width    int
	out      strings.Builder
}

// newForest hangs each process below its parent. What has its parent outside of the list is a root.
func newForest(list []job.Process, width int) *forest {
	f := &forest{children: make(map[int32][]job.Process), reached: make(map[int32]bool), width: width}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b job.Process) int { return cmp.Compare(a.PID, b.PID) })
	list = slices.CompactFunc(list, func(a, b job.Process) bool { return a.PID == b.PID })
	here := make(map[int32]bool)
	for _, p := range list {
		here[p.PID] = true
	}
	for _, p := range list {
		if p.PPID != nil && here[*p.PPID] {
			f.children[*p.PPID] = append(f.children[*p.PPID], p)
		} else {
			f.plant(p)
		}
	}
	f.breakCircles(list)
	f.draw(f.roots, "")
	return f
}

func (f *forest) plant(p job.Process) { f.roots = append(f.roots, p) }

// breakCircles makes a root in what no root leads to. The processes were read one after the other, so that a PID that was
// used again meanwhile can close a circle.
func (f *forest) breakCircles(list []job.Process) {
	f.reach(f.roots)
	for _, p := range list {
		if f.reached[p.PID] {
			continue
		}
		f.children[*p.PPID] = slices.DeleteFunc(f.children[*p.PPID], func(q job.Process) bool { return q.PID == p.PID })
		f.plant(p)
		f.reach([]job.Process{p})
	}
}

func (f *forest) reach(list []job.Process) {
	for _, p := range list {
		f.reached[p.PID] = true
		f.reach(f.children[p.PID])
	}
}

func (f *forest) draw(list []job.Process, prefix string) {
	for i, p := range list {
		branch, below := "├─ ", "│  "
		if i == len(list)-1 {
			branch, below = "└─ ", "   "
		}
		f.line(prefix+branch, p)
		f.draw(f.children[p.PID], prefix+below)
	}
}

// line keeps half of the width for the process itself: of a deep tree, the trunk is cut off.
func (f *forest) line(prefix string, p job.Process) {
	if most := f.width / 2; cells(prefix) > most {
		prefix = "…" + tail(prefix, most-1)
	}
	text := fmt.Sprintf("%s%d %s %s", prefix, p.PID, plain(p.Comm), about(p.CPU, p.Estimated))
	f.out.WriteString(shorten(text, f.width) + "\n")
}

func (f *forest) write(w io.Writer) error {
	_, err := io.WriteString(w, f.out.String())
	return err
}
