package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// families is a host's processes as /proc has them, by pid from 1. Each was born of one, and is the child of that or of an ancestor of it.
type families struct {
	born, parent []int
	label        []Label
}

func (f *families) put(t testing.TB, dir string) {
	t.Helper()
	children := make(map[int]string)
	for pid := 1; pid < len(f.parent); pid++ {
		children[f.parent[pid]] += strconv.Itoa(pid) + " "
	}
	for pid := 1; pid < len(f.parent); pid++ {
		n := strconv.Itoa(pid)
		for name, text := range map[string]string{
			"stat":                    statLine(pid, "p", "S", f.parent[pid], 1, 100*pid),
			"status":                  "Name:\tp\nState:\tS (sleeping)\nTgid:\t" + n + "\nPPid:\t" + strconv.Itoa(f.parent[pid]) + "\nThreads:\t1\n",
			"task/" + n + "/children": children[pid],
		} {
			path := filepath.Join(dir, n, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// connector knows them all, by their birth.
func (f *families) connector(dir string) (c *Connector, list []seen, found map[job.JID]Found) {
	c = &Connector{engine: engine{FS: FS(dir), lin: newLineage()}}
	found = make(map[job.JID]Found)
	for pid := 1; pid < len(f.parent); pid++ {
		at := Stat{PID: int32(pid), PPID: int32(f.born[pid]), Start: uint64(100 * pid), State: 'S'}
		p := c.found(seen{Stat: at})
		p.label = f.label[pid]
		at.PPID = int32(f.parent[pid])
		list = append(list, seen{Stat: at})
		if jid := job.JID(p.label); jid != 0 {
			found[jid] = Found{Members: append(found[jid].Members, p.id)}
		}
	}
	return c, list, found
}

// TestMarkAll: who is marked with all at once is whom each marks by itself.
func TestMarkAll(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "processes")
		f := families{born: make([]int, n+1), parent: make([]int, n+1), label: make([]Label, n+1)}
		for pid := 2; pid <= n; pid++ {
			f.born[pid] = rapid.IntRange(1, pid-1).Draw(rt, "born of")
			f.parent[pid] = f.born[pid]
			for f.parent[pid] != 1 && rapid.Bool().Draw(rt, "an orphan") {
				f.parent[pid] = f.parent[f.parent[pid]]
			}
			f.label[pid] = Label(rapid.IntRange(0, 3).Draw(rt, "label"))
		}
		here, err := os.MkdirTemp(dir, "")
		if err != nil {
			rt.Fatal(err)
		}
		f.put(t, here)
		all, list, found := f.connector(here)
		all.markAll(found, list)
		each, _, _ := f.connector(here)
		for jid, one := range found {
			for _, id := range one.Members {
				each.markAncestors(id, Label(jid))
			}
		}
		if diff := cmp.Diff(each.lin.marks, all.lin.marks); diff != "" {
			rt.Errorf("%+v (-each by itself +all):\n%s", f, diff)
		}
	})
}

// TestAncestorWentMeanwhile: who took in the children of one that went while all were looked at is one of its ancestors, and /proc knows.
func TestAncestorWentMeanwhile(t *testing.T) {
	f := families{born: []int{0, 0, 1, 2, 3}, parent: []int{0, 0, 1, 2, 2}, label: make([]Label, 5)}
	dir := t.TempDir()
	f.put(t, dir)
	c, _, _ := f.connector(dir)
	parents := map[int32]int32{1: 0, 2: 1, 4: 3} // 3 has gone since
	if got := c.ancestorsIn(parents, 4); !slices.Equal(got, []int32{2, 1}) {
		t.Errorf("%v", got)
	}
	if got := c.ancestorsIn(parents, 1); !slices.Equal(got, []int32{1}) {
		t.Errorf("of the first %v", got)
	}
	if got := c.ancestorsIn(map[int32]int32{1: 0, 5: 6, 6: 5}, 5); len(got) > 4 {
		t.Errorf("pids that were used again: %v", got)
	}
}
