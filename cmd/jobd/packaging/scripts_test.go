package packaging

import (
	"path/filepath"
	"testing"
)

// TestScripts has every script looked at by its shell and by shellcheck.
func TestScripts(t *testing.T) {
	needs(t, "shellcheck")
	var files []string
	for _, pattern := range []string{"deb/*", "rpm/*", "*.sh", "*.init", "pam-lines", "testdata/*.sh"} {
		some, err := filepath.Glob(pattern)
		must(t, err)
		files = append(files, some...)
	}
	if len(files) < 11 {
		t.Fatalf("only %v", files)
	}
	for _, f := range files {
		shell := "sh"
		if f == "build.sh" {
			shell = "bash"
		}
		run(t, nil, shell, "-n", f)
	}
	run(t, nil, "shellcheck", files...)
}

// TestPolicy has the SELinux module compiled, without the policy that it belongs to.
func TestPolicy(t *testing.T) {
	needs(t, "checkmodule", "semodule_package")
	mod, pp := filepath.Join(t.TempDir(), "jobd.mod"), filepath.Join(t.TempDir(), "jobd.pp")
	run(t, nil, "checkmodule", "-M", "-m", "-o", mod, "selinux/jobd.te")
	run(t, nil, "semodule_package", "-o", pp, "-m", mod, "-f", "selinux/jobd.fc")
	has(t, "the module", read(t, pp), "jobd_var_run_t", "/run/jobd(/.*)?")
}
