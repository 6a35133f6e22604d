package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// engine is jobd engine, to which jobctl engine hands over: its exit code, and where it says that labels are kept.
func (h *host) engine(verb string) (code int, kept string) {
	h.t.Helper()
	cmd := exec.Command(built.jobd, "engine", verb, "--run-dir", h.runDir(), "--json", "--config", filepath.Join(h.dir, "jobd.toml"))
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	var said *exec.ExitError
	if errors.As(err, &said) {
		h.t.Logf("%s: %s", verb, said.Stderr)
	}
	var ans struct{ Labels string }
	if len(out) > 0 {
		must(h.t, json.Unmarshal(out, &ans))
	}
	return cmd.ProcessState.ExitCode(), ans.Labels
}

// Labels outlive jobd until they are unloaded, which a running jobd does not allow, or until jobd is told to keep none. Whom jobd
// has on file stays a member without them.
func TestLabelsUnloaded(t *testing.T) {
	h := newHost(t, append(ofConnector, "--cgroup", "off", keepsLabels)...)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	kept := func(want string) {
		t.Helper()
		if code, got := h.engine("status"); code != 0 || got != want {
			t.Errorf("status: %d, labels in %q, want %q", code, got, want)
		}
	}
	kept(h.labels)
	if code, _ := h.engine("unload"); code != 1 {
		t.Errorf("unload under a running jobd: %d", code)
	}
	h.stop(unix.SIGTERM)
	kept(h.labels)
	h.configure("nonsense = 1\n") // who removes jobd has no other one
	if code, _ := h.engine("unload"); code != 0 {
		t.Errorf("unload: %d", code)
	}
	h.configure("")
	kept("")
	h.start()
	s.check(h)
	h.stop(unix.SIGKILL)
	h.configure("[label]\nuse = \"off\"\n")
	h.start()
	kept("")
	if st, err := h.client.Status(h.soon()); err != nil || st.Labels != "" || st.LabelsWhy == "" {
		t.Errorf("status: labels %q, %q, %v", st.Labels, st.LabelsWhy, err)
	}
}

// Labels that a jobd in between has not kept true are forgotten: what was taken out meanwhile stays out.
func TestLabelsNotKeptTrue(t *testing.T) {
	h := newHost(t, append(ofConnector, "--cgroup", "off", keepsLabels)...)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	labels := h.labels
	h.stop(unix.SIGTERM)
	h.labels = ""
	h.configure("")
	h.start()
	_, err := h.client.Detach(h.soon(), control.Request{PID: s.pids[1]})
	must(t, err)
	h.stop(unix.SIGKILL)
	h.labels = labels
	h.configure("")
	if _, kept := h.engine("status"); kept != labels {
		t.Fatalf("labels are in %q", kept)
	}
	h.start()
	s.pids = s.pids[:1]
	s.check(h)
}
