package packaging

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// installLife: make install below DESTDIR, and away again, as any user.
func installLife(t *testing.T, programs string) {
	dest := t.TempDir()
	env := []string{"DESTDIR=" + dest, "BIN=" + programs, "PAMDIR=/usr/local/lib/security", "PREFIX="}
	run(t, env, "./install.sh")
	files := filesIn(t, dest)
	for _, p := range []string{
		"usr/local/sbin/jobd", "usr/local/bin/jobctl", "usr/local/bin/jstat", "usr/local/lib/security/pam_job.so", "usr/local/lib/libjob.so.2",
		"usr/local/lib/systemd/system/jobd.service", "etc/init.d/jobd", "etc/jobd/jobd.toml", "usr/share/pam-configs/jobd",
		"usr/local/share/man/man1/jobctl.1.gz", "usr/local/share/zsh/site-functions/_jobctl",
	} {
		if !slices.Contains(files, p) {
			t.Errorf("%s is not installed", p)
		}
	}
	has(t, "the unit", read(t, filepath.Join(dest, "usr/local/lib/systemd/system/jobd.service")), "ExecStart=/usr/local/sbin/jobd\n")

	write(t, filepath.Join(dest, "etc/jobd/jobd.toml"), "# mine\n")
	run(t, env, "./install.sh")
	has(t, "the configuration", read(t, filepath.Join(dest, "etc/jobd/jobd.toml")), "# mine")

	stack := filepath.Join(dest, "etc/pam.d/sshd")
	write(t, stack, with+"session required pam_job.so\n")
	if out, err := attempt(env, "./install.sh", "--uninstall"); err == nil || !strings.Contains(out, "nothing is removed") {
		t.Errorf("uninstalled although sshd needs the module: %v\n%s", err, out)
	}
	if got := filesIn(t, dest); len(got) != len(files)+1 {
		t.Errorf("%d files after a refusal, %d before", len(got), len(files)+1)
	}
	// PAM's services are where they are, wherever jobd's configuration is.
	if out, err := attempt(append(env, "SYSCONFDIR=/usr/local/etc"), "./install.sh", "--uninstall"); err == nil || !strings.Contains(out, "nothing is removed") {
		t.Errorf("uninstalled from elsewhere although sshd needs the module: %v\n%s", err, out)
	}
	write(t, stack, with+"session optional pam_job.so\n")
	has(t, "uninstalled", run(t, env, "./install.sh", "--uninstall"), "session optional pam_job.so")
	if got, want := filesIn(t, dest), []string{"etc/jobd/jobd.toml", "etc/pam.d/sshd"}; !slices.Equal(got, want) {
		t.Errorf("left behind are %v, want %v", got, want)
	}
}

// filesIn lists what is in a directory but directories.
func filesIn(t *testing.T, dir string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	}))
	return out
}

// initLife starts and stops a real jobd with the init script, in directories of its own.
func initLife(t *testing.T, programs string) {
	needRoot(t)
	needs(t, "start-stop-daemon")
	dir, err := os.MkdirTemp("/tmp", "jobd-init") // a socket's path is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	config := filepath.Join(dir, "jobd.toml")
	write(t, config, "")
	env := []string{
		"JOBD_DEFAULTS=/dev/null", "JOBD=" + filepath.Join(programs, "jobd"), "JOBCTL=" + filepath.Join(programs, "jobctl"),
		"JOBD_CONFIG=" + config, "JOBD_RUN=" + filepath.Join(dir, "run"), "JOBD_STATE=" + filepath.Join(dir, "state"),
		"JOBD_LOG=" + filepath.Join(dir, "log"), "JOBD_PID=" + filepath.Join(dir, "pid"),
		"JOBD_ARGS=--engine connector --metrics-listen " + l.Addr().String(), "JOBD_START_MOST=60",
	}
	t.Cleanup(func() {
		if out, err := attempt(env, "./jobd.init", "stop"); err != nil {
			t.Errorf("stop: %v: %s", err, out)
		}
	})
	run(t, env, "./jobd.init", "start")
	first := read(t, filepath.Join(dir, "pid"))
	has(t, "status", run(t, env, "./jobd.init", "status"), "jobd runs")
	run(t, env, "./jobd.init", "start") // it runs already
	if pid := read(t, filepath.Join(dir, "pid")); pid != first {
		t.Errorf("a second start started a second jobd: %s, %s", first, pid)
	}
	run(t, env, "./jobd.init", "restart")
	if pid := read(t, filepath.Join(dir, "pid")); pid == first {
		t.Error("a restart started no other jobd")
	}
	has(t, "the log", read(t, filepath.Join(dir, "log")), "msg=ready")
	run(t, env, "./jobd.init", "stop")
	if out, err := attempt(env, "./jobd.init", "status"); err == nil || err.Error() != "exit status 3" {
		t.Errorf("status of a jobd that was stopped: %v, want exit status 3 (LSB): %s", err, out)
	}
	// One that does not answer keeps nobody waiting for longer than that.
	if out, err := attempt(append(env, "JOBCTL=/bin/false", "JOBD_START_MOST=1"), "./jobd.init", "start"); err == nil || !strings.Contains(out, "does not answer") {
		t.Errorf("start of a jobd that does not answer: %v: %s", err, out)
	}
	run(t, env, "./jobd.init", "stop")
	// Nor does one that takes the question and never answers it.
	hangs := filepath.Join(dir, "jobctl")
	write(t, hangs, "#!/bin/sh\nexec sleep 600\n")
	must(t, os.Chmod(hangs, 0o755))
	if out, err := attempt(append(env, "JOBCTL="+hangs, "JOBD_START_MOST=1"), "timeout", "60", "./jobd.init", "start"); err == nil ||
		!strings.Contains(out, "does not answer after 1 s") {
		t.Errorf("start of a jobd that hangs: %v: %s", err, out)
	}
	// The script stays when the package has been removed, and is no service that failed then.
	run(t, append(env, "JOBD="+filepath.Join(dir, "gone")), "./jobd.init", "start")
}
