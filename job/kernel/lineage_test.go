package kernel

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/watch"
)

// play runs events over a lineage: f parent child, t tgid tid, x tgid, e tgid tid, and l like e, but stamped before the last
// exec. It gives the pids that are gone after it.
func play(l *lineage, events ...[3]int32) (gone []watch.ID) {
	const fork, thread, exec, exit, late = 'f', 't', 'x', 'e', 'l'
	for _, e := range events {
		switch at := int64(1); e[0] {
		case fork:
			l.fork(e[1], e[2], 0, 0)
		case thread:
			l.thread(e[1], e[2], true)
		case exec:
			l.exec(e[1], at)
		case exit, late:
			if e[0] == late {
				at--
			}
			if p := l.owner(e[1], e[2]); p != nil && l.exit(p, e[2], at) {
				gone = append(gone, p.id)
				l.remove(p)
			}
		}
	}
	return gone
}

func pids(ids []watch.ID) (out []int32) {
	for _, id := range ids {
		out = append(out, id.PID)
	}
	return out
}

func TestLifeOfAProcess(t *testing.T) {
	for _, c := range []struct {
		name   string
		events [][3]int32
		gone   []int32
	}{
		{"plain", [][3]int32{{'f', 1, 10}, {'e', 10, 10}}, []int32{10}},
		{"last thread ends it", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'e', 10, 11}, {'e', 10, 10}}, []int32{10}},
		{"leader exits first", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'e', 10, 10}}, nil},
		{"then its thread", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'e', 10, 10}, {'e', 10, 11}}, []int32{10}},
		{"threads from a thread after the leader", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'e', 10, 10}, {'t', 10, 12}, {'e', 10, 11}}, nil},
		{"exec from a thread", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'e', 10, 10}, {'x', 10}}, nil},
		{"which then exits", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'e', 10, 10}, {'x', 10}, {'e', 10, 10}}, []int32{10}},
		{"exec overtakes the leader's exit", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'x', 10}, {'l', 10, 10}}, nil},
		{"and the process exits later", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'x', 10}, {'l', 10, 10}, {'e', 10, 10}}, []int32{10}},
		{"exec overtakes under the thread's id", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'x', 10}, {'e', 10, 11}, {'e', 10, 10}}, []int32{10}},
		{"a killed thread's exit is sent after that of the process", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'x', 10}, {'e', 10, 10}, {'e', 10, 11}}, []int32{10}},
		{"new thread while an exit is late", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'x', 10}, {'t', 10, 12}, {'e', 10, 12}, {'e', 10, 11}}, nil},
		{"its exit counts then", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'x', 10}, {'t', 10, 12}, {'e', 10, 12}, {'e', 10, 11}, {'e', 10, 10}}, []int32{10}},
		{"tid used again before the exit is read", [][3]int32{{'f', 1, 10}, {'t', 10, 11}, {'t', 10, 11}, {'e', 10, 11}, {'e', 10, 10}}, nil},
		{"exit of a thread nobody saw", [][3]int32{{'f', 1, 10}, {'e', 10, 99}}, nil},
		{"exit of a process nobody saw", [][3]int32{{'e', 10, 10}}, nil},
		{"pid used again before the exit is read", [][3]int32{{'f', 1, 10}, {'f', 1, 10}, {'e', 10, 10}}, []int32{10}},
	} {
		if got := pids(play(newLineage(), c.events...)); !slices.Equal(got, c.gone) {
			t.Errorf("%s: gone %v, want %v", c.name, got, c.gone)
		}
	}
}

// TestPidUsedAgain: EXIT is sent after the pid is free, so FORK of its next owner can come first.
func TestPidUsedAgain(t *testing.T) {
	l := newLineage()
	play(l, [3]int32{'f', 1, 10})
	first := l.of(10).id
	l.of(10).label = 7
	play(l, [3]int32{'f', 1, 10})
	second := l.of(10).id
	if l.of(10).label != 0 {
		t.Error("the new owner inherited from the old one")
	}
	if gone := play(l, [3]int32{'e', 10, 10}); !slices.Equal(gone, []watch.ID{first}) {
		t.Errorf("gone %v, want the first owner %v", gone, first)
	}
	if gone := play(l, [3]int32{'e', 10, 10}); !slices.Equal(gone, []watch.ID{second}) {
		t.Errorf("gone %v, want the second owner %v", gone, second)
	}
	if l.live.Len()+len(l.ghosts) != 0 {
		t.Errorf("%d live, %d ghosts left", l.live.Len(), len(l.ghosts))
	}
}

func TestLabelsAreInherited(t *testing.T) {
	l := newLineage()
	play(l, [3]int32{'f', 1, 10})
	l.of(10).setLabel(7, 100)
	child, _ := l.fork(10, 11, 0, 150)
	if child.label != 7 {
		t.Errorf("label %d, want 7", child.label)
	}
	before, _ := l.fork(10, 12, 0, 50)
	if before.label != 0 {
		t.Errorf("a fork from before the attach has label %d", before.label)
	}
}

func TestMarksComeAndGoWithTheirLabels(t *testing.T) {
	l := newLineage()
	play(l, [3]int32{'f', 0, 1}, [3]int32{'f', 1, 5}, [3]int32{'f', 5, 10}, [3]int32{'f', 5, 11})
	sshd, one := l.of(5), l.of(1)
	above := []watch.ID{sshd.id, one.id}
	l.bound(7, above)
	l.bound(8, above)
	if !l.ambiguous(sshd) || !l.ambiguous(one) || l.ambiguous(l.of(10)) {
		t.Error("the ancestors of a login are ambiguous, the login itself is not")
	}
	l.unbound(7)
	if !l.ambiguous(sshd) {
		t.Error("the mark went with the first of two labels")
	}
	l.unbound(8)
	if l.ambiguous(sshd) || len(l.markedPIDs()) != 0 {
		t.Error("the mark outlived its labels")
	}
}

// TestAncestorGoesBeforeItsMark: a login daemon may be restarted while its logins go on.
func TestAncestorGoesBeforeItsMark(t *testing.T) {
	l := newLineage()
	play(l, [3]int32{'f', 0, 1}, [3]int32{'f', 1, 5}, [3]int32{'f', 5, 10})
	l.bound(7, []watch.ID{l.of(5).id, l.of(1).id})
	play(l, [3]int32{'e', 5, 5})
	l.unbound(7)
	if len(l.markedPIDs()) != 0 {
		t.Errorf("marked %v", l.markedPIDs())
	}
}

// TestLineageAgainstKernel holds the lineage against a model that knows what the kernel knows: which tasks each process
// has. It sends the events as the kernel may, with a process's late exits delayed past its exec, and past its end.
func TestLineageAgainstKernel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLineage()
		tasks := map[int32][]int32{} // by tgid
		late := map[int32][]int32{}  // exits that the kernel has not sent yet
		next := int32(100)
		play(l, [3]int32{'f', 0, 1})
		pick := func(rt *rapid.T) int32 {
			var all []int32
			for p := range tasks {
				all = append(all, p)
			}
			if all == nil {
				return 0
			}
			slices.Sort(all)
			return rapid.SampledFrom(all).Draw(rt, "pid")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"fork": func(rt *rapid.T) {
				next++
				play(l, [3]int32{'f', 1, next})
				tasks[next] = []int32{next}
			},
			"thread": func(rt *rapid.T) {
				if p := pick(rt); p != 0 {
					next++
					play(l, [3]int32{'t', p, next})
					tasks[p] = append(tasks[p], next)
				}
			},
			"exit": func(rt *rapid.T) {
				p := pick(rt)
				if p == 0 {
					return
				}
				i := rapid.IntRange(0, len(tasks[p])-1).Draw(rt, "task")
				tid := tasks[p][i]
				tasks[p] = slices.Delete(tasks[p], i, i+1)
				gone := play(l, [3]int32{'e', p, tid})
				if (len(gone) == 1) != (len(tasks[p]) == 0) {
					rt.Fatalf("exit of %d in %d: gone %v with %v left", tid, p, gone, tasks[p])
				}
				if len(tasks[p]) == 0 {
					delete(tasks, p)
				}
			},
			"exec": func(rt *rapid.T) {
				p := pick(rt)
				if p == 0 {
					return
				}
				// One task goes on under the pid; the exits of the others come before or after the EXEC.
				by := rapid.SampledFrom(tasks[p]).Draw(rt, "by")
				var others []int32
				for _, tid := range tasks[p] {
					if tid != by {
						others = append(others, tid)
					}
				}
				before := rapid.IntRange(0, len(others)).Draw(rt, "before")
				for _, tid := range others[:before] {
					if gone := play(l, [3]int32{'e', p, tid}); len(gone) != 0 {
						rt.Fatalf("an exit before the exec ended %v", gone)
					}
				}
				play(l, [3]int32{'x', p})
				tasks[p] = []int32{p}
				late[p] = append(late[p], others[before:]...)
			},
			"late": func(rt *rapid.T) {
				for p, list := range late {
					for _, tid := range list {
						what := int32('e')
						if tid == p {
							what = 'l' // stamped before it gives its pid away
						}
						if gone := play(l, [3]int32{what, p, tid}); len(gone) != 0 {
							rt.Fatalf("a late exit ended %v", gone)
						}
					}
					delete(late, p)
				}
			},
			"hand over": func(rt *rapid.T) {
				var err error
				if l, err = handedOver(l); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				for p := range tasks {
					if l.of(p) == nil {
						rt.Fatalf("process %d is alive and not on the books", p)
					}
				}
				if l.live.Len() != len(tasks)+1 { // and pid 1
					rt.Fatalf("%d on the books, %d alive", l.live.Len(), len(tasks)+1)
				}
			},
		})
	})
}
