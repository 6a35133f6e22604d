package e2e

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Sockets that were held are of no use without the run directory that they were in; jobs, members and logins are there.
func TestRunDirectoryWipedWithHeldSockets(t *testing.T) {
	h := heldHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	for range 3 {
		h.stop(unix.SIGTERM)
		must(t, os.RemoveAll(h.runDir()))
		s.grow(t)
		h.start()
		s.check(h)
		l := h.world.login("svc", "alice", nil, "true")
		if l.jid == 0 {
			t.Error("a login has no job")
		}
		l.wait()
		h.ended(l.jid)
		until(t, "the sockets are held", func() bool { return len(h.holder.held()) == h.holds() })
	}
	h.checkBooks()
}
