package bench

import (
	"fmt"
	"os/exec"
	"strings"
)

// inside are the packages whose own benchmarks are repeated in the table.
var inside = []string{"job/watch", "job/pnotify", "job", "job/kernel", "job/label", "store", "metrics"}

// slow benchmarks build large files first, or run many programs: they are run by hand.
const slow = "^Benchmark(File|Each)$"

// micro repeats the benchmarks of single packages, so that one table has all figures.
func (b *bench) micro() error {
	args := []string{"test", "-run", "^$", "-bench", ".", "-skip", slow, "-benchtime", "50ms", "-benchmem"}
	for _, p := range inside {
		args = append(args, module+"/"+p)
	}
	out, err := exec.CommandContext(b.ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test: %w\n%s", err, out)
	}
	pkg := ""
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "pkg:":
			pkg = strings.TrimPrefix(f[1], module+"/")
		case len(f) >= 4 && strings.HasPrefix(f[0], "Benchmark"):
			b.add(microRow(pkg, f))
		}
	}
	return nil
}

// microRow reads a line of go test: the name, how often it ran, then pairs of value and unit.
func microRow(pkg string, f []string) row {
	name, _, _ := strings.Cut(strings.TrimPrefix(f[0], "Benchmark"), "-")
	r := row{what: pkg + ": " + name, measured: f[2] + " " + f[3]}
	for i := 4; i+1 < len(f); i += 2 {
		if f[i+1] == "allocs/op" {
			r.beside = f[i] + " allocs/op"
		}
	}
	return r
}
