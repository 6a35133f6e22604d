package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// cantTest skips, but fails where the integration tests are to run: a skip must not hide a regression.
func cantTest(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("JOBD_INTEGRATION") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// realJobd builds jobd and jobctl, and runs the former until the test ends. It gives the directory in which they are, and the
// PAM services.
func realJobd(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		cantTest(t, "needs root, to follow processes")
	}
	dir, err := os.MkdirTemp("", "jobctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	svc := "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
	for _, err := range []error{
		os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "pam.d"), 0o755),
		os.WriteFile(filepath.Join(dir, "pam.d", "svc"), []byte(svc), 0o644), syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o666),
		os.Chmod(filepath.Join(dir, "fifo"), 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", dir+"/", "../jobd", ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	startJobd(t, dir)
	return dir
}

func startJobd(t *testing.T, dir string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(dir, "jobd"), "--run-dir", dir+"/run", "--state-dir", dir+"/state", "--metrics-listen", "")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := control.NewClient(filepath.Join(dir, "run", "jobd.sock"))
	for {
		if _, err = c.Status(ctx); err == nil {
			return
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			cantTest(t, "no jobd here: %v: %s", err, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestIntegrationSummary: run --summary counts all that a command started, to the process, in a job of its own and inside
// another: children of children, and daemons that forked twice.
func TestIntegrationSummary(t *testing.T) {
	dir := realJobd(t)
	jobctl := dir + "/jobctl --run-dir " + dir + "/run "
	pam := " --service svc --pam-dir " + dir + "/pam.d "
	plain := "'/bin/true; /bin/true; (/bin/true); exit 7'"
	daemons := fmt.Sprintf("'( ( sh -c \"/bin/true; echo x >%s/fifo\" & ) & ); read x <%s/fifo; exit 7'", dir, dir)
	for name, c := range map[string]struct {
		command string
		want    string
	}{
		"own job":               {jobctl + "run --summary" + pam + "-- sh -c " + plain, "processes  4"},
		"own job, daemons":      {jobctl + "run --summary" + pam + "-- sh -c " + daemons, "processes  5"},
		"a user's job":          {within(jobctl, pam, "nobody", "sh -c "+plain), "processes  4"},
		"a user's job, daemons": {within(jobctl, pam, "nobody", "sh -c "+daemons), "processes  5"},
		"root's job":            {within(jobctl, pam, "root", "sh -c "+daemons), "processes  5"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("sh", "-c", c.command).CombinedOutput()
			exited, ok := err.(*exec.ExitError)
			if !ok || exited.ExitCode() != 7 || !strings.Contains(string(out), c.want) || !strings.Contains(string(out), "real ") {
				t.Errorf("%v, want %s of\n%s", err, c.want, out)
			}
		})
	}
}

// within has a user's session run processes of its own, and then a command with a summary.
func within(jobctl, pam, user, command string) string {
	summary := "run --summary "
	if user == "root" {
		summary += pam
	}
	script := fmt.Sprintf("/bin/true & /bin/true; %s%s-- %s; rc=$?; /bin/true; exit $rc", jobctl, summary, command)
	return jobctl + "run --user " + user + pam + "-- sh -c \"" + strings.NewReplacer(`"`, `\"`, "$", `\$`).Replace(script) + "\""
}
