package packaging

import (
	"path/filepath"
	"strings"
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

// TestPAMLines: which lines would keep people out once the module is gone.
func TestPAMLines(t *testing.T) {
	for _, c := range []struct{ name, text, out string }{
		{"none", "session required pam_unix.so\n# session required pam_job.so\n", ""},
		{"optional", "session    optional\tpam_job.so fail=closed\n", "passes F: session    optional\tpam_job.so fail=closed\n"},
		{"silent", "-session optional pam_job.so # hi", "passes F: -session optional pam_job.so \n"},
		{"required", "session required pam_job.so\n", "locks F: session required pam_job.so\n"},
		{"silent but required", "-session required pam_job.so\n", "locks F: -session required pam_job.so\n"},
		{"brackets", "Account [success=ok  default=ignore] /lib/security/pam_job.so account=create\n",
			"locks F: Account [success=ok  default=ignore] /lib/security/pam_job.so account=create\n"},
		{"goes on", "session \\\nrequisite \\\npam_job.so\n", "locks F: session  requisite  pam_job.so\n"},
		{"another's", "session required pam_exec.so /usr/bin/pam_job.so.sh\nsession required my_pam_job.so\n", ""},
		{"both", "session optional pam_job.so\nsession required pam_job.so\n", "passes F: session optional pam_job.so\nlocks F: session required pam_job.so\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "sshd"), c.text)
			write(t, filepath.Join(dir, "sshd.dpkg-old"), "session required pam_job.so\n")
			out, err := attempt(nil, "./pam-lines", dir)
			want := strings.ReplaceAll(c.out, " F:", " "+filepath.Join(dir, "sshd")+":")
			if out != want || (err != nil) != strings.Contains(want, "locks ") {
				t.Errorf("%v: %q, want %q", err, out, want)
			}
		})
	}
}
