package packaging

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// root is a copy of the host in which packages are installed (testdata/root.sh).
type root struct {
	t   *testing.T
	dir string
}

func newRoot(t *testing.T) *root {
	t.Helper()
	needRoot(t)
	needs(t, "unshare", "chroot")
	r := &root{t, t.TempDir()}
	if out, err := r.try("true"); err != nil {
		cantTest(t, "cannot make a copy of the host (overlayfs): %v: %s", err, out)
	}
	return r
}

// try runs a script in it.
func (r *root) try(script string) (string, error) {
	cmd := exec.Command("unshare", "--mount", "testdata/root.sh", r.dir)
	cmd.Stdin = strings.NewReader("set -e\n" + script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// run is try of what has to succeed.
func (r *root) run(script string) string {
	r.t.Helper()
	out, err := r.try(script)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// calls gives what systemd was asked to do since the last time.
func (r *root) calls() string {
	r.t.Helper()
	return r.run("cat /calls 2>/dev/null || :; rm -f /calls")
}

// has fails the test unless text has all words in it.
func has(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %q is not in\n%s", what, w, text)
		}
	}
}

// hasNot is the opposite.
func hasNot(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(text, w) {
			t.Errorf("%s: %q is in\n%s", what, w, text)
		}
	}
}
