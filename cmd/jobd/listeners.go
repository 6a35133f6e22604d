package main

import (
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// listeners lists who is told of events: the watchers, and pnotify's subscribers, in the order in which they are called.
func listeners(w *watch.Table, n *pnotify.Table) (out []control.SubscriberInfo) {
	for _, who := range w.Watchers() {
		init, errs := w.Answers(who.Name)
		out = append(out, control.SubscriberInfo{
			Name: who.Name, Owner: who.Owner, Kind: "watcher", Init: init, Errors: &errs, Hears: names(who.Hears()),
		})
	}
	for _, who := range n.Registrations() {
		c := n.Counts(who.Name)
		out = append(out, control.SubscriberInfo{
			Name: who.Name, Owner: who.Owner, Kind: "subscriber", Hears: names(who.Hears()),
			Processes: &c.Processes, Init: c.Init, Subscribed: &c.Subscribed, Attached: &c.Attached, Detached: &c.Detached,
		})
	}
	return out
}

func names(kinds []watch.Kind) (out []string) {
	for _, k := range kinds {
		out = append(out, k.String())
	}
	return out
}
