package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// Whoever executes a program for as long as it likes keeps nobody else waiting: not a login, not a question, not a scrape, not a
// restart of jobd. It is a member all the while, and can be killed.
func TestStuckInExec(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no /dev/fuse here, and nothing else known that holds up an exec")
	}
	const many = 20
	for _, witness := range restartStacks {
		t.Run(witness.name, func(t *testing.T) {
			h := newHost(t, witness.args...)
			w := h.newWorld(map[string]string{"svc": witness.stack})
			out, dir := w.labOut("stuck"), filepath.Join(h.dir, "mnt")
			must(t, os.Mkdir(dir, 0o755))
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "root", []string{"-x"}, built.stuck, dir, itoa(many))
			pids := pidsIn(t, out, many+2) // with the one that was started, and the server, whose end is the end of all
			defer end(t, pids)             // before anybody looks for what is left
			until(t, "all to be stuck", func() bool { return stuckIn(pids) == many })
			for _, restart := range []bool{false, true} {
				if restart {
					h.stop(unix.SIGKILL)
					h.start()
				}
				h.asksAround(l.jid)
				for _, pid := range pids {
					if got := h.jobOf(pid); got != l.jid {
						t.Errorf("restarted %v: process %d is in %v, want %v", restart, pid, got, l.jid)
					}
				}
				w.login("svc", "alice", nil, "true").wait()
				h.selfcheck()
			}
			ans, err := h.client.Kill(h.soon(), control.Request{Job: ref(l.jid), Now: true})
			if err != nil || len(ans.Left) > 0 || slices.ContainsFunc(pids, runs) {
				t.Errorf("killed: %+v, %v", ans, err)
			}
		})
	}
}

// stuckIn counts those in the middle of an exec: the old program's arguments are gone, and the new one's are not there. No other file
// of theirs is read here, since whoever does waits as well.
func stuckIn(pids []int32) (n int) {
	for _, pid := range pids {
		if b, err := os.ReadFile(procFile(pid, "cmdline")); err == nil && len(b) == 0 {
			n++
		}
	}
	return n
}

// runs is alive without a look at what may be stuck.
func runs(pid int32) bool {
	b, err := os.ReadFile(procFile(pid, "status"))
	return err == nil && !bytes.Contains(b, []byte("State:\tZ"))
}

// end ends them without a look at them.
func end(t *testing.T, pids []int32) {
	for _, pid := range pids {
		_ = unix.Kill(int(pid), unix.SIGKILL)
	}
	until(t, "the end of all", func() bool { return !slices.ContainsFunc(pids, runs) })
}

// asksAround asks all that jobd looks at processes for.
func (h *host) asksAround(jid job.JID) {
	h.t.Helper()
	req := control.Request{Job: ref(jid)}
	_, err := h.client.Status(h.soon())
	must(h.t, err)
	_, err = h.client.PS(h.soon(), req)
	must(h.t, err)
	_, err = h.client.Show(h.soon(), ref(jid))
	must(h.t, err)
	_, err = h.client.List(h.soon(), control.Request{})
	must(h.t, err)
	resp, err := (&http.Client{Timeout: patience}).Get("http://" + h.metrics + "/metrics")
	must(h.t, err)
	resp.Body.Close()
}
