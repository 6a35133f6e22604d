package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// fileFacts are one path that has to be root's.
type fileFacts struct {
	name  string // of the finding
	path  string
	err   error       // what is wrong with its owner or mode, or those above it
	mode  os.FileMode // its own
	wants os.FileMode // what it may have at the most; 0: no matter
	least os.FileMode // what it has to have
	made  bool        // jobd makes it: it may not be there yet
}

func (x *examination) files(context.Context) []Finding {
	run, state := x.RunDir, x.stateDir()
	list := []fileFacts{
		{name: "files.run", path: run, made: true, least: 0o711},
		{name: "files.state", path: state, made: true},
		{name: "files.login.sock", path: filepath.Join(run, "login.sock"), made: true, wants: 0o600},
		{name: "files.jobd.sock", path: filepath.Join(run, "jobd.sock"), made: true, least: 0o666, wants: 0o666},
		{name: "files.job.sock", path: filepath.Join(run, "job.sock"), made: true, least: 0o666, wants: 0o666},
		{name: "files.books", path: filepath.Join(state, "jobd.db"), made: true, wants: 0o640},
	}
	if x.Path != "" {
		list = append(list, fileFacts{name: "files.config", path: x.Path})
	}
	for _, path := range modulesAt(moduleDirs()) {
		list = append(list, fileFacts{name: "files.module", path: path})
	}
	var out []Finding
	for _, f := range list {
		out = append(out, judgeFile(x.lookFile(f)))
	}
	return out
}

func (x *examination) lookFile(f fileFacts) fileFacts {
	st, err := os.Stat(f.path)
	if f.err = err; err != nil {
		return f
	}
	f.mode = st.Mode()
	above := f.path
	if f.mode.Type() == fs.ModeSocket { // others may write to it: that is asked for by least and wants
		above = filepath.Dir(f.path)
	}
	f.err = x.Owned(above)
	return f
}

func judgeFile(f fileFacts) Finding {
	perm := f.mode.Perm()
	switch {
	case errors.Is(f.err, fs.ErrNotExist) && f.made:
		return ok(f.name, "there is no %s yet", f.path)
	case errors.Is(f.err, fs.ErrNotExist):
		return fail(f.name, "name one that is there", "there is no %s", f.path)
	case errors.Is(f.err, fs.ErrPermission):
		return needsRoot(f.name)
	case f.err != nil:
		return fail(f.name, "chown root and chmod go-w, as it says", "%v", f.err)
	case f.wants != 0 && perm&^f.wants != 0:
		return fail(f.name, "restart jobd, which makes it anew, or chmod it", "%s has mode %o, and more than %o is too much", f.path,
			perm, f.wants)
	case perm&f.least != f.least:
		return fail(f.name, "restart jobd, or chmod it", "%s has mode %o, and users need %o", f.path, perm, f.least)
	}
	return ok(f.name, "%s, mode %o", f.path, perm)
}
