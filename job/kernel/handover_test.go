package kernel

import (
	"encoding/json"
	"errors"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/watch"
)

// handedOver is what the next engine knows of a lineage.
func handedOver(l *lineage) (*lineage, error) {
	var h, read handover
	l.handOver(&h)
	b, err := json.Marshal(h)
	if err == nil {
		err = json.Unmarshal(b, &read)
	}
	if err != nil {
		return nil, err
	}
	return read.lineage()
}

// Ghosts, labels, marks and what exited threads used are all there.
func TestLineageIsHandedOver(t *testing.T) {
	l := newLineage()
	play(l, [3]int32{'f', 0, 1}, [3]int32{'f', 1, 5}, [3]int32{'f', 5, 10}, [3]int32{'t', 10, 11}, [3]int32{'f', 10, 12}, [3]int32{'f', 1, 12})
	l.of(10).setLabel(7, 100)
	l.of(10).usage = &watch.Usage{Comm: "gone", CPU: 5}
	l.bound(7, []watch.ID{l.of(5).id, l.of(1).id})
	next, err := handedOver(l)
	if err != nil {
		t.Fatal(err)
	}
	if ten := next.of(10); ten.label != 7 || ten.labelAt(99) != 0 || ten.id != l.of(10).id || ten.usage.CPU != 5 || len(ten.tids) != 2 {
		t.Errorf("process 10 is %+v", ten)
	}
	if !next.ambiguous(next.of(5)) || next.ambiguous(next.of(10)) || len(next.markedPIDs()) != 2 {
		t.Errorf("marked are %v", next.markedPIDs())
	}
	for range 2 { // the ghost first, then who has its pid now
		if gone := play(next, [3]int32{'e', 12, 12}); len(gone) != 1 {
			t.Errorf("gone are %v", gone)
		}
	}
	next.unbound(7)
	if len(next.markedPIDs()) != 0 {
		t.Errorf("marked are %v", next.markedPIDs())
	}
}

// Whatever a process has is handed over, but for strangers, who are not; and nobody hears of anybody when an engine begins.
func TestProcessIsHandedOverWhole(t *testing.T) {
	have, want := reflect.TypeFor[handedProc](), reflect.TypeFor[proc]()
	for i := range want.NumField() {
		name := want.Field(i).Name
		if _, ok := have.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, name) }); !ok && name != "stranger" && name != "bits" {
			t.Errorf("%s is not handed over", name)
		}
	}
}

// dup is what somebody holds of an engine's sockets.
func dup(t *testing.T, s Sockets) Sockets {
	t.Helper()
	var out [2]int
	for i, fd := range []int{s.Events, s.Stats} {
		var err error
		if out[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(out[i]) })
	}
	return Sockets{out[0], out[1]}
}

// What happens between two engines is in the sockets, and the second goes on as the first would have: the same identities,
// every fork, every exit with its record.
func TestEngineGoesOn(t *testing.T) {
	first := realEngine(t)
	root, begin := shell(t, first, "(exit 3); (exit 4); sleep 1000 & wait")
	if err := first.Attach(root, 77, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	held := dup(t, first.Sockets())
	state, err := first.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	first.Keep()
	begin()
	if err := exec.Command("true").Run(); err != nil { // by its exit the others' are in the queue, or soon will be
		t.Fatal(err)
	}
	next := realEngine(t, Inherit(held, state))
	if got := next.Label(root); got != 77 {
		t.Fatalf("the label is %d", got)
	}
	var status []int64
	born := make(map[watch.ID]bool) // others on this host exit with a 3 too
	until(t, next, func(e *watch.Event) error {
		switch {
		case e.Kind == watch.Clone && e.Parent == root:
			born[e.Proc] = true
		case e.Kind == watch.Free && born[e.Proc]:
			if e.Usage == nil || e.Inferred {
				t.Errorf("the exit %d has the record %v, inferred %v", e.Value>>8, e.Usage, e.Inferred)
			}
			status = append(status, e.Value>>8)
		}
		return nil
	}, func() bool { return len(born) == 3 && len(status) == 2 })
	if !slices.Equal(status, []int64{3, 4}) {
		t.Errorf("they exited with %v", status)
	}
	if n := next.Counts(); n.Resyncs != 0 || n.Lost != 0 {
		t.Errorf("%d resyncs, %d lost", n.Resyncs, n.Lost)
	}
}

// An engine that could not go on, and is closed before another reads on from the same sockets, has not stopped the exit records.
func TestInheritedSocketsGoOn(t *testing.T) {
	first := realEngine(t)
	held := dup(t, first.Sockets())
	state, err := first.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	first.Keep()
	second, err := OpenConnector(Proc, first.Cgroups, first.Log, Inherit(held, state))
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	third := realEngine(t, Inherit(held, nil))
	root, begin := shell(t, third, "exit 3")
	if err := third.Attach(root, 77, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	begin()
	gone := false
	until(t, third, func(e *watch.Event) error {
		if e.Kind == watch.Free && e.Proc == root {
			if gone = true; e.Usage == nil {
				t.Error("its exit has no record")
			}
		}
		return nil
	}, func() bool { return gone })
}

// What is of other sockets, or no state at all, is refused; so is a descriptor that is none of the kernel's event sockets.
func TestInheritRefuses(t *testing.T) {
	first, other := realEngine(t), realEngine(t)
	state, err := first.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	for name, tt := range map[string]struct {
		from  Sockets
		state []byte
		want  error
	}{
		"other sockets": {other.Sockets(), state, ErrHandover},
		"no state":      {first.Sockets(), []byte("{"), ErrHandover},
		"a pipe":        {Sockets{pipe[0], pipe[1]}, state, unix.ENOTSOCK},
		"the wrong way": {Sockets{first.Sockets().Stats, first.Sockets().Events}, state, nil},
	} {
		c, err := OpenConnector(Proc, first.Cgroups, first.Log, Inherit(tt.from, tt.state))
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
		}
		if tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzHandover: whatever the state says, the lineage is whole or refused.
func FuzzHandover(f *testing.F) {
	l := newLineage()
	play(l, [3]int32{'f', 0, 1}, [3]int32{'f', 1, 5}, [3]int32{'t', 5, 6}, [3]int32{'f', 1, 5})
	l.bound(7, []watch.ID{l.of(1).id})
	var h handover
	l.handOver(&h)
	b, err := json.Marshal(h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h handover
		if json.Unmarshal(b, &h) != nil {
			return
		}
		l, err := h.lineage()
		if err != nil {
			return
		}
		for _, pid := range l.markedPIDs() {
			play(l, [3]int32{'f', pid, pid + 1}, [3]int32{'e', pid, pid})
		}
		for _, m := range h.Marks {
			l.unbound(m.Label)
		}
	})
}
