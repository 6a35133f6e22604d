package job

import (
	"slices"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// TestEntrants: who was put into a job is on file with it, as long as it is a member, and is one again after a restart.
func TestEntrants(t *testing.T) {
	w := newWorld(t)
	var jids [2]JID
	for i := range jids {
		jid, err := w.table.Allocate(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.table.Create(Request{Proc: w.id(int32(i + 1)), JID: jid}); err != nil {
			t.Fatal(err)
		}
		jids[i] = jid
	}
	onFile := func(want0, want1 []Entrant) {
		t.Helper()
		for i, want := range [][]Entrant{want0, want1} {
			if s, err := w.table.Saved(jids[i]); err != nil || !slices.Equal(s.Entrants, want) {
				t.Errorf("job %d has %+v on file, want %+v (%v)", i, s.Entrants, want, err)
			}
		}
	}
	seven := Entrant{Known{PID: 7, Start: 70}, Spent{CPU: 5}}
	if err := w.table.Attach(w.id(7), jids[0], seven); err != nil {
		t.Fatal(err)
	}
	if err := w.table.Attach(w.id(8), jids[0], Entrant{}); err != nil { // whose start nobody knows
		t.Fatal(err)
	}
	onFile([]Entrant{seven}, nil)
	w.table.Effects()
	if err := w.table.Move(w.id(7), jids[1], seven); err != nil {
		t.Fatal(err)
	}
	onFile(nil, []Entrant{seven})
	if !slices.ContainsFunc(w.table.Effects(), func(e Effect) bool { c, ok := e.(Changed); return ok && c.Saved.JID == jids[0] }) {
		t.Error("the job that it left would claim it after a restart")
	}

	saved, err := w.table.Saved(jids[1])
	if err != nil {
		t.Fatal(err)
	}
	after := newWorld(t)
	poe := after.id(2)
	if err := after.table.Restore(saved, poe, []watch.ID{poe, after.id(7)}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := after.table.Before(after.id(7)); got != seven.Before {
		t.Errorf("it had used %+v before, want %+v", got, seven.Before)
	}
	if s, err := after.table.Saved(jids[1]); err != nil || !slices.Equal(s.Entrants, []Entrant{seven}) {
		t.Errorf("%+v, %v", s.Entrants, err)
	}
}

// TestPutInAgain: who was taken out of a job and has been put into one since, or has opened one, is not kept out of it after a
// restart.
func TestPutInAgain(t *testing.T) {
	w := newWorld(t)
	create := func(pid int32) JID {
		t.Helper()
		jid, err := w.table.Allocate(0)
		if err != nil {
			t.Fatal(err)
		}
		r := Request{Proc: w.id(pid), JID: jid, Placement: Placement{POEStart: uint64(10 * pid)}}
		if _, err := w.table.Create(r); err != nil {
			t.Fatal(err)
		}
		return jid
	}
	first, other := create(1), create(2)
	for _, pid := range []int32{7, 8, 9} {
		known := Known{PID: pid, Start: uint64(10 * pid)}
		if err := w.table.Attach(w.id(pid), first, Entrant{Known: known}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.table.Detach(w.id(pid), known, Spent{}); err != nil {
			t.Fatal(err)
		}
		w.table.KeepOut(first, []Known{known}, func(Known) bool { return true }) // its parent, out as well, has gone
	}
	for pid, jid := range map[int32]JID{7: first, 8: other} {
		if err := w.table.Attach(w.id(pid), jid, Entrant{Known: Known{PID: pid, Start: uint64(10 * pid)}}); err != nil {
			t.Fatal(err)
		}
	}
	create(9)
	if s, err := w.table.Saved(first); err != nil || len(s.Placement.Detached) != 0 {
		t.Errorf("the job goes on keeping out %+v (%v)", s.Placement.Detached, err)
	}
}

// TestPointOfEntryTakenOut: a job that its point of entry was taken out of does not claim that after a restart.
func TestPointOfEntryTakenOut(t *testing.T) {
	w := newWorld(t)
	var jids []JID
	for pid := int32(1); pid <= 2; pid++ {
		jid, err := w.table.Allocate(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.table.Create(Request{Proc: w.id(pid), JID: jid, Placement: Placement{POEStart: uint64(10 * pid)}}); err != nil {
			t.Fatal(err)
		}
		jids = append(jids, jid)
	}
	if err := w.fork(1, 3, false); err != nil {
		t.Fatal(err)
	}
	w.table.Effects()
	if err := w.table.Move(w.id(1), jids[1], Entrant{Known: Known{PID: 1, Start: 10}}); err != nil {
		t.Fatal(err)
	}
	var filed *Saved
	for _, e := range w.table.Effects() {
		if c, ok := e.(Changed); ok && c.Saved.JID == jids[0] {
			filed = &c.Saved
		}
	}
	if filed == nil || filed.Placement.POEStart != 0 {
		t.Errorf("on file is %+v", filed)
	}
}
