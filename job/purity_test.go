package job

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// values is what the core may import of the standard library: packages of values, without a way to the outside.
// Adding to it is a design decision.
var values = map[string]bool{
	"cmp": true, "encoding/json": true, "errors": true, "fmt": true, "iter": true, "maps": true, "math": true,
	"math/bits": true, "net/netip": true, "regexp": true, "regexp/syntax": true, "slices": true, "sort": true, "strconv": true, "strings": true,
	"time": true,
}

// core is who may import what of the project: report stands on job, job on pnotify, pnotify on watch, watch on nothing.
var core = map[string][]string{
	"watch":   nil,
	"pnotify": {"job/watch"},
	".":       {"job/watch", "job/pnotify"},
	"report":  {"job", "job/watch"},
}

const module = "github.com/jobd-project/jobd/"

// clock is the part of package time that reads or waits on a clock.
var clock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true,
	"AfterFunc": true, "Tick": true, "NewTimer": true, "NewTicker": true,
}

// TestCoreIsPure reads the direct imports and the syntax tree; through fmt alone every package depends on os, so the
// list of all dependencies would say nothing.
func TestCoreIsPure(t *testing.T) {
	for dir, own := range core {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range impurities(fset, f, own) {
				t.Error(bad)
			}
		}
	}
}

func impurities(fset *token.FileSet, f *ast.File, own []string) (bad []string) {
	say := func(pos token.Pos, what string) { bad = append(bad, fset.Position(pos).String()+": "+what) }
	for _, imp := range f.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		ok := values[p]
		for _, o := range own {
			ok = ok || p == module+o
		}
		if !ok {
			say(imp.Pos(), "imports "+p)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			say(n.Pos(), "starts a goroutine")
		case *ast.ChanType:
			say(n.Pos(), "has a channel")
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				say(n.Pos(), "has an init")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && clock[n.Sel.Name] {
				say(n.Pos(), "reads the clock; take the time from the event")
			}
		}
		return true
	})
	return bad
}

// TestTheTestSeesImpurity proves that the rule can fail.
func TestTheTestSeesImpurity(t *testing.T) {
	const src = `package p
import ("os"; "time"; "github.com/jobd-project/jobd/job/pnotify")
func init() {}
func f(c chan int) { go f(nil); _ = time.Now(); os.Exit(1) }`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if bad := impurities(fset, f, nil); len(bad) != 6 {
		t.Errorf("saw %d of 6: %v", len(bad), bad)
	}
}
