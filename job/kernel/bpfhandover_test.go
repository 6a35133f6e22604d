package kernel

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// handOver puts another engine in the place of a stage's, as after a restart in order.
func (s *stage) handOver() error {
	var h bpfHandover
	b, err := json.Marshal(s.c.state())
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		return err
	}
	next := &BPF{engine: s.c.engine, waiting: make(map[known]*proc)}
	next.lin = newLineage()
	if err := next.fill(&h); err != nil {
		return err
	}
	s.c = next
	return nil
}

// TestBPFHandsOver: the next engine goes on with the same processes: those that have exited, their threads, and who inherited from nobody.
func TestBPFHandsOver(t *testing.T) {
	s := newStage(t)
	s.play("c10<5 t10.11 t10.12 f10.12 c20<5 E20.20 c30<40/8")
	ten, adrift := s.c.lin.of(10).id, s.c.lin.of(30).id
	if err := s.handOver(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.play("C10 c31<30/8 f20.20 e10.11 E10.10 f10.10 f10.11"), "c31<0 u20=1 e10.11 e10.10 F10=10 u10=3"; got != want {
		t.Errorf("emitted are %s, want %s", got, want)
	}
	if got := s.c.SettleLate(); len(got) != 2 || got[0] != adrift || s.c.lin.gen <= ten.Gen {
		t.Errorf("adrift are %v, want %v and another", got, adrift)
	}
}

// TestBPFRefusesToGoOn: what is no state of an engine is refused.
func TestBPFRefusesToGoOn(t *testing.T) {
	one := handedProc{ID: watch.ID{PID: 10, Gen: 1}, Start: 5}
	again := one
	again.ID.Gen = 2
	for name, h := range map[string]bpfHandover{
		"alive twice":                {Gen: 2, Live: []handedProc{one, again}},
		"has exited twice":           {Gen: 2, Waiting: []handedProc{one, again}},
		"has exited, and is alive":   {Gen: 2, Live: []handedProc{one}, Waiting: []handedProc{one}},
		"of a generation to come":    {Gen: 1, Live: []handedProc{again}},
		"exited of a later one":      {Gen: 1, Waiting: []handedProc{again}},
		"no process that has exited": {Gen: 1, Waiting: []handedProc{{ID: watch.ID{PID: -1, Gen: 1}}}},
	} {
		s := newStage(t)
		if err := s.c.fill(&h); err == nil || s.c.lin.of(5) == nil {
			t.Errorf("%s: %v, process 5 is %v", name, err, s.c.lin.of(5))
		}
	}
}

// FuzzBPFTakeOver: whatever the state says, the engine goes on from it or refuses it.
func FuzzBPFTakeOver(f *testing.F) {
	s := newStage(f)
	s.play("c10<5 t10.11 f10.11 c20<5 t20.21 E20.20 c30<40/8")
	b, err := json.Marshal(s.c.state())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h bpfHandover
		if json.Unmarshal(b, &h) != nil {
			return
		}
		s := newStage(t)
		if s.c.fill(&h) != nil {
			return
		}
		for _, one := range slices.Concat(h.Live, h.Waiting) {
			s.starts[one.ID.PID] = one.Start
		}
		s.play("C10 t10.12 x10.11 e10.12 f10.12 E10.10 f10.10 f20.20 f20.21 c31<30/8 c30<31 E5.5 f5.5")
		s.c.SettleLate()
		s.c.clock.mono += 2 * freeMost
		s.c.expire(s.emit)
		if len(s.c.waiting) > len(h.Waiting) {
			t.Errorf("%d wait, of %d: %s", len(s.c.waiting), len(h.Waiting), strings.Join(s.told, " "))
		}
	})
}
