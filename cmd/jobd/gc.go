package main

import "runtime/debug"

// On a host with few processes the heap is a few MiB, and in a storm of short ones Go's collector would run dozens of times
// a second to keep it there: that cost a quarter of jobd's CPU. With many processes the heap is large, and what it may
// grow by is worth having.
const (
	roomyPercent = 400
	tightPercent = 50
	crowd        = 2000 // processes of the whole host
)

// tuneCollector chooses how far the heap may grow between collections.
func (d *jobd) tuneCollector() {
	percent := roomyPercent
	if d.engine.Counts().Processes > crowd {
		percent = tightPercent
	}
	if percent != d.gcPercent {
		d.gcPercent = percent
		debug.SetGCPercent(percent)
	}
}
