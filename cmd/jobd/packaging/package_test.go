package packaging

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listing is what is in a package: modes, and where links lead, by path.
type listing map[string]string

// both are in either package, where Debian has them.
var both = listing{
	"/etc/jobd/jobd.toml":                              "-rw-r--r--",
	"/usr/bin/jobctl":                                  "-rwxr-xr-x",
	"/usr/bin/jcompat":                                 "-rwxr-xr-x",
	"/usr/bin/jkill":                                   "-> jcompat",
	"/usr/bin/jwait":                                   "-> jcompat",
	"/usr/bin/jattach":                                 "-> jcompat",
	"/usr/bin/jdetach":                                 "-> jcompat",
	"/usr/bin/jsethid":                                 "-> jcompat",
	"/usr/sbin/jobd":                                   "-rwxr-xr-x",
	"/usr/include/job.h":                               "-rw-r--r--",
	"/usr/lib/jobd/pam-lines":                          "-rwxr-xr-x",
	"/usr/lib/systemd/system/jobd.service":             "-rw-r--r--",
	"/usr/lib/x86_64-linux-gnu/libjob.so":              "-> libjob.so.2",
	"/usr/lib/x86_64-linux-gnu/libjob.so.2":            "-rw-r--r--",
	"/usr/lib/x86_64-linux-gnu/security/pam_job.so":    "-rw-r--r--",
	"/usr/share/bash-completion/completions/jobctl":    "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/jobctl.fish": "-rw-r--r--",
	"/usr/share/zsh/vendor-completions/_jobctl":        "-rw-r--r--",
	"/usr/share/man/man1/jobctl.1.gz":                  "-rw-r--r--",
	"/usr/share/man/man1/jstat.1job.gz":                "-rw-r--r--",
	"/usr/share/man/man7/job.7.gz":                     "-rw-r--r--",
	"/usr/share/man/man8/jobd.8.gz":                    "-rw-r--r--",
	"/usr/share/man/man8/pam_job.8.gz":                 "-rw-r--r--",
	"/usr/share/doc/jobd/README.md":                    "-rw-r--r--",
	"/usr/share/doc/jobd/operations.md":                "-rw-r--r--",
	"/usr/share/doc/jobd/copyright":                    "-rw-r--r--",
	"/usr/share/doc/jobd/third-party.txt":              "-rw-r--r--",
	"/usr/share/jobd/alerts.yml":                       "-rw-r--r--",
	"/usr/share/jobd/jobd.json":                        "-rw-r--r--",
	"/usr/share/jobd/selinux/jobd.te":                  "-rw-r--r--",
	"/usr/share/jobd/selinux/jobd.fc":                  "-rw-r--r--",
}

// TestPackages makes the packages, each twice, and goes on with them: what is in them, and what becomes of a host on which they are
// installed, upgraded and removed.
func TestPackages(t *testing.T) {
	needs(t, "dpkg-deb", "rpm")
	programs, again := built(t), built(t)
	for _, name := range []string{"jobd", "jobctl", "jcompat", "pam_job.so", "libjob.so.2"} {
		same(t, filepath.Join(programs, name), filepath.Join(again, name))
	}
	arches := []string{"amd64"}
	if os.Getenv("JOBD_FULL") == "1" {
		needs(t, "aarch64-linux-gnu-gcc")
		arches = append(arches, "arm64")
	}
	all := "ARCHES=" + strings.Join(arches, " ")
	one, next := packed(t, programs, "1", all), packed(t, programs, "2")
	sameAll(t, one, packed(t, again, "1", all, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8"))
	for _, arch := range arches {
		t.Run(arch, func(t *testing.T) {
			machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
			checkDeb(t, filepath.Join(one, "jobd_1-1_"+arch+".deb"), machine+"-linux-gnu")
			checkRPM(t, filepath.Join(one, "jobd-1-1."+machine+".rpm"))
		})
	}
	deb, rpm := filepath.Join(one, "jobd_1-1_amd64.deb"), filepath.Join(one, "jobd-1-1.x86_64.rpm")
	t.Run("deb", func(t *testing.T) { debLife(t, deb, filepath.Join(next, "jobd_2-1_amd64.deb")) })
	t.Run("jstat", func(t *testing.T) { debLeavesJstatAlone(t, deb) })
	t.Run("without systemd", func(t *testing.T) { debWithoutSystemd(t, deb) })
	t.Run("rpm", func(t *testing.T) { rpmLife(t, rpm, filepath.Join(next, "jobd-2-1.x86_64.rpm")) })
	t.Run("install", func(t *testing.T) { installLife(t, programs) })
	t.Run("init", func(t *testing.T) { initLife(t, programs) })
}

func sameAll(t *testing.T, one, two string) {
	t.Helper()
	files, err := os.ReadDir(one)
	must(t, err)
	for _, f := range files {
		same(t, filepath.Join(one, f.Name()), filepath.Join(two, f.Name()))
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	if read(t, a) != read(t, b) {
		t.Errorf("%s is built otherwise the second time", filepath.Base(a))
	}
}

func checkDeb(t *testing.T, path, dir string) {
	want := listing{"/etc/init.d/jobd": "-rwxr-xr-x", "/etc/logrotate.d/jobd": "-rw-r--r--", "/usr/share/pam-configs/jobd": "-rw-r--r--"}
	for p, mode := range both {
		want[strings.Replace(p, "x86_64-linux-gnu", dir, 1)] = mode
	}
	tree := filepath.Join(t.TempDir(), "tree")
	got, err := debListing(t, path)
	must(t, err)
	compare(t, "the .deb", got, want)
	run(t, nil, "dpkg-deb", "-R", path, tree)
	conf := strings.Fields(read(t, filepath.Join(tree, "DEBIAN/conffiles")))
	if want := []string{"/etc/init.d/jobd", "/etc/jobd/jobd.toml", "/etc/logrotate.d/jobd"}; !slices.Equal(slices.Sorted(slices.Values(conf)), want) {
		t.Errorf("the configuration files are %v, want %v", conf, want)
	}
	for _, f := range []string{"usr/sbin/jobd", "usr/bin/jobctl", "usr/lib/" + dir + "/security/pam_job.so", "usr/lib/" + dir + "/libjob.so.2"} {
		checkProgram(t, filepath.Join(tree, f), dir)
	}
}

// debListing gives what is in a .deb; what is not root's is an error.
func debListing(t *testing.T, path string) (listing, error) {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "--fsys-tarfile", path).Output()
	must(t, err)
	list := listing{}
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, err
		case h.Uid != 0 || h.Gid != 0:
			return nil, fmt.Errorf("%s is %d's, %d's", h.Name, h.Uid, h.Gid)
		case h.Typeflag == tar.TypeSymlink:
			list[strings.TrimPrefix(h.Name, ".")] = "-> " + h.Linkname
		case h.Typeflag != tar.TypeDir:
			list[strings.TrimPrefix(h.Name, ".")] = h.FileInfo().Mode().String()
		}
	}
}

func checkRPM(t *testing.T, path string) {
	want := listing{"/usr/share/selinux/packages/jobd.pp": "-rw-r--r--"}
	for p, mode := range both {
		p = strings.Replace(p, "/usr/lib/x86_64-linux-gnu", "/usr/lib64", 1)
		want[strings.Replace(p, "vendor-completions", "site-functions", 1)] = mode
	}
	got := listing{}
	query := run(t, nil, "rpm", "-qp", "--nosignature", "--qf", `[%{FILENAMES} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}. %{FILEMODES:perms} %{FILELINKTOS}\n]`, path)
	for line := range strings.Lines(query) {
		f := append(strings.Fields(line), "")
		if f[1] != "root:root" {
			t.Errorf("%s is %s's", f[0], f[1])
		}
		if strings.HasPrefix(f[0], "/etc/jobd/") && f[2] != "cn." {
			t.Errorf("%s is not config|noreplace: %q", f[0], f[2])
		}
		switch f[3][0] {
		case 'l':
			got[f[0]] = "-> " + f[4]
		case '-':
			got[f[0]] = f[3]
		}
	}
	compare(t, "the .rpm", got, want)
}

// compare lets manuals and documents be there that the list does not name.
func compare(t *testing.T, what string, got, want listing) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if got[p] != want[p] {
			t.Errorf("%s has %s as %q, want %q", what, p, got[p], want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		more := strings.HasPrefix(p, "/usr/share/man/") || strings.HasPrefix(p, "/usr/share/doc/jobd/") || strings.HasPrefix(p, "/usr/share/jobd/")
		if want[p] == "" && !more {
			t.Errorf("%s has %s, which nobody asked for", what, p)
		}
	}
}

// checkProgram: it is for that architecture, and takes no newer C library than the packages ask for.
func checkProgram(t *testing.T, path, triplet string) {
	t.Helper()
	machine := map[string]string{"x86_64-linux-gnu": "X86-64", "aarch64-linux-gnu": "AArch64"}[triplet]
	if head := run(t, nil, "readelf", "-h", path); !strings.Contains(head, machine) {
		t.Errorf("%s is not for %s", filepath.Base(path), machine)
	}
	for _, word := range strings.Fields(run(t, nil, "readelf", "-V", path)) {
		var minor int
		if n, _ := fmt.Sscanf(word, "GLIBC_2.%d", &minor); n == 1 && minor > 34 {
			t.Errorf("%s takes %s; the packages ask for 2.34, which RHEL 9 has", filepath.Base(path), word)
		}
	}
}
