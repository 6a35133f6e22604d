package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestIntegrationCounters builds the program, runs it beside a few processes, and interrupts it.
func TestIntegrationCounters(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("JOBD_INTEGRATION") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root: it listens to the kernel's process events")
	}
	program := filepath.Join(t.TempDir(), "counters")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() }) // it may have ended
	defer late.Stop()
	lines := bufio.NewScanner(stdout)
	var existed, detach, attach, init, execs int
	read(t, lines, "subscribed to %d processes", &existed)
	const forks = 20
	if out, err := exec.Command("sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do /bin/true; i=$((i+1)); done", forks)).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	read(t, lines, "detach called %d times...", &detach)
	read(t, lines, "attach called %d times...", &attach)
	read(t, lines, "init called %d times...", &init)
	read(t, lines, "exec called %d times...", &execs)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "Good") {
		t.Errorf("it says %q", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if init != existed || attach <= forks || execs <= forks || attach+init != detach {
		t.Errorf("init %d of %d, attach %d, exec %d, detach %d", init, existed, attach, execs, detach)
	}
}

func read(t *testing.T, lines *bufio.Scanner, format string, n *int) {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("it said nothing more, where %q was to come (%v)", format, lines.Err())
	}
	if _, err := fmt.Sscanf(lines.Text(), format, n); err != nil {
		t.Fatalf("%q is not %q", lines.Text(), format)
	}
}
