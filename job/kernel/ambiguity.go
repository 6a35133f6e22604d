package kernel

import "github.com/jobd-project/jobd/job/watch"

// A fork event names the child's real_parent (drivers/connector/cn_proc.c), which is not the caller of clone with
// CLONE_PARENT: then it is the caller's own parent. So a fork is ambiguous when the named parent has a child with
// another label than its own, or may have inherited one as a subreaper or init. Every such parent is an ancestor of a
// process where labels meet, and is marked when the label is given.

// bound marks the ancestors of a process at which label begins (or, detached, ends), nearest first.
func (l *lineage) bound(label Label, ancestors []watch.ID) {
	for _, a := range ancestors {
		if l.marks[a] == nil {
			l.marks[a] = make(map[Label]int)
		}
		l.marks[a][label]++
		l.bounds[label] = append(l.bounds[label], a)
	}
}

// wants reports whether a process is not marked with a label yet.
func (l *lineage) wants(label Label, at watch.ID) bool { return label != 0 && l.marks[at][label] == 0 }

// unbound takes the marks of a label away: nothing with this label lives any more.
func (l *lineage) unbound(label Label) {
	for _, a := range l.bounds[label] {
		m := l.marks[a]
		if m == nil {
			continue // the ancestor has gone before
		}
		if m[label]--; m[label] <= 0 {
			delete(m, label)
		}
		if len(m) == 0 {
			delete(l.marks, a)
		}
	}
	delete(l.bounds, label)
}

// ambiguous reports whether a fork that names parent may be somebody else's.
func (l *lineage) ambiguous(parent *proc) bool {
	return parent != nil && (parent.undecided || len(l.marks) > 0 && len(l.marks[parent.id]) > 0)
}

// markedPIDs lists the parents that are to be watched closely.
func (l *lineage) markedPIDs() []int32 {
	out := make([]int32, 0, len(l.marks))
	for id := range l.marks {
		out = append(out, id.PID)
	}
	return out
}

// creator picks a process with label that child can inherit from: a sibling, since only a sibling can have made it
// with CLONE_PARENT, else any.
func (l *lineage) creator(child *proc, label Label) *proc {
	var other *proc
	for _, p := range l.live.All() {
		if p == child || p.label != label || p.adrift {
			continue
		}
		if p.parent == child.parent {
			return p
		}
		other = p
	}
	return other
}

// hasOtherChild reports whether a process has a child with another label than want: then its forks are ambiguous too. One that has
// gone, and whose exit is still to be read, will fork no more; in a storm there is always one.
func (l *lineage) hasOtherChild(id watch.ID, want Label, lives func(*proc) bool) bool {
	for _, p := range l.live.All() {
		if p.parent == id && p.label != want && lives(p) {
			return true
		}
	}
	return false
}
