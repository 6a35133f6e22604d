package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// host is a host on which processes fork and exit; orphans go to the reaper, or to init where it is no ancestor. It knows
// better than any record who descends from whom.
type host struct {
	now     time.Time
	living  []*hosted
	gone    []job.Process
	nextPID int32
	reaper  *hosted
}

type hosted struct {
	job.Process
	parent *hosted // nil: init
	ours   bool    // descends from the reaper
}

func (h *host) tick() time.Time {
	h.now = h.now.Add(time.Microsecond)
	return h.now
}

// pid goes round among a few, so that they are used again as soon as can be.
func (h *host) pid() int32 {
	for {
		h.nextPID = max(h.nextPID-1, 0)%20 + 2
		if !slices.ContainsFunc(h.living, func(p *hosted) bool { return p.PID == h.nextPID }) {
			return h.nextPID
		}
	}
}

func (h *host) fork(parent *hosted) *hosted {
	start := h.tick()
	p := &hosted{Process: job.Process{PID: h.pid(), Started: &start}, parent: parent}
	p.ours = parent != nil && (parent.ours || parent == h.reaper)
	h.living = append(h.living, p)
	return p
}

func (p *hosted) process() job.Process {
	ppid := int32(1)
	if p.parent != nil {
		ppid = p.parent.PID
	}
	q := p.Process
	q.PPID = &ppid
	return q
}

func (h *host) exit(p *hosted) {
	end := h.tick()
	q := p.process()
	q.Ended = &end
	h.gone = append(h.gone, q)
	if p.ours {
		ours := int64(1)
		h.gone[len(h.gone)-1].CPU = &ours // the mark that the test goes by
	}
	h.living = slices.DeleteFunc(h.living, func(q *hosted) bool { return q == p })
	for _, child := range h.living {
		if child.parent == p {
			child.parent = nil
			if child.ours {
				child.parent = h.reaper
			}
		}
	}
}

// TestDescendants: whatever forks, exits, is orphaned and has its pid used again, what descends from the process that keeps
// the orphans is found, and nothing else.
func TestDescendants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &host{now: noon()}
		shell := h.fork(nil)
		began := h.now
		h.reaper = h.fork(shell)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			p := h.living[rapid.IntRange(0, len(h.living)-1).Draw(t, "who")]
			if p == h.reaper && len(h.living) > 8 || len(h.living) > 18 {
				continue
			}
			if p != h.reaper && rapid.IntRange(0, 2).Draw(t, "exit") == 0 {
				if len(h.living) > 1 {
					h.exit(p)
				}
				continue
			}
			h.fork(p)
		}
		list := slices.Clone(h.gone)
		var want []bool
		for _, p := range list {
			want = append(want, p.CPU != nil)
		}
		listed := rapid.Bool().Draw(t, "the reaper is in the list")
		for _, p := range h.living {
			if p != h.reaper || listed {
				list = append(list, p.process())
				want = append(want, p.ours)
			}
		}
		got, strays := descendants(list, h.reaper.PID, began)
		if !slices.Equal(got, want) || strays != 0 {
			t.Fatalf("%+v\nare %v, not %v, strays %d", list, got, want, strays)
		}
	})
}

// Who leaves between two questions is counted once.
func TestMerge(t *testing.T) {
	asked := noon()
	at := func(ms int) *time.Time { end := asked.Add(time.Duration(ms) * time.Millisecond); return &end }
	gone := []job.Process{{PID: 2, Ended: at(-5000)}, {PID: 3, Ended: at(1)}, {PID: 4, Ended: at(-1)}, {PID: 5}}
	live := []job.Process{{PID: 2}, {PID: 3}, {PID: 4}, {PID: 6}}
	var pids []int32
	for _, p := range merge(gone, live, asked) {
		pids = append(pids, p.PID)
	}
	if want := []int32{2, 3, 4, 5, 2, 6}; !slices.Equal(pids, want) {
		t.Errorf("%v, not %v", pids, want)
	}
}
