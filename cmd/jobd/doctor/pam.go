package doctor

import (
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pamFacts are what PAM is told, and which of the modules that it names as ours are there.
type pamFacts struct {
	files  pamFiles
	err    error           // the services cannot be listed
	hidden []string        // files that cannot be read
	there  map[string]bool // by the path that a line has
	socket string          // where jobd listens
	noPAM  string          // where sshd is told not to ask PAM; empty: it does
}

// jobModule is ours.
const jobModule = "pam_job.so"

// Where services are, the first one wins; what is included is looked for in the same places. pam.conf does not count where these are.
func pamDirs() []string { return []string{"/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"} }

// moduleDirs are where distributions have modules.
func moduleDirs() []string {
	return []string{"/usr/lib/security", "/usr/lib64/security", "/usr/lib/*-linux-gnu*/security", "/lib/security", "/lib64/security",
		"/lib/*-linux-gnu*/security"}
}

// pamsOwn is one of PAM's own modules, which says for whose programs those beside it are.
const pamsOwn = "pam_unix.so"

// modulesAt finds our module, each file once. A directory with the modules of another architecture is none that logins look into.
func modulesAt(dirs []string) (out []string) {
	own := machineOf("/proc/self/exe")
	for _, dir := range dirs {
		found, _ := filepath.Glob(filepath.Join(dir, jobModule)) // the patterns are good ones
		for _, path := range found {
			if machineOf(filepath.Join(filepath.Dir(path), pamsOwn)) != own {
				continue
			}
			if real, err := filepath.EvalSymlinks(path); err == nil && !slices.Contains(out, real) {
				out = append(out, real)
			}
		}
	}
	return out
}

// machineOf is what an ELF file says that it is for, as it stands there: class, order of bytes, processor (elf(5)). Empty: it is none.
func machineOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 20)
	if _, err := io.ReadFull(f, b); err != nil || string(b[:4]) != elf.ELFMAG {
		return ""
	}
	return string(b[4:6]) + string(b[18:20])
}

func (x *examination) pam(context.Context) []Finding {
	dirs := pamDirs()
	if x.PAMDir != "" {
		dirs = []string{x.PAMDir}
	}
	p := lookPAM(dirs, moduleDirs())
	p.socket = filepath.Join(x.RunDir, "login.sock")
	if x.PAMDir == "" {
		var hidden []string
		p.noPAM, hidden = noPAM(sshdConfig)
		p.hidden = append(p.hidden, hidden...)
	}
	return judgePAM(p)
}

func lookPAM(dirs, modules []string) pamFacts {
	p := pamFacts{files: make(pamFiles), there: make(map[string]bool)}
	for i, dir := range dirs {
		list, err := os.ReadDir(dir)
		if err != nil && i == 0 {
			p.err = err
		}
		for _, e := range list {
			p.read(e.Name(), filepath.Join(dir, e.Name()))
		}
	}
	p.readOutside()
	installed := len(modulesAt(modules)) > 0
	for file, text := range p.files {
		for _, l := range parsePAM(file, text) {
			if filepath.Base(l.module) != jobModule {
				continue
			}
			p.there[l.module] = installed
			if filepath.IsAbs(l.module) {
				_, err := os.Stat(l.module)
				p.there[l.module] = err == nil
			}
		}
	}
	return p
}

// largest is more than any service has.
const largest = 1 << 20

// read takes a file, unless there is one of that name already.
func (p *pamFacts) read(name, path string) {
	if _, there := p.files[name]; there || strings.HasPrefix(name, ".") {
		return
	}
	switch text, err := readSmall(path); {
	case err == nil:
		p.files[name] = text
	case !errors.Is(err, fs.ErrNotExist):
		p.hidden = append(p.hidden, path)
	}
}

// readSmall reads a file. To one that is a directory, say, or larger than any of its kind, it says that there is none.
func readSmall(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() || st.Size() > largest {
		return "", fs.ErrNotExist
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// readOutside reads what is included by its whole path, and what that includes.
func (p *pamFacts) readOutside() {
	for before := -1; before != len(p.files); {
		before = len(p.files)
		for name := range p.files.included() {
			if filepath.IsAbs(name) {
				p.read(name, name)
			}
		}
	}
}
