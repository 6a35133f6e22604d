package kernel

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Outcast is a process that is in no job, because what it descends from was taken out of one, and whose parent has gone: from
// now on nothing in /proc tells that, so it has to be on file by itself.
type Outcast struct {
	ID watch.ID
	Of job.JID // that its ancestor was taken out of
}

// leaveBehind notes the children of one that was out and has gone.
func (c *engine) leaveBehind(p *proc) {
	if !p.out || p.kids == 0 {
		return
	}
	for child := range c.lin.all() {
		if child.parent == p.id && child.out && child.prev == p.prev {
			c.outcasts = append(c.outcasts, Outcast{ID: child.id, Of: job.JID(child.prev)})
		}
	}
}

// Outcasts hands over those that there are since it was called last.
func (c *engine) Outcasts() []Outcast {
	out := c.outcasts
	c.outcasts = nil
	return out
}
