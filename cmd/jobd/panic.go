package main

import (
	"runtime/debug"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// The watchers that jobd's books rest on.
const (
	watcherBooks = "books"
	watcherLoss  = "loss"
)

// panicked is told of a watcher or subscriber that panicked. One that the books rest on takes jobd with it: what is on file is right,
// what is in memory may not be, and the next jobd begins with the former. Any other has been taken out, and jobd goes on.
func (d *jobd) panicked(p *watch.Panic) {
	switch p.Name {
	case job.Subscriber, pnotify.Watcher, watcherBooks, watcherLoss:
		panic(p.Value)
	}
	d.log.Error("a watcher was taken out", "error", p, "stack", string(debug.Stack()))
}
