package kernel

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// markAll marks the ancestors of all who were found, as markAncestors does it for one. There may be tens of thousands, so parents are
// taken from the scan that found them: whoever goes since leaves its children to one of its own ancestors, which are marked too.
func (c *Connector) markAll(found map[job.JID]Found, list []seen) {
	parents := make(map[int32]int32, len(list))
	for i := range list {
		parents[list[i].PID] = list[i].PPID
	}
	meet := c.parentsOfOthers(list)
	for jid, f := range found {
		for _, id := range f.Members {
			above := c.above(id, c.ancestorsIn(parents, id.PID))
			if meet[id] {
				above = append(above, id)
			}
			c.lin.bound(Label(jid), above)
		}
	}
}

// ancestorsIn gives the parents of a process, nearest first, through pid 1. Where one went while all were looked at, /proc says who took
// its place.
func (c *Connector) ancestorsIn(parents map[int32]int32, pid int32) (out []int32) {
	for range len(parents) { // which ends even where pids were used again meanwhile
		parent := parents[pid]
		if _, there := parents[parent]; !there && pid != 1 {
			return append(out, c.FS.Ancestors(pid)...)
		}
		if parent == 0 {
			break
		}
		out, pid = append(out, parent), parent
	}
	if len(out) == 0 || out[len(out)-1] != 1 {
		out = append(out, 1)
	}
	return out
}

// parentsOfOthers gives those in jobs who have a child with another label than their own: by its birth, or because it was left to them.
func (c *Connector) parentsOfOthers(list []seen) map[watch.ID]bool {
	meet := make(map[watch.ID]bool)
	for i := range list {
		child := c.lin.of(list[i].PID)
		if child == nil {
			continue
		}
		for _, pid := range []int32{child.parent.PID, list[i].PPID} {
			parent := c.lin.of(pid)
			if parent == nil || parent.label == 0 || parent.label == child.label || meet[parent.id] {
				continue
			}
			if (parent.id == child.parent || pid == list[i].PPID) && c.lives(child) {
				meet[parent.id] = true
			}
		}
	}
	return meet
}
