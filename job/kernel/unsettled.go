package kernel

import (
	"slices"

	"github.com/jobd-project/jobd/job/watch"
)

// unsettled are the children whose witnesses could not be heard when their fork was. Some only came too late: they were not put yet
// where they belong.
type unsettled struct{ list []unsettledChild }

type unsettledChild struct {
	id    watch.ID
	tries int
}

// How many there may be at a time, and how often each is asked again. The sweep asks whoever lives on.
const (
	unsettledMost = 1024
	unsettledAsk  = 10
)

func (u *unsettled) put(id watch.ID) {
	if len(u.list) < unsettledMost {
		u.list = append(u.list, unsettledChild{id: id})
	}
}

// Unsettled reports whether there are children of whom SettleLate might say more by now.
func (c *Connector) Unsettled() bool { return len(c.unsettled.list) > 0 }

// SettleLate gives the children whose witnesses could not be heard when they were forked, to be asked again (Claimed), each a few
// times at most.
func (c *Connector) SettleLate() (ask []watch.ID) {
	c.unsettled.list = slices.DeleteFunc(c.unsettled.list, func(u unsettledChild) bool {
		p := c.lin.of(u.id.PID)
		return p == nil || p.id != u.id || !p.undecided || u.tries == unsettledAsk
	})
	for i := range c.unsettled.list {
		c.unsettled.list[i].tries++
		ask = append(ask, c.unsettled.list[i].id)
	}
	return ask
}
