package e2e

import (
	"os"
	"path/filepath"
)

// sudoers says in the world, and only there, who may use sudo.
func (w *world) sudoers(line string) {
	w.h.t.Helper()
	path := w.write("sudoers", line+"\n", 0o440)
	w.run("mount --bind " + path + " /etc/sudoers")
}

// run has root run a script in the world.
func (w *world) run(script string) {
	w.h.t.Helper()
	if out, err := w.command("sh", "-c", script).CombinedOutput(); err != nil {
		w.h.t.Fatalf("%s: %v\n%s", script, err, out)
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
