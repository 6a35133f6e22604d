package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/job/control"
)

// The lines of the log, and of the trail, that watch.audit makes.
const (
	memberExec = "exec"
	memberUID  = "uid change"
	watchLost  = "events were missed by watch.audit"
)

// auditEvents writes a line for each program that is run in a job and for each change of uid there. It reads like anybody else who watches: a
// log that is slow costs the loop nothing, and what it misses for that is said.
func (d *jobd) auditEvents(ctx context.Context) error {
	lines, err := d.ownReader(ctx, feed.Filter{Kinds: []string{control.EventExec, control.EventUID}})
	if err != nil {
		if ctx.Err() != nil { // told to end while it waited for the loop
			return nil
		}
		return err
	}
	err = lines(ctx, func(b []byte) error {
		for line := range bytes.Lines(b) {
			var e control.WatchEvent
			if err := json.Unmarshal(line, &e); err != nil {
				return err
			}
			d.auditEvent(&e)
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// auditEventsIf is that part of jobd, or nil.
func (d *jobd) auditEventsIf(on bool) func(context.Context) error {
	if !on {
		return nil
	}
	return d.auditEvents
}

func (d *jobd) auditEvent(e *control.WatchEvent) {
	switch e.Event {
	case control.EventExec:
		d.log.Info(memberExec, "jid", number(e.JID), "seq", number(e.Seq), "pid", number(e.TGID), "exe", string(e.Exe), "at", e.Time)
	case control.EventUID:
		d.log.Info(memberUID, "jid", number(e.JID), "seq", number(e.Seq), "pid", number(e.TGID), "uid", number(e.UID), "euid", number(e.EUID), "at", e.Time)
	case control.EventLost:
		d.log.Warn(watchLost, "events", number(e.Lost), "why", e.Why)
	}
}
