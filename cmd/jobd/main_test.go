package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestExitStatus: a configuration that is wrong has a status of its own, at which the unit does not start jobd again. It cannot be 2: a Go
// program that panics ends with that, and so does one that the watchdog's SIGABRT ends.
func TestExitStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.toml")
	if err := os.WriteFile(path, []byte("nonsense = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--config", path}, exitConfig},
		{[]string{"--config", path, "--check"}, 2},
		{[]string{"--engine", "steam"}, 2},
		{[]string{"--no-such-flag"}, 2},
	} {
		var out bytes.Buffer
		if got := run(c.args, &out); got != c.want || out.Len() == 0 {
			t.Errorf("%v: %d, want %d: %s", c.args, got, c.want, out.String())
		}
	}
	unit, err := os.ReadFile("packaging/jobd.service")
	if err != nil {
		t.Fatal(err)
	}
	if line := "\nRestartPreventExitStatus=" + strconv.Itoa(exitConfig) + "\n"; !strings.Contains(string(unit), line) {
		t.Errorf("the unit has no line %q", line)
	}
}
