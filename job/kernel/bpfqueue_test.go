package kernel

import (
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job/label"
)

// queues makes a queue of a script, as play has it.
func (s *stage) queues(script string) queued {
	q := newQueued(0)
	for _, word := range strings.Fields(script) {
		ev := s.event(word)
		q.see(&ev)
	}
	return q
}

// TestBeforeTheQueue: who was there at the first event that waits, of those that are listed by now and those that are told of in between.
func TestBeforeTheQueue(t *testing.T) {
	const in, out = 7, 0
	for _, c := range []struct {
		name, script string
		label        uint64
		listed       []int32 // tasks of process 10 that are
		alive        bool
		want         []int32 // nil: it was not there
	}{
		{"alive", "", in, []int32{10}, true, []int32{10}},
		{"in no job", "", out, []int32{10}, true, nil},
		{"born in the queue", "c10<5", in, []int32{10}, true, nil},
		{"born and died in it", "c10<5 E10.10 f10.10", in, nil, false, nil},
		{"and not waited for", "c10<5 E10.10", in, []int32{10}, false, nil},
		{"died in it", "E10.10 f10.10", in, nil, false, []int32{10}},
		{"died, and is not waited for", "E10.10", in, []int32{10}, false, []int32{10}},
		{"died before it", "", in, []int32{10}, false, nil},
		{"died before it, and is gone since", "f10.10", in, nil, false, nil},
		{"the pid's next owner is there", "E10.10' f10.10'", in, []int32{10}, true, []int32{10}},
		{"with threads", "x10.11", in, []int32{10, 11, 12}, true, []int32{10, 11, 12}},
		{"of which one is born in it", "t10.12", in, []int32{10, 11, 12}, true, []int32{10, 11}},
		{"one is gone", "e10.11 f10.11", in, []int32{10}, true, []int32{10, 11}},
		{"one is born and gone", "t10.11 e10.11 f10.11", in, []int32{10}, true, []int32{10}},
		{"one had exited before", "f10.11", in, []int32{10}, true, []int32{10, 11}},
		{"all have gone", "t10.12 e10.11 e10.12 E10.10 f10.10 f10.12 f10.11", in, nil, false, []int32{10, 11}},
	} {
		s := newStage(t)
		s.starts[10] = 500
		q, now := s.queues(c.script), make(map[known]listed)
		k := known{10, s.starts[10]}
		if c.listed != nil {
			now[k] = listed{label: label.Label{In: c.label}, tids: c.listed, alive: c.alive}
		}
		was, there := q.before(now)[k]
		if got := slices.Sorted(slices.Values(was.tids)); there != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %s: it was there %v, with tasks %v, want %v", c.name, c.script, there, got, c.want)
		}
	}
}

// TestBPFGoesOnAfterAKill: who is taken in as of before the queue has its books closed by what is read then, with all that it used.
func TestBPFGoesOnAfterAKill(t *testing.T) {
	for _, c := range []struct {
		name, script string
		listed       []int32
		gone         uint64 // what threads have used that are gone by now, ns
		then, want   string
	}{
		{"a thread is born", "t10.11", []int32{10, 11}, 0, "e10.11 E10.10 f10.11 f10.10", "t10.11 e10.11 e10.10 F10=10 u10=2"},
		{"a thread is gone", "e10.11 f10.11", []int32{10}, 1, "E10.10 f10.10", "e10.11 e10.10 F10=10 u10=2"},
		{"a thread was gone before", "", []int32{10}, 1, "E10.10 f10.10", "e10.10 F10=10 u10=2"},
		{"a thread goes late", "e10.11 E10.10 f10.10", nil, 0, "f10.11", "e10.11 e10.10 F10=10 u10=2"},
	} {
		s := newStage(t)
		s.starts[10] = 500
		now := make(map[known]listed)
		if c.listed != nil {
			now[known{10, 500}] = listed{label: label.Label{In: 7}, tids: c.listed, alive: true, gone: label.Used{CPU: c.gone}}
		}
		s.c.takeIn(s.queues(c.script).before(now))
		if got := s.play(c.script + " " + c.then); got != c.want {
			t.Errorf("%s: emitted are %s, want %s", c.name, got, c.want)
		}
	}
}

// TestBPFCorrects: after a loss the table is what the kernel has. Who comes new inherits from whoever is in its job and was told of.
func TestBPFCorrects(t *testing.T) {
	s := newStage(t)
	s.play("c10<5 t10.11 c20<5 c21<20 E20.20")
	five, ten := known{5, s.starts[5]}, known{10, s.starts[10]}
	has := func(in uint64, parent int32, tids ...int32) listed {
		return listed{label: label.Label{In: in}, parent: parent, tids: tids, alive: true}
	}
	s.told = nil
	s.c.correct(map[known]listed{
		five: has(7, 1, 5), ten: has(7, 5, 10, 12), {30, 9000}: has(7, 10, 30), {31, 9001}: has(7, 30, 31),
		{40, 9002}: has(8, 1, 40), {41, 9003}: has(8, 40, 41), {21, 9004}: has(7, 10, 21),
	}, s.emit)
	if got, want := strings.Join(s.told, " "), "c30<10? c31<30? c21<10? F21=0?!"; got != want {
		t.Errorf("emitted are %s, want %s", got, want)
	}
	if got := pids(s.c.SettleLate()); !slices.Equal(got, []int32{40, 41}) {
		t.Errorf("adrift are %v", got)
	}
	if got, want := s.play("E10.10 f10.10 f10.12 f20.20"), "e10.10 F10=10 u10=2 u20=1"; got != want {
		t.Errorf("then %s, want %s", got, want)
	}
}
