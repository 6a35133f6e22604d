package e2e

import (
	"os"
	"path/filepath"
)

// sudoers says in the world, and only there, who may use sudo.
func (w *world) sudoers(line string) {
	w.h.t.Helper()
	path := w.write("sudoers", line+"\n", 0o440)
	if out, err := w.command("mount", "--bind", path, "/etc/sudoers").CombinedOutput(); err != nil {
		w.h.t.Fatalf("cannot give the world its sudoers: %v\n%s", err, out)
	}
}

// setuid copies a program, once; the copy runs as root, whoever runs it.
func (w *world) setuid(program, name string) string {
	w.h.t.Helper()
	path := filepath.Join(w.dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	b, err := os.ReadFile(program)
	must(w.h.t, err)
	must(w.h.t, os.WriteFile(path, b, 0o755))
	must(w.h.t, os.Chmod(path, 0o755|os.ModeSetuid))
	return path
}
