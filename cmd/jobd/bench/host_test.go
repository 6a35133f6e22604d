package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// bench is one run: where it works, what it built, what it found.
type bench struct {
	table
	ctx    context.Context
	dir    string // everything on disk
	mount  string // of cgroup v2
	groups map[string]group
	homes  int

	appendix string // a table of its own, below the other
}

// The cgroups of the run. What a login would do runs in the root, where nobody has placed it: that is where jobd makes a
// cgroup for each job.
const (
	daemonGroup = "daemon"
	plainGroup  = "plain"
	rootGroup   = "root"
)

func newBench(ctx context.Context) (*bench, error) {
	dir, err := os.MkdirTemp("", "jobd-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, dir: dir, mount: cgroupMount()}
	if err = b.build(); err == nil {
		err = b.makeGroups()
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) makeGroups() error {
	top := group(filepath.Join(b.mount, fmt.Sprintf("jobd-bench-%d", os.Getpid())))
	b.groups = map[string]group{rootGroup: group(b.mount)}
	for name, g := range map[string]group{"": top, daemonGroup: top + "/daemon", plainGroup: top + "/plain"} {
		if err := os.MkdirAll(string(g), 0o755); err != nil {
			return fmt.Errorf("cannot make a cgroup: %w", err)
		}
		b.groups[name] = g
	}
	return nil
}

// close takes away what the run made; every process was ended by whoever started it.
func (b *bench) close() error {
	errs := []error{os.RemoveAll(b.dir)}
	for _, name := range []string{daemonGroup, plainGroup, ""} {
		if g, ok := b.groups[name]; ok {
			errs = append(errs, g.remove())
		}
	}
	return errors.Join(errs...)
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// module is the path of this project's Go module.
const module = "github.com/jobd-project/jobd"

// build makes jobd, jobctl, pam_job.so and the programs of testdata.
func (b *bench) build() error {
	commands := [][]string{{"go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.file("jobd"), module + "/cmd/jobd"}}
	commands = append(commands, []string{"go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.file("jobctl"), module + "/cmd/jobctl"})
	if *prebuilt != "" {
		commands[0] = []string{"cp", *prebuilt, b.file("jobd")}
	}
	for _, name := range []string{"reader", "storm", "crowd", "session", "accounted", "pacer"} {
		commands = append(commands, []string{
			"cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", b.file(name), "testdata/" + name + ".c", "-lpam",
		})
	}
	commands = append(commands, []string{"cc", "-std=gnu11", "-O2", "-static", "-o", b.file(short), "testdata/short.c"})
	sources, err := filepath.Glob("../../../pam/module/*.c")
	if err != nil || len(sources) == 0 {
		return errors.Join(errors.New("cannot find the sources of pam_job.so"), err)
	}
	so := []string{"cc", "-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-o", b.file("pam_job.so")}
	commands = append(commands, append(append(so, sources...), "-lpam"))
	for _, c := range commands {
		if msg, err := exec.CommandContext(b.ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build, %s: %w\n%s", c[0], err, msg)
		}
	}
	return nil
}
