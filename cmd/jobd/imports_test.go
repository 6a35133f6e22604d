package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/jobd-project/jobd/"

// mayImport says which packages of the project each folder may import. What meets only here, in cmd/jobd, is not to know
// of each other; jobctl never sees the store, because jobd holds the file's lock.
var mayImport = map[string][]string{
	"job/watch":   {},
	"job/pnotify": {"job/watch"},
	"job":         {"job/watch", "job/pnotify"},
	"job/look":    {},
	"job/label":   {},
	"job/kernel":  {"job", "job/label", "job/look", "job/watch"},
	"job/follow":  {"job/kernel", "job/pnotify", "job/watch"},
	"job/report":  {"job", "job/watch"},
	"job/control": {"job", "job/look", "job/watch", "job/report"},
	"store":       {"job", "job/watch"},
	"metrics":     {"job", "job/watch"},
	"pam":         {},
	"cmd/jobctl":  {"job", "job/control", "job/report", "pam"},
	"cmd/jcompat": {"job", "job/control"},

	"docs/examples/counters": {"job/follow", "job/kernel", "job/pnotify", "job/watch"},

	"cmd/jobd/confine": {},
	"cmd/jobd/doctor":  {"job", "job/control", "job/kernel", "job/label"},
	"cmd/jobd/feed":    {"job", "job/control", "job/watch"},
	"cmd/jobd/logs":    {"job"},
	"cmd/jobd":         {"cmd/jobd/confine", "cmd/jobd/doctor", "cmd/jobd/feed", "cmd/jobd/logs", "job", "job/report", "job/watch", "job/pnotify", "job/kernel", "job/label", "job/control", "store", "metrics"},
}

// only names the packages from outside that one folder alone may use.
var only = map[string]string{
	"github.com/mdlayher/netlink":             "job/kernel",
	"github.com/cilium/ebpf":                  "job/label",
	"go.etcd.io/bbolt":                        "store",
	"github.com/msteinert/pam/v2":             "pam",
	"github.com/prometheus/client_golang":     "metrics",
	"github.com/BurntSushi/toml":              "cmd/jobd",
	"github.com/coreos/go-systemd/v22/daemon": "cmd/jobd",
}

func TestImports(t *testing.T) {
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "testdata" || e.Name() == ".git") {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			checkImport(t, path, filepath.ToSlash(dir), p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImport(t *testing.T, path, dir, imported string) {
	if own, ok := strings.CutPrefix(imported, module); ok {
		allowed, known := mayImport[dir]
		if !known {
			allowed = mayImport["cmd/jobd"] // tests and tools below it
		}
		if !slices.Contains(allowed, own) {
			t.Errorf("%s: %s may not import %s", path, dir, own)
		}
	}
	for outside, home := range only {
		if (imported == outside || strings.HasPrefix(imported, outside+"/")) && dir != home {
			t.Errorf("%s: only %s may import %s", path, home, outside)
		}
	}
}
