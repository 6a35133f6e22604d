package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jobd-project/jobd/job/control"
)

// What root moves into a job whose cgroup is somebody else's stays there: the cgroup of the job that it came from must not
// go on claiming it.
func TestMoveOutOfAnOwnCgroup(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": restartStacks[0].stack})
	s := h.newSurvivor("moved")
	s.grow(t)
	moved := s.pids[1]
	foreign := filepath.Join("/sys/fs/cgroup/unified", "jobd-e2e-"+strconv.Itoa(os.Getpid()))
	must(t, os.Mkdir(foreign, 0o755))
	t.Cleanup(func() { until(t, "the stranger's cgroup is empty", func() bool { return os.Remove(foreign) == nil }) })
	stranger := exec.Command("sleep", "600")
	must(t, stranger.Start())
	t.Cleanup(func() { stranger.Process.Kill(); stranger.Wait() })
	pid := int32(stranger.Process.Pid)
	must(t, os.WriteFile(filepath.Join(foreign, "cgroup.procs"), []byte(strconv.Itoa(int(pid))), 0))
	ans, err := h.client.Adopt(h.soon(), control.Request{PID: pid})
	if err != nil || len(ans.Jobs) != 1 {
		t.Fatalf("adopt: %+v, %v", ans, err)
	}
	into := ans.Jobs[0].JID
	if _, err := h.client.Move(h.soon(), control.Request{Job: ref(into), PID: moved}); err != nil {
		t.Fatal(err)
	}
	// To be asked whom it could signal makes jobd look into the job's cgroup.
	if _, err := h.client.Kill(h.soon(), control.Request{Job: ref(s.jid), Probe: true}); err != nil {
		t.Fatal(err)
	}
	if got := h.jobOf(moved); got != into {
		t.Errorf("process %d is in %s again, want %s", moved, got, into)
	}
	must(t, stranger.Process.Kill())
	for _, pid := range s.pids {
		kill(t, pid)
	}
	h.ended(into)
	h.ended(s.jid)
}
