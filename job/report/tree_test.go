package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// proc is a process that lived from one second to another; -1: not known.
func proc(pid, ppid int32, start, end int) job.Process {
	p := job.Process{PID: pid, PPID: &ppid}
	if start >= 0 {
		p.Started = ptr(noon.Add(time.Duration(start) * time.Second))
	}
	if end >= 0 {
		p.Ended = ptr(noon.Add(time.Duration(end) * time.Second))
	}
	return p
}

// drawn is a tree as text: pid@start, a dot for each step down.
func drawn(list []job.Process) string {
	var b strings.Builder
	for _, n := range Tree(list) {
		p := list[n.Process]
		start := -1
		if p.Started != nil {
			start = int(p.Started.Sub(noon) / time.Second)
		}
		fmt.Fprintf(&b, "%s%d@%d ", strings.Repeat(".", n.Depth), p.PID, start)
	}
	return strings.TrimSpace(b.String())
}

func TestTree(t *testing.T) {
	unknownParent := proc(9, 0, 3, 4)
	unknownParent.PPID = nil
	for _, c := range []struct {
		name string
		list []job.Process
		want string
	}{
		{"nothing", nil, ""},
		{"children by their start, records by their end", []job.Process{proc(4, 2, 2, 3), proc(3, 1, 3, 4), proc(2, 1, 1, 5), proc(1, 100, 0, 6)},
			"1@0 .2@1 ..4@2 .3@3"},
		{"pid used again", []job.Process{proc(5, 1, 1, 2), proc(6, 5, 1, 9), proc(5, 1, 3, 9), proc(7, 5, 4, 5), proc(1, 0, 0, 9)},
			"1@0 .5@1 ..6@1 .5@3 ..7@4"},
		{"pid used again by its own child", []job.Process{proc(5, 1, 0, 2), proc(5, 5, 1, 3)}, "5@0 .5@1"},
		{"two that may be, the later one first", []job.Process{proc(5, 1, 3, 9), proc(5, 1, 0, 3), proc(6, 5, 3, 4)}, "5@0 5@3 .6@3"},
		{"two that may be, the earlier one first", []job.Process{proc(5, 1, 0, 3), proc(5, 1, 3, 9), proc(6, 5, 3, 4)}, "5@0 5@3 .6@3"},
		{"parent had ended", []job.Process{proc(5, 1, 0, 1), proc(6, 5, 2, 3)}, "5@0 6@2"},
		{"parent had not begun", []job.Process{proc(5, 1, 5, 9), proc(6, 5, 2, 8)}, "6@2 5@5"},
		{"orphans stand at the root", []job.Process{proc(7, 1, 2, 3), proc(6, 1, 1, 3)}, "6@1 7@2"},
		{"no parent is known", []job.Process{proc(5, 1, 0, 9), unknownParent}, "5@0 9@3"},
		{"a living parent", []job.Process{proc(5, 1, 0, -1), proc(6, 5, 1, 2), proc(7, 6, 1, -1)}, "5@0 .6@1 ..7@1"},
		{"a start is not known", []job.Process{proc(5, 1, -1, 9), proc(6, 5, 1, 2), proc(7, 5, -1, 4)}, "5@-1 .7@-1 .6@1"},
		{"its end tells who it was not", []job.Process{proc(5, 1, -1, 1), proc(6, 5, -1, 2)}, "5@-1 6@-1"},
		{"each other's parents", []job.Process{proc(5, 6, 1, 9), proc(6, 5, 1, 9)}, "6@1 .5@1"},
		{"its own parent", []job.Process{proc(5, 5, 1, 9)}, "5@1"},
		{"a ring through an unknown start", []job.Process{proc(1, 2, -1, 9), proc(2, 3, 5, 9), proc(3, 1, 4, 9)}, "3@4 .2@5 ..1@-1"},
	} {
		if got := drawn(c.list); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestTreeHoldsEverything: whatever the list says, everybody is in the tree once, behind the parent.
func TestTreeHoldsEverything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pid, when := rapid.Int32Range(1, 6), rapid.IntRange(-1, 6)
		list := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) job.Process {
			return proc(pid.Draw(rt, "pid"), pid.Draw(rt, "ppid"), when.Draw(rt, "start"), when.Draw(rt, "end"))
		}), 0, 30).Draw(rt, "list")
		depth := map[int]int{-1: -1}
		for _, n := range Tree(list) {
			if _, twice := depth[n.Process]; twice {
				rt.Fatal("twice", n)
			}
			d, ok := depth[n.Parent]
			if !ok || n.Depth != d+1 {
				rt.Fatal("not below its parent", n)
			}
			if n.Parent >= 0 && list[n.Parent].PID != *list[n.Process].PPID {
				rt.Fatal("not its parent", n)
			}
			depth[n.Process] = n.Depth
		}
		if len(depth) != len(list)+1 {
			rt.Fatalf("%d of %d", len(depth)-1, len(list))
		}
	})
}

// TestTreeOfAChain: depth costs no stack, and little time.
func TestTreeOfAChain(t *testing.T) {
	const n = 20_000
	list := make([]job.Process, n)
	for i := range list {
		list[i] = proc(int32(i+1), int32(i), i, n+1)
	}
	if nodes := Tree(list); nodes[n-1].Depth != n-1 {
		t.Error(nodes[n-1])
	}
}
