package kernel

import "github.com/jobd-project/jobd/job/watch"

// A member can have a child bear the name of root's own process that was taken out of its job, if it is a child of that one
// (CLONE_PARENT). What root's own process makes is out of the job like itself; what was made in its name is not.

// impostor tells whose a child is that no witness speaks for and that bears the name of one that is out. done is false where that is
// what it seems. Otherwise it is a member, and inherits from creator; or it was gone before anybody looked, and creator is nobody.
// asked says that its witnesses were heard, meant which process is.
func (c *Connector) impostor(child, parent *proc, asked bool, meant func(Stat) bool) (creator watch.ID, done bool) {
	if asked && c.bench.tells(child.prev) { // who is of that job has its label or is in its cgroup, and this one is neither
		return watch.ID{}, false
	}
	if !c.disguised(child, parent) {
		return watch.ID{}, false
	}
	return c.unmask(child, meant)
}

// disguised reports whether there is somebody who can have made a child in its parent's name.
func (c *Connector) disguised(child, parent *proc) bool {
	switch {
	case !child.out || child.prev == 0 || !parent.out:
		return false
	case parent.doubtful:
		return c.lin.creator(child, child.prev) != nil
	case !parent.roots && !c.FS.RootsOwn(parent.id.PID):
		return false
	}
	for p := range c.lin.all() {
		if p != child && p.label == child.prev && p.parent == parent.id && !c.FS.RootsOwn(p.id.PID) {
			return true
		}
	}
	return false
}

// unmask looks whose a disguised child is: it is not root's, as whoever made it is not, unless it is root's own. Of one that is gone
// nobody can say, and its children are looked at in turn.
func (c *Connector) unmask(child *proc, meant func(Stat) bool) (creator watch.ID, done bool) {
	roots := c.FS.RootsOwn(child.id.PID)
	if st, err := c.FS.Stat(child.id.PID); err != nil || !meant(st) {
		c.counts.Unwitnessed++
		child.doubtful, child.undecided = true, true
		return watch.ID{}, true
	}
	if child.roots = roots; roots {
		return watch.ID{}, false
	}
	maker := c.lin.creator(child, child.prev)
	child.label, child.out = child.prev, false
	return maker.id, true
}
