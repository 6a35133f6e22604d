package pam

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The module is built as it is for a release; see the Makefile.
var moduleFlags = []string{
	"-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fstack-protector-strong",
	"-D_FORTIFY_SOURCE=2", "-fvisibility=hidden", "-shared",
	"-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs", "-Wl,--version-script=module/pam_job.map",
}

var driverFlags = []string{"-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"}

var sanitize = []string{"-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}

// workDir holds what is built once for all tests. Others may read it, since
// some tests run as nobody.
var workDir string

func TestMain(m *testing.M) {
	if options := os.Getenv(helperEnv); options != "" {
		os.Exit(helperMain(options))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pamtest")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a work directory:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	workDir = dir
	return m.Run()
}

func cc(t testing.TB, out string, args ...string) error {
	t.Helper()
	args = append([]string{"-o", out}, append(args, "-lpam")...)
	if msg, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", filepath.Base(out), err, msg)
	}
	return nil
}

func build(t testing.TB, out, pattern string, flags ...string) error {
	t.Helper()
	sources, err := filepath.Glob(pattern)
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("no sources match %s: %v", pattern, err)
	}
	return cc(t, out, append(flags, sources...)...)
}

var built struct {
	sync.Mutex
	err map[string]error
}

// once builds a file below workDir the first time that it is asked for.
func once(t testing.TB, name string, make func(out string) error) (string, error) {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.err == nil {
		built.err = map[string]error{}
	}
	out := filepath.Join(workDir, name)
	err, done := built.err[name]
	if !done {
		err = make(out)
		built.err[name] = err
	}
	return out, err
}

func moduleSO(t testing.TB) string {
	t.Helper()
	out, err := once(t, "pam_job.so", func(out string) error {
		return build(t, out, "module/*.c", moduleFlags...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
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

// publicDir is a directory that every user may enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "d")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// other is what libpam takes a stack from that the service does not have.
const other = `auth required pam_deny.so
account required pam_deny.so
password required pam_deny.so
session required pam_deny.so
`

// confDir writes a PAM service "svc" of these lines and gives its directory.
func confDir(t testing.TB, lines ...string) string {
	t.Helper()
	dir := publicDir(t)
	files := map[string]string{"svc": strings.Join(lines, "\n") + "\n", "other": other}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
