package packaging

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What make install does with what a host has already. The programs are not looked into: any files will do.

// filesFor makes files by the names of what make build makes; pam_job.so is for this machine.
func filesFor(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for _, name := range []string{"jobd", "jcompat", "libjob.so.2"} {
		write(t, filepath.Join(bin, name), name)
	}
	write(t, filepath.Join(bin, "pam_job.so"), string(header(t)))
	program(t, filepath.Join(bin, "jobctl"), "echo \"$@\"")
	return bin
}

// program writes a script.
func program(t *testing.T, path, text string) {
	t.Helper()
	write(t, path, "#!/bin/sh\n"+text+"\n")
	must(t, os.Chmod(path, 0o755))
}

// header is the beginning of this test's own program, by which an ELF file says what machine it is for.
func header(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open("/proc/self/exe")
	must(t, err)
	defer f.Close()
	b := make([]byte, 64)
	_, err = f.Read(b)
	must(t, err)
	return b
}

// A module of another architecture is for programs of that: its directory is not ours.
func TestInstallFindsOurModules(t *testing.T) {
	r := newRoot(t)
	tree, bin, other := t.TempDir(), filesFor(t), header(t)
	const needed = "README.md CHANGELOG.md docs libjob pam/module metrics/dashboards cmd/jobd/packaging"
	run(t, nil, "sh", "-c", "cd ../../.. && cp -r --parents "+needed+" "+tree)
	other[elf.EI_CLASS], other[18] = byte(elf.ELFCLASS32), byte(elf.EM_386)
	write(t, filepath.Join(tree, "other"), string(other))
	out := r.run("mkdir -p /usr/lib/i386-linux-gnu/security; cp " + tree + "/other /usr/lib/i386-linux-gnu/security/pam_unix.so\n" +
		"BIN=" + bin + " " + tree + "/cmd/jobd/packaging/install.sh\n" +
		"find /lib /usr/lib /usr/lib64 -name pam_job.so -newer " + tree + "/other 2>/dev/null || :")
	if !strings.Contains(out, "/security/pam_job.so") || strings.Contains(out, "i386") {
		t.Errorf("the module is in %q", out)
	}
}

// Whoever logs in meanwhile gets the old module or the new one, and never a part of it.
func TestInstallReplacesAtOnce(t *testing.T) {
	dest, path := t.TempDir(), t.TempDir()
	module := filepath.Join(dest, "pam/pam_job.so")
	write(t, module, "the old one")
	program(t, filepath.Join(path, "install"), `for last; do :; done
case $last in */pam/*) : >"$last"; exit 1 ;; esac
exec /usr/bin/install "$@"`)
	out, err := attempt([]string{"DESTDIR=" + dest, "BIN=" + filesFor(t), "PAMDIR=/pam", "PATH=" + path + ":" + os.Getenv("PATH")}, "./install.sh")
	if err == nil {
		t.Errorf("a full disk is no matter: %s", out)
	}
	if got := filesIn(t, filepath.Dir(module)); read(t, module) != "the old one" || len(got) != 1 {
		t.Errorf("a full disk leaves %q in %v", read(t, module), got)
	}
}

// A JDK's jstat is neither replaced nor taken away; ours is.
func TestInstallLeavesJstatAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(path string) error
		left bool
	}{
		{"none", func(string) error { return nil }, false},
		{"ours", func(path string) error { return os.Symlink("jcompat", path) }, false},
		{"an alternative", func(path string) error { return os.Symlink("/etc/alternatives/jstat", path) }, true},
		{"a program", func(path string) error { return os.WriteFile(path, []byte("java"), 0o755) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dest := t.TempDir()
			bin := filepath.Join(dest, "usr/local/bin")
			must(t, os.MkdirAll(bin, 0o755))
			jstat := filepath.Join(bin, "jstat")
			must(t, c.put(jstat))
			before, _ := os.Readlink(jstat)
			env := []string{"DESTDIR=" + dest, "BIN=" + filesFor(t), "PAMDIR=/pam", "PREFIX="}
			out := run(t, env, "./install.sh")
			if now, _ := os.Readlink(jstat); c.left && now != before || !c.left && now != "jcompat" {
				t.Errorf("jstat was %q, and is %q", before, now)
			}
			if strings.Contains(out, "jstat") != c.left {
				t.Errorf("said %q", out)
			}
			run(t, env, "./install.sh", "--uninstall")
			if got := slices.Contains(filesIn(t, bin), "jstat"); got != c.left {
				t.Errorf("jstat is there after make uninstall: %v", got)
			}
		})
	}
}

// What a program that fails has printed is not installed.
func TestInstallFailsWithJobctl(t *testing.T) {
	dest, bin := t.TempDir(), filesFor(t)
	program(t, filepath.Join(bin, "jobctl"), "echo half; exit 1")
	out, err := attempt([]string{"DESTDIR=" + dest, "BIN=" + bin, "PAMDIR=/pam"}, "./install.sh")
	if err == nil || slices.Contains(filesIn(t, dest), "usr/local/share/bash-completion/completions/jobctl") {
		t.Errorf("half a completion is installed: %v: %s", err, out)
	}
}

// A configuration elsewhere is named where jobd is started; the one in /etc need not be there.
func TestInstallNamesAnotherConfiguration(t *testing.T) {
	for conf, want := range map[string][2]string{
		"/etc": {"ExecStart=/usr/local/sbin/jobd\n", `"${JOBD_CONFIG:=}"`},
		"/usr/local/etc": {"ExecStart=/usr/local/sbin/jobd --config /usr/local/etc/jobd/jobd.toml\n",
			`"${JOBD_CONFIG:=/usr/local/etc/jobd/jobd.toml}"`},
	} {
		dest := t.TempDir()
		run(t, []string{"DESTDIR=" + dest, "BIN=" + filesFor(t), "PAMDIR=/pam", "SYSCONFDIR=" + conf}, "./install.sh")
		has(t, conf, read(t, filepath.Join(dest, "usr/local/lib/systemd/system/jobd.service")), want[0])
		has(t, conf, read(t, filepath.Join(dest, conf, "init.d/jobd")), want[1])
	}
}
