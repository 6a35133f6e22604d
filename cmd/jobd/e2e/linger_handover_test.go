package e2e

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A job that lingers when jobd is restarted in order is killed by the next one.
func TestLingerOverHandover(t *testing.T) {
	h := plainHost(t)
	h.holder = newHolder(t, h.dir)
	h.configured("kill_grace = \"100ms\"\n[linger]\nkill_after = \"3s\"\n")
	until(t, "all sockets are held", func() bool { return len(h.holder.held()) == 5 })
	w := h.newWorld(map[string]string{"svc": plainStack})
	jid, _ := w.leaves("out", "alice", built.lab+" daemon", 1)
	h.stop(unix.SIGTERM)
	h.start()
	h.log.await(t, "went on where the jobd before stopped")
	h.ended(jid)
}
