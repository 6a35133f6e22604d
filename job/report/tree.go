package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
)

// Node is a place in a tree of processes.
type Node struct {
	Process int // index into the list that the tree was made of
	Parent  int // likewise; -1: its parent is not in the list, or not known
	Depth   int // 0: it has no parent
}

// Tree puts the processes of one job, living ones or records, into an order in which each follows its parent, and those of
// one parent follow each other by their start.
//
// A parent is who had the pid that is named as the child's parent while the child was started, since pids are used again.
// A record names the parent at the exit: an orphan stands below its reaper, and has no parent where that is not in the job.
func Tree(list []job.Process) []Node {
	f := newForest(list)
	for i := range list {
		f.parent[i] = f.find(i)
	}
	return f.walk()
}

// forest is a tree in the making.
type forest struct {
	list   []job.Process
	start  []time.Time // zero: not known
	parent []int
	byPID  map[int32][]int
	vague  bool // a start is not known
}

func newForest(list []job.Process) *forest {
	f := &forest{list: list, start: make([]time.Time, len(list)), parent: make([]int, len(list)), byPID: make(map[int32][]int)}
	for i := range list {
		if s := list[i].Started; s != nil {
			f.start[i] = *s
		} else {
			f.vague = true
		}
		f.parent[i] = -1
		f.byPID[list[i].PID] = append(f.byPID[list[i].PID], i)
	}
	return f
}

// find gives the parent: of several that may be, the one that was started last.
func (f *forest) find(child int) int {
	c := &f.list[child]
	if c.PPID == nil {
		return -1
	}
	best := -1
	for _, i := range f.byPID[*c.PPID] {
		if f.mayBe(i, child) && (best < 0 || f.start[i].After(f.start[best])) {
			best = i
		}
	}
	return best
}

// mayBe reports whether p lived when the child was started, as far as is known. Where starts do not say who came first,
// nobody becomes the parent of its own ancestor.
func (f *forest) mayBe(p, child int) bool {
	born := f.start[child]
	if born.IsZero() && f.list[child].Ended != nil {
		born = *f.list[child].Ended
	}
	switch end := f.list[p].Ended; {
	case p == child || f.start[p].After(born) && !born.IsZero():
		return false
	case end != nil && !born.IsZero() && end.Before(born):
		return false
	case !f.vague && f.start[p].Before(born):
		return true
	}
	for ; p >= 0; p = f.parent[p] {
		if p == child {
			return false
		}
	}
	return true
}

// walk goes from each root down.
func (f *forest) walk() []Node {
	children := make(map[int][]int)
	for i, p := range f.parent {
		children[p] = append(children[p], i)
	}
	nodes := make([]Node, 0, len(f.list))
	var stack []Node
	push := func(parent, depth int) {
		list := children[parent]
		slices.SortFunc(list, func(a, b int) int { return -f.order(a, b) }) // the last one on the stack comes first
		for _, i := range list {
			stack = append(stack, Node{Process: i, Parent: parent, Depth: depth})
		}
	}
	for push(-1, 0); len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		nodes = append(nodes, n)
		push(n.Process, n.Depth+1)
	}
	return nodes
}

func (f *forest) order(a, b int) int {
	return cmp.Or(f.start[a].Compare(f.start[b]), cmp.Compare(f.list[a].PID, f.list[b].PID), cmp.Compare(a, b))
}
