package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cantTest skips, but fails where the integration tests are to run: a skip must not hide a regression.
func cantTest(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("JOBD_INTEGRATION") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// needs are programs without which a test cannot run; .ci/deps test installs them.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			cantTest(t, "%s is not installed: .ci/deps build test packages", name)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		cantTest(t, "needs root")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run is a command's output, in the environment env beside the test's own. It has to succeed.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := attempt(env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func attempt(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// write makes a file, with the directories above it.
func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// built is what make build makes, in a directory of its own.
func built(t *testing.T) (dir string) {
	t.Helper()
	needs(t, "make", "cc")
	dir = t.TempDir()
	run(t, nil, "make", "-s", "-C", "../../..", "build", "BIN="+dir)
	return dir
}

// packed makes packages of one version from programs that have been built, and gives the directory with them.
func packed(t *testing.T, programs, version string, env ...string) (dir string) {
	t.Helper()
	needs(t, "git", "readelf", "checkmodule", "semodule_package")
	dir = t.TempDir()
	run(t, append([]string{"DIST=" + dir, "PROGRAMS=" + programs, "PACKAGE_VERSION=" + version, "ARCHES=amd64"}, env...), "./build.sh")
	return dir
}
