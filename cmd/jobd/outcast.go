package main

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
)

// keepOut puts on file what is left of those that were taken out of a job and have gone: after a restart a witness that both
// inherited, such as the audit session, would bring it back.
func (d *jobd) keepOut() {
	outcasts := d.engine.Outcasts()
	if len(outcasts) == 0 {
		return
	}
	of := make(map[job.JID][]job.Known)
	for _, o := range outcasts {
		if known := d.onFile(o.ID); known.Start != 0 {
			of[o.Of] = append(of[o.Of], known)
		}
	}
	for jid, known := range of {
		d.table.KeepOut(jid, known, func(k job.Known) bool {
			st, err := kernel.Proc.Stat(k.PID)
			return err == nil && st.Start == k.Start
		})
	}
}
