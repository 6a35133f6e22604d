package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// smallDisk puts the books of a host on a file system of their own, with little room.
func (h *host) smallDisk(size string) {
	h.t.Helper()
	must(h.t, os.Mkdir(h.stateDir(), 0o750))
	err := unix.Mount("jobd-e2e", h.stateDir(), "tmpfs", 0, "mode=750,size="+size)
	if errors.Is(err, unix.EPERM) {
		lacking(h.t, "leave to mount a tmpfs")
	}
	must(h.t, err)
	// Before finish removes the directory: cleanups run last first, and a jobd may still be writing there.
	h.t.Cleanup(func() { _ = unix.Unmount(h.stateDir(), unix.MNT_DETACH) })
}

// fill leaves so many bytes of the file system, and gives the file that takes the rest.
func (h *host) fill(leave uint64) (path string) {
	h.t.Helper()
	var st unix.Statfs_t
	must(h.t, unix.Statfs(h.stateDir(), &st))
	path = filepath.Join(h.stateDir(), "filler")
	f, err := os.Create(path)
	must(h.t, err)
	defer f.Close()
	must(h.t, unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail*uint64(st.Bsize)-leave)))
	return path
}

// A file system that is full, really or by keep.free_mib: logins go on, status and log say what is the matter, and what
// waited is in the books when there is room again.
func TestFullDisk(t *testing.T) {
	for name, settings := range map[string]string{"full": "[keep]\nfree_mib = 0\n", "below the floor": "[keep]\nfree_mib = 2\n"} {
		t.Run(name, func(t *testing.T) {
			h := plainHost(t)
			h.mayLose = true // it says so in the log
			h.smallDisk("8m")
			config := filepath.Join(h.dir, "jobd.toml")
			must(t, os.WriteFile(config, []byte(settings), 0o600))
			h.args = append(h.args, "--config", config)
			h.start()
			w := h.newWorld(map[string]string{"svc": plainStack})
			filler := h.fill(0)
			l := w.login("svc", "alice", nil, "true")
			if l.wait(); l.jid == 0 {
				t.Error("the login has no job")
			}
			h.ended(l.jid)
			until(t, "status says that there is no room", func() bool {
				s, err := h.client.Status(h.soon())
				return err == nil && s.Store.HaltedSince != nil && s.Store.LastError != "" && s.DegradedSince != nil
			})
			until(t, "the log says so", func() bool { return strings.Contains(h.log.String(), "cannot write to the store") })
			must(t, os.Remove(filler))
			until(t, "history goes on", func() bool {
				s, err := h.client.Status(h.soon())
				return err == nil && s.Store.HaltedSince == nil && s.DegradedSince == nil
			})
			jobs, err := h.client.History(h.soon(), control.Request{})
			must(t, err)
			if len(jobs) != 1 || jobs[0].JID != l.jid {
				t.Errorf("the books have %+v", jobs)
			}
			h.stop(unix.SIGTERM)
		})
	}
}
