package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// diagnosis is what jobd doctor said.
type diagnosis struct {
	code     int
	errs     string
	Passed   bool
	Counts   map[string]int
	Findings []struct{ Name, State, Seen, Do string }
}

// examine asks jobd doctor, through a command if one is given, about this host with these services of PAM.
func (h *host) examine(through []string, args ...string) (d diagnosis) {
	h.t.Helper()
	out, errs, code := h.doctor(through, append(args, "--json")...)
	d.code, d.errs = code, errs
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		h.t.Fatalf("doctor: %d, %v\n%s%s", code, err, out, errs)
	}
	for _, f := range d.Findings {
		if good := f.State == "ok" || f.State == "skip"; f.Name == "" || f.Seen == "" || good != (f.Do == "") {
			h.t.Errorf("a finding that is not whole: %+v", f)
		}
	}
	if d.code != 0 && d.code != 1 || d.Passed != (d.code == 0) || d.Passed != (d.Counts["fail"] == 0) {
		h.t.Errorf("doctor: %d, passed %v, %v", d.code, d.Passed, d.Counts)
	}
	return d
}

func (h *host) doctor(through []string, args ...string) (out, errs string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := append(slices.Clone(through), built.jobd, "doctor", "--run-dir", h.runDir(), "--state-dir", h.stateDir())
	command = append(command, args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, append(os.Environ(), h.token)
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		h.t.Fatalf("doctor does not end: %v\n%s", err, &stderr)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// services makes a directory of PAM services, with our module and its socket as %m.
func (h *host) services(files map[string]string) string {
	h.t.Helper()
	dir, err := os.MkdirTemp(h.dir, "pam")
	must(h.t, err)
	must(h.t, os.Chmod(dir, 0o755))
	for name, text := range files {
		text = strings.ReplaceAll(text, "%m", built.module+" socket="+h.loginSocket())
		must(h.t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
	}
	return dir
}

func (h *host) goodServices() string {
	text := "session required pam_permit.so\nsession optional %m"
	return h.services(map[string]string{"sshd": text, "login": text})
}

// says checks that a finding is there, in that state, and what it says.
func (d diagnosis) says(t *testing.T, name, state, seen string) {
	t.Helper()
	for _, f := range d.Findings {
		if f.Name == name && f.State == state && strings.Contains(f.Seen, seen) {
			return
		}
	}
	t.Errorf("no %s %s %q in %+v", name, state, seen, d.Findings)
}

func (d diagnosis) state(name string) string {
	for _, f := range d.Findings {
		if f.Name == name {
			return f.State
		}
	}
	return ""
}

// hosts are findings that this machine may have whatever jobd does: what its kernel lacks, who keeps its clock, where /tmp is, and how
// busy it is.
func hosts(name string) bool {
	return strings.HasPrefix(name, "kernel.") || strings.HasPrefix(name, "cgroup") || strings.HasPrefix(name, "audit.") ||
		strings.HasPrefix(name, "disk.") || slices.Contains([]string{"clock.synced", "selinux", "engine", "login", "files.module"}, name)
}

// A host in order has nothing to be done, but for what the machine lacks; the canary's job has ended and is in the books.
func TestDoctor(t *testing.T) {
	h := newHost(t)
	pam := h.goodServices()
	var d diagnosis
	until(t, "a host that is not too busy", func() bool {
		d = h.examine(nil, "--pam-dir", pam)
		return d.state("canary") == "ok" && d.state("kernel.namespaces") == "ok"
	})
	for _, f := range d.Findings {
		if f.State != "ok" && !hosts(f.Name) || f.State == "fail" {
			t.Errorf("%+v", f)
		}
	}
	if s := d.state("login"); s != "ok" && s != "warn" {
		t.Errorf("the login is %q", s)
	}
	past, err := h.client.History(h.soon(), control.Request{Service: "jobd-doctor"})
	if err != nil || len(past) == 0 || past[0].ParentJID != nil || len(past[0].Marks) > 1 {
		t.Errorf("in the books: %+v, %v", past, err)
	}
	h.openJobs(0)
	text, errs, code := h.doctor(nil, "--pam-dir", pam, "--no-canary")
	if code != 0 || errs != "" || !strings.Contains(text, " 0 fail, ") {
		t.Errorf("for people: %d, %q\n%s", code, errs, text)
	}
	checkText(t, "doctor", text)
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 81 {
			t.Errorf("too long: %q", line)
		}
	}
	if now, err := h.client.History(h.soon(), control.Request{Service: "jobd-doctor"}); err != nil || len(now) != len(past) {
		t.Errorf("--no-canary sent one: %v, %v", now, err)
	}
	must(t, h.client.Drain(h.soon()))
	d = h.examine(nil, "--pam-dir", pam)
	d.says(t, "jobd.logins", "warn", "drained")
	d.says(t, "login", "warn", "no new jobs")
	must(t, h.client.Resume(h.soon()))
}

// Without a jobd all else is looked at; one that hangs is not waited for.
func TestDoctorWithoutJobd(t *testing.T) {
	h := plainHost(t)
	pam := h.goodServices()
	down := func(seen string) {
		t.Helper()
		d := h.examine(nil, "--pam-dir", pam)
		d.says(t, "jobd", "fail", seen)
		d.says(t, "canary", "skip", "no jobd answers")
		d.says(t, "pam.services", "ok", "jobs: login, sshd")
		if d.code != 1 {
			t.Errorf("exit status %d", d.code)
		}
	}
	down("is it running?")
	h.start()
	must(t, h.cmd.Process.Signal(unix.SIGSTOP))
	down("did not answer in time")
	must(t, h.cmd.Process.Signal(unix.SIGCONT))
	h.stop(unix.SIGTERM)
	down("is it running?")
}

// PAM files that keep logins out, or out of jobs.
func TestDoctorPAM(t *testing.T) {
	h := plainHost(t)
	for name, c := range map[string]struct {
		files             map[string]string
		find, state, seen string
	}{
		"broken":  {map[string]string{"sshd": "session optional %m\nsesion what"}, "pam.syntax", "fail", "sshd:2"},
		"missing": {map[string]string{"sshd": "session optional /nowhere/pam_job.so"}, "pam.module", "fail", "there is no /nowhere"},
		"before systemd": {map[string]string{"sshd": "session optional %m\nsession optional pam_systemd.so"}, "pam.order", "warn",
			"sshd:1"},
		"none": {map[string]string{"sshd": ""}, "pam.services", "warn", "no service makes jobs"},
	} {
		t.Run(name, func(t *testing.T) {
			h.use(t)
			d := h.examine(nil, "--pam-dir", h.services(c.files))
			d.says(t, c.find, c.state, c.seen)
		})
	}
	d := h.examine(nil, "--pam-dir", filepath.Join(h.dir, "nowhere"))
	d.says(t, "pam.services", "fail", "cannot be listed")
}

// Files that are not root's alone, and books that cannot be written.
func TestDoctorFiles(t *testing.T) {
	h := newHost(t)
	must(t, os.Chmod(h.loginSocket(), 0o666))
	config := filepath.Join(h.dir, "theirs.toml")
	must(t, os.WriteFile(config, []byte("[keep]\nfree_mib = 1048576\n"), 0o644))
	must(t, os.Chown(config, aliceUID, aliceUID))
	d := h.examine(nil, "--no-canary", "--config", config)
	d.says(t, "files.login.sock", "fail", "mode 666")
	d.says(t, "files.config", "fail", "not root's")
	d.says(t, "jobd.config", "fail", config)
	must(t, os.Chown(config, 0, 0))
	d = h.examine(nil, "--no-canary", "--config", config)
	d.says(t, "files.config", "ok", config)
	d.says(t, "disk.free", "fail", "keep.free_mib is 1048576")
	d.says(t, "files.run", "ok", h.runDir())
	must(t, os.Chown(h.stateDir(), aliceUID, aliceUID))
	d = h.examine(nil, "--no-canary")
	d.says(t, "files.state", "fail", "not root's")
	must(t, os.Chown(h.stateDir(), 0, 0))
	must(t, os.WriteFile(config, []byte("[kep]\n"), 0o644))
	d = h.examine(nil, "--no-canary", "--config", config)
	d.says(t, "jobd.config", "fail", "unknown key")

	dir := h.stateDir()
	readOnly := []string{"unshare", "-m", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`, dir}
	d = h.examine(readOnly, "--no-canary")
	d.says(t, "disk.write", "fail", "read-only")
}

// An ordinary user is told what they may know, and that the rest needs root.
func TestDoctorAsUser(t *testing.T) {
	h := newHost(t)
	id := itoa(aliceUID)
	alice := []string{needProgram(t, "setpriv"), "--reuid=" + id, "--regid=" + id, "--clear-groups", "--"}
	d := h.examine(alice, "--pam-dir", h.goodServices())
	for _, name := range []string{"kernel", "audit.daemon", "disk.write", "files.books", "login", "canary"} {
		d.says(t, name, "skip", "needs root")
	}
	d.says(t, "jobd", "ok", "answers")
	d.says(t, "pam.services", "ok", "jobs: login, sshd")
	if d.code != 0 {
		t.Errorf("exit status %d: %+v", d.code, d.Findings)
	}
	h.openJobs(0)
}

// What is not understood is not done.
func TestDoctorUsage(t *testing.T) {
	h := plainHost(t)
	for _, args := range [][]string{{"--nosuch"}, {"more"}, {"--engine", "steam"}} {
		if out, errs, code := h.doctor(nil, args...); code != 2 || out != "" || !strings.HasPrefix(errs, "jobd doctor: ") {
			t.Errorf("%v: %d, %q, %q", args, code, out, errs)
		}
	}
	if _, errs, code := h.doctor(nil, "--help"); code != 0 || !strings.Contains(errs, "no-canary") {
		t.Errorf("--help: %d, %q", code, errs)
	}
}
