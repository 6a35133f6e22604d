package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// selinuxFacts are whether SELinux may stand between logins and jobd.
type selinuxFacts struct {
	enforcing bool
	module    bool // jobd's policy is installed
	unknown   error
}

func (x *examination) selinux(context.Context) []Finding {
	return []Finding{judgeSELinux(lookSELinux("/"))}
}

// lookSELinux reads what selinuxfs says, and where semodule(8) keeps modules.
func lookSELinux(root string) (s selinuxFacts) {
	b, err := os.ReadFile(filepath.Join(root, "sys/fs/selinux/enforce"))
	if err != nil {
		return s // not in use
	}
	s.enforcing = strings.TrimSpace(string(b)) == "1"
	store := filepath.Join(root, "var/lib/selinux")
	if _, err := os.ReadDir(store); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.unknown = err
	}
	found, _ := filepath.Glob(filepath.Join(store, "*/active/modules/*/jobd")) // the pattern is a good one
	s.module = len(found) > 0
	return s
}

func judgeSELinux(s selinuxFacts) Finding {
	switch {
	case !s.enforcing:
		return ok("selinux", "not enforcing")
	case s.module:
		return ok("selinux", "enforcing, with jobd's module")
	case s.unknown != nil:
		return skip("selinux", "enforcing; %v", s.unknown)
	}
	return warn("selinux", "install jobd's policy module: semodule -i jobd.pp; until then login programs may not reach login.sock",
		"enforcing, without jobd's module")
}
