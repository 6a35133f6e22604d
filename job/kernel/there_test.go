package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// TestThereSinceTheScan: who is in the table some time after the first scan. One has been forked since, one has gone, what that one
// left behind has another parent, one was in the middle of an exec, and the pid of one is another's.
func TestThereSinceTheScan(t *testing.T) {
	at := func(tick uint64) int64 { return int64(tick) * nsPerTick }
	fs := fakeProc(t, map[string]string{
		"1/stat":  statLine(1, "init", "S", 0, 1, 0),
		"40/stat": statLine(40, "jobd", "S", 1, 1, 10),
		"41/stat": statLine(41, "stays", "S", 1, 1, 20),
		"42/stat": statLine(42, "goes", "S", 1, 1, 30),
		"43/stat": statLine(43, "is left", "S", 42, 1, 40),
		"44/stat": statLine(44, "execs", "S", 41, 1, 50),
		"45/stat": statLine(45, "old", "S", 41, 1, 60),
	})
	c := &engine{FS: fs, self: 40, lin: newLineage()}
	if err := c.scanFirst(); err != nil {
		t.Fatal(err)
	}
	for i := range c.first {
		if s := &c.first[i]; s.PID == 44 {
			s.vague, s.Start = true, 0
			c.lin.of(44).start = 0
		}
	}
	c.lin.remove(c.lin.of(42))
	c.lin.remove(c.lin.of(45))
	c.lin.add(45, at(900))
	c.lin.add(46, at(910))
	c.lin.add(47, at(920))
	for path, text := range map[string]string{
		"43/stat": statLine(43, "is left", "S", 1, 1, 40),
		"45/stat": statLine(45, "new", "S", 41, 1, 900),
		"46/stat": statLine(46, "younger", "S", 45, 1, 910),
	} {
		if err := os.MkdirAll(filepath.Join(string(fs), filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(string(fs), path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(string(fs), "41/stat"), []byte("is not read again"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := c.there()
	if err != nil {
		t.Fatal(err)
	}
	type one struct {
		pid, parent int32
		start       uint64
		vague       bool
	}
	var got []one
	for _, s := range list {
		got = append(got, one{s.PID, s.PPID, s.Start, s.vague})
	}
	want := []one{
		{1, 0, 0, false}, {40, 1, 10, false}, {41, 1, 20, false}, {43, 1, 40, false}, {44, 41, 50, false}, {45, 41, 900, false},
		{46, 45, 910, false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	if c.first != nil {
		t.Error("the first scan would be used again")
	}
}

// TestLodgedAreNotAsked: who is listed in the cgroup of an open job is asked no more where it is. Who is there under the pid of one that was
// seen before is another.
func TestLodgedAreNotAsked(t *testing.T) {
	fs := fakeProc(t, map[string]string{
		"1/stat": statLine(1, "init", "S", 0, 1, 0), "41/stat": statLine(41, "lodged", "S", 1, 1, 20),
		"42/stat": statLine(42, "another", "S", 1, 1, 900), "43/stat": statLine(43, "elsewhere", "S", 1, 1, 40), "43/cgroup": "0::/x\n",
	})
	mount := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(mount, "jobd/7"), 0o755))
	must(os.WriteFile(filepath.Join(mount, "jobd/7/cgroup.procs"), []byte("41\n42\n"), 0o644))
	c := &Connector{engine: engine{FS: fs, Cgroups: &Cgroups{Mount: mount}, bench: newBench(), lin: newLineage()}}
	for i, place := range []string{"/jobd/7", "/jobd/8"} { // the second cannot be listed
		c.Testify(Label(7+i), job.Placement{Cgroup: place, Own: true}, nil)
	}
	var list []seen
	for _, start := range []uint64{20, 30, 40} {
		list = append(list, seen{Stat: Stat{PID: int32(39 + start/10), Start: start}})
		c.found(list[len(list)-1])
	}
	heard := c.hearAll(list)
	if h := heard[0]; !h.ok || c.whose(list[0], h.testimony, h.ok) != 7 {
		t.Errorf("the lodged one says %+v", h)
	}
	if heard[1].ok {
		t.Errorf("another says %+v", heard[1])
	}
	if h := heard[2]; !h.ok || h.cgroup != "/x" {
		t.Errorf("who is elsewhere says %+v", h)
	}
}
