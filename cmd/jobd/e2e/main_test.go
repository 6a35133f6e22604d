package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what has to come; nothing is measured against it.
const patience = 20 * time.Second

// built is where the programs are that are built once for all tests; jobctl is empty where it could not be built.
var built struct{ dir, jobd, jobctl, module, login, lab, ways, threads, bomb, puppet, knock, stuck, libjob, libClient string }

func TestMain(m *testing.M) {
	if name, path, ok := strings.Cut(os.Getenv(abuserEnv), "\n"); ok {
		os.Exit(runAbuser(name, path))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // every test says that it needs root
	}
	dir, err := os.MkdirTemp("/tmp", "jobd")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Chmod(dir, 0o755), buildAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// The C parts are built as the Makefile does it.
var (
	helperFlags = []string{"-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"}
	moduleFlags = []string{
		"-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2",
		"-fvisibility=hidden", "-shared", "-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs",
		"-Wl,--version-script=../../../pam/module/pam_job.map",
	}
	libraryFlags = append(moduleFlags[:len(moduleFlags)-1:len(moduleFlags)-1],
		"-Wl,--version-script=../../../libjob/libjob.map", "-Wl,-soname,libjob.so.2")
)

func buildAll(dir string) error {
	built.dir = dir
	built.jobd, built.module = filepath.Join(dir, "jobd-bin"), filepath.Join(dir, "pam_job.so")
	sources, err := filepath.Glob("../../../pam/module/*.c")
	if err != nil {
		return err
	}
	jobctl := filepath.Join(dir, "jobctl")
	if err := tool("go", "build", "-o", jobctl, "../../jobctl"); err == nil {
		built.jobctl = jobctl
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	return errors.Join(
		tool("env", "CGO_ENABLED=0", "go", "build", "-o", built.jobd, ".."),
		cc(built.module, moduleFlags, append(sources, "-lpam")...),
		buildHelpers(dir),
		buildCompat(dir),
	)
}

// buildCompat builds the ancestor's library, a client of it, and its commands, by their names.
func buildCompat(dir string) error {
	built.libjob, built.libClient = filepath.Join(dir, "libjob.so.2"), filepath.Join(dir, "libjob")
	sources, err := filepath.Glob("../../../libjob/*.c")
	if err != nil {
		return err
	}
	errs := []error{
		cc(built.libjob, libraryFlags, sources...),
		cc(built.libClient, helperFlags, "testdata/libjob.c", built.libjob),
		tool("go", "build", "-o", filepath.Join(dir, "jcompat"), "../../jcompat"),
	}
	for _, name := range []string{"jstat", "jkill", "jwait", "jattach", "jdetach", "jsethid"} {
		errs = append(errs, os.Symlink("jcompat", filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// buildHelpers builds what the tests run as users' programs: testdata/NAME.c each.
func buildHelpers(dir string) error {
	var errs []error
	for _, p := range []struct {
		to   *string
		name string
		lib  string
	}{
		{&built.login, "login", "-lpam"}, {&built.lab, "lab", "-pthread"}, {&built.threads, "threads", "-pthread"},
		{&built.ways, "ways", "-pthread"}, {&built.bomb, "bomb", "-pthread"}, {&built.puppet, "puppet", "-pthread"},
		{&built.knock, "knock", "-pthread"}, {&built.stuck, "stuck", "-pthread"},
	} {
		*p.to = filepath.Join(dir, p.name)
		errs = append(errs, cc(*p.to, helperFlags, "testdata/"+p.name+".c", p.lib))
	}
	return errors.Join(errs...)
}

func cc(out string, flags []string, args ...string) error {
	return tool("cc", append(append([]string{"-o", out}, flags...), args...)...)
}

func tool(name string, args ...string) error {
	if text, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %s %v: %w\n%s", name, args, err, text)
	}
	return nil
}

// lacking skips a test, or fails it where a skip must not hide a regression.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("JOBD_INTEGRATION") == "1" {
		t.Fatalf("this test needs %s, and JOBD_INTEGRATION=1 says that it must run", what)
	}
	t.Skipf("this test needs %s", what)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "root")
	}
}

// needProgram gives the path of a program of the host's.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/openssh"} {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path
		}
	}
	lacking(t, name)
	return ""
}

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	untilWithin(t, what, patience, met)
}

func untilWithin(t *testing.T, what string, most time.Duration, met func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
