package e2e

import (
	"testing"

	"golang.org/x/sys/unix"
)

// beats is how often jobd said that its loop goes round.
func beats(hold *holder) (n int) {
	for _, said := range hold.told() {
		if said == "WATCHDOG=1" {
			n++
		}
	}
	return n
}

// Where a service manager wants to hear of jobd the loop tells it, idle and busy; elsewhere nobody is told.
func TestWatchdog(t *testing.T) {
	h := plainHost(t)
	h.holder = newHolder(t, h.dir)
	h.env = []string{"WATCHDOG_USEC=100000"}
	h.start()
	heard := beats(h.holder)
	until(t, "a jobd that is idle tells of itself", func() bool { return beats(h.holder) > heard+2 })
	w := h.newWorld(map[string]string{"svc": plainStack})
	storm, _ := w.stormPrograms()
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, storm, "1", "5000")
	heard = beats(h.holder)
	until(t, "and one that is busy", func() bool { return beats(h.holder) > heard+2 })
	kill(t, pidsIn(t, out, 1)[0])
	l.wait()
	h.ended(l.jid)

	h.env = nil
	if code := h.stop(unix.SIGTERM); code != 0 {
		t.Errorf("jobd ended with %d", code)
	}
	h.start()
	heard = beats(h.holder)
	h.selfcheck() // its loop has been round
	if n := beats(h.holder) - heard; n != 0 {
		t.Errorf("%d messages to a manager that does not watch", n)
	}
}
