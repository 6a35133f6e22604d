package feed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/watch"
)

// put writes so many events of a job into a ring.
func put(r *Ring, n int, jid job.JID) {
	for range n {
		e := r.Next()
		e.Kind, e.JID, e.PID, e.TID, e.UID = Exec, jid, 7, 7, uint32(jid)
		r.Put()
	}
	r.Tell()
}

// lines reads until there is nothing more to read just now.
func lines(t *testing.T, x *Reader) (out []control.WatchEvent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for x.strays || x.next < x.ring.told.Load() {
		b, err := x.Next(ctx, nil)
		for line := range strings.Lines(string(b)) {
			var e control.WatchEvent
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			out = append(out, e)
		}
		if err != nil {
			return out
		}
	}
	return out
}

func started() *Ring {
	r := New()
	r.Start()
	return r
}

func TestReaderSeesEachOnce(t *testing.T) {
	r := started()
	x := r.Reader(Filter{JID: 3})
	for range 5 {
		put(r, 2000, 3)
		put(r, 2000, 4)
		if got := len(lines(t, x)); got != 2000 {
			t.Fatalf("%d lines", got)
		}
	}
}

// Who is slower than the ring is told how many were missed, and gets all the rest.
func TestSlowReaderIsTold(t *testing.T) {
	r := started()
	x := r.Reader(Filter{})
	put(r, holds+5000, 3)
	got := lines(t, x)
	first := got[0]
	if first.Event != control.EventLost || first.Lost == nil || first.Why != "slow" || !x.Missed() || x.Missed() {
		t.Fatalf("the first line is %s", first.Event)
	}
	if n := uint64(len(got)-1) + *first.Lost; n != holds+5000 {
		t.Errorf("%d lines and lost: of %d", n, holds+5000)
	}
}

func TestCursorGoesOnWhereItWas(t *testing.T) {
	r := started()
	x := r.Reader(Filter{})
	put(r, 10, 3)
	all := lines(t, x)
	at, err := control.ParseCursor(all[3].Cursor)
	if err != nil {
		t.Fatal(err)
	}
	y := r.Reader(Filter{})
	if !y.From(at) {
		t.Fatal("refused")
	}
	if got := lines(t, y); len(got) != 6 || got[0].Cursor != all[4].Cursor {
		t.Errorf("%d lines", len(got))
	}
	if y.From(control.Cursor{Run: r.run, Next: r.head + 1}) {
		t.Error("a cursor of what is to come was taken")
	}
}

func TestCursorThatIsTooOld(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(r *Ring) *Ring
		why  string
		n    bool
	}{
		"overtaken": {func(r *Ring) *Ring { put(r, holds+10, 3); return r }, "cursor", true},
		"given up":  {func(r *Ring) *Ring { r.Stop(); r.Start(); return r }, "cursor", false},
		"restart":   {func(*Ring) *Ring { return started() }, "restart", false},
	} {
		r := started()
		put(r, 1, 3)
		at := r.Head()
		r = c.lose(r)
		x := r.Reader(Filter{})
		if !x.From(at) {
			t.Fatal(name, "refused")
		}
		put(r, 1, 3)
		got := lines(t, x)
		if got[0].Event != control.EventLost || got[0].Why != c.why || (got[0].Lost != nil) != c.n {
			t.Errorf("%s: %+v", name, got[0])
		}
		if last := got[len(got)-1]; last.Event != control.EventExec {
			t.Errorf("%s: the rest did not come", name)
		}
	}
}

// A reader of one job ends with it, one of a subscription when all are gone, whatever kinds it asked for.
func TestReaderEnds(t *testing.T) {
	r := started()
	x := r.Reader(Filter{JID: 3, Kinds: []string{"exec"}})
	y := r.Reader(Filter{Slot: 2, Kinds: []string{"exec"}})
	z := r.Reader(Filter{JID: 4})
	put(r, 1, 3)
	for _, k := range []Kind{JobEnd, Gone} {
		e := r.Next()
		e.Kind, e.JID = k, 3
		if k == Gone {
			e.Slot = 2
		}
		r.Put()
	}
	z.ToHere()
	for name, x := range map[string]*Reader{"of a job": x, "of a subscription": y, "to here": z} {
		_ = lines(t, x)
		if _, err := x.Next(t.Context(), nil); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was run is often read a moment after the exec: that, and what comes behind it, is kept back until then, and not for long.
func TestLateExec(t *testing.T) {
	r := started()
	x := r.Reader(Filter{})
	put(r, 1, 3)
	soon, never := &watch.Program{}, &watch.Program{}
	for pid, p := range []*watch.Program{soon, never, nil} {
		r.Next().Kind, r.Next().JID, r.Next().PID = Exec, 3, int32(pid)
		r.PutExec(p, 1)
	}
	r.Tell()
	y := r.Reader(Filter{}) // begins behind what is kept back
	if got := lines(t, x); len(got) != 1 || !r.Keeps() {
		t.Fatalf("%d lines are told", len(got))
	}
	*soon = watch.Program{Exe: "/bin/true", Read: 1}
	for r.Keeps() {
		r.Tell()
	}
	if got := lines(t, x); len(got) != 3 || got[0].Exe != "/bin/true" || got[1].Exe != "" {
		t.Errorf("%+v", got)
	}
	put(r, 1, 3)
	if got := lines(t, y); len(got) != 1 {
		t.Errorf("who came later is told of %d", len(got))
	}
	r.Next().Kind = Exec
	r.PutExec(never, 1)
	put(r, lateMost+1, 3)
	if r.Keeps() {
		t.Error("one that is never read keeps all others back")
	}
}

// Who looked after the process had run another program saw that one.
func TestExecOverTaken(t *testing.T) {
	r := started()
	x := r.Reader(Filter{Slot: 1})
	at := int64(0)
	for _, what := range []watch.Program{{Exe: "/bin/true", Read: 25}, {Exe: "/bin/true", Read: 26}, {Exe: "/bin/sh", Read: 40}} {
		at += 10
		for slot := range uint8(3) { // it is told for subscriptions, too
			e := r.Next()
			e.Kind, e.JID, e.PID, e.TID, e.Slot = Exec, 3, 7, 7, slot
			r.PutExec(&what, at)
		}
	}
	r.Tell()
	if got := lines(t, x); len(got) != 3 || got[0].Exe != "" || got[1].Exe != "/bin/true" || got[2].Exe != "/bin/sh" {
		t.Errorf("%+v", got)
	}
}

func TestFilters(t *testing.T) {
	uid := uint32(5)
	e := &Entry{Kind: Exec, JID: 3, UID: 5, User: "a"}
	for _, c := range []struct {
		f    Filter
		e    Entry
		want bool
	}{
		{Filter{}, *e, true},
		{Filter{JID: 4}, *e, false},
		{Filter{UID: &uid, User: "a", JID: 3, Kinds: []string{"exec"}}, *e, true},
		{Filter{UID: new(uint32)}, *e, false},
		{Filter{User: "b"}, *e, false},
		{Filter{Kinds: []string{"free"}}, *e, false},
		{Filter{}, Entry{Kind: Exec}, false},
		{Filter{Host: true}, Entry{Kind: Exec}, true},
		{Filter{Host: true}, Entry{Kind: Exec, Slot: 1}, false},
		{Filter{Slot: 1}, Entry{Kind: Exec, Slot: 1}, true},
		{Filter{Slot: 1}, *e, false},
		{Filter{Slot: 1, Kinds: []string{"exec"}}, Entry{Kind: Lost}, true},
	} {
		if got := started().Reader(c.f).wants(&c.e); got != c.want {
			t.Errorf("%+v of %+v: %v", c.f, c.e, got)
		}
	}
}

// Readers and the writer need no lock: the race detector looks, and every reader accounts for every event.
func TestReadersBesideTheWriter(t *testing.T) {
	r := started()
	const events = holds + holds/2
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 4 {
		x := r.Reader(Filter{JID: job.JID(1 + i%2)})
		x.until = r.head + events
		all.Go(func() {
			var got, lost uint64
			for {
				b, err := x.Next(ctx, nil)
				for line := range strings.Lines(string(b)) {
					var e control.WatchEvent
					if err := json.Unmarshal([]byte(line), &e); err != nil {
						t.Error(err)
					}
					if e.Lost != nil {
						lost += *e.Lost
					} else {
						got++
					}
				}
				if err != nil {
					break
				}
			}
			if got > events/2 || got+lost < events/2 {
				t.Errorf("%d events and %d lost of %d", got, lost, events/2)
			}
		})
	}
	for range events / 200 {
		put(r, 100, 1)
		put(r, 100, 2)
	}
	put(r, events%200, 1)
	all.Wait()
}

// TestLineIsWhatTheClientReads: a line has what its entry has, under the names that the client knows, and is JSON whatever names hold.
func TestLineIsWhatTheClientReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{
			Kind: Kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind")), At: rapid.Int64Range(0, 1<<60).Draw(t, "at"),
			JID: job.JID(rapid.Uint64().Draw(t, "jid")), PID: rapid.Int32Range(0, 5).Draw(t, "pid"), TID: rapid.Int32().Draw(t, "tid"),
			Parent: rapid.Int32Range(0, 5).Draw(t, "parent"), Value: rapid.Int64Range(0, 1<<31).Draw(t, "value"),
			Real: rapid.Int64Range(0, 1<<31).Draw(t, "real"), Valid: rapid.Bool().Draw(t, "valid"), Inferred: rapid.Bool().Draw(t, "inferred"),
			Text: rapid.String().Draw(t, "text"),
		}
		if e.Kind == JobStart || e.Kind == JobEnd {
			e.Job = &job.Info{UID: 7, User: rapid.String().Draw(t, "user"), Service: "sshd", EndReason: job.EndExit}
		}
		line := e.append(nil, control.Cursor{Run: 1, Next: 2})
		var got control.WatchEvent
		var all map[string]any
		if err := errors.Join(json.Unmarshal(line, &got), json.Unmarshal(line, &all)); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		again, _ := json.Marshal(got)
		var known map[string]any
		if err := json.Unmarshal(again, &known); err != nil {
			t.Fatal(err)
		}
		for name, v := range all {
			if _, ok := known[name]; !ok {
				t.Fatalf("the client knows no %q", name)
			}
			if name != "time" && v != nil && v != "" && known[name] == nil {
				t.Fatalf("%s: %v is lost", name, v)
			}
		}
		if got.Event != names[e.Kind] || !got.Time.Equal(time.Unix(0, e.At)) || got.Cursor != "0000000000000001-2" {
			t.Fatalf("%s", line)
		}
		if (got.JID != nil) != (e.JID != 0) || got.JID != nil && (*got.JID != e.JID || *got.Seq != e.JID.Seq()) {
			t.Fatalf("of job %s: %s", e.JID, line)
		}
		if (got.PID != nil) != (e.PID != 0) || got.PID != nil && (*got.PID != e.TID || *got.TGID != e.PID || got.Estimated != e.Inferred) {
			t.Fatalf("of process %d: %s", e.PID, line)
		}
		if e.Kind == Exec && string(got.Exe) != e.Text {
			t.Fatalf("%q is %q", e.Text, got.Exe)
		}
	})
}

// What is told costs the loop nothing but a copy.
func TestTellingMakesNothing(t *testing.T) {
	r := started()
	put(r, 1, 3)
	ev := &watch.Event{Kind: watch.Exec, Proc: watch.ID{PID: 7, Gen: 1}, TID: 7, Program: &watch.Program{Exe: "/bin/true", Read: 3}}
	if n := testing.AllocsPerRun(500, func() {
		e := r.Next()
		e.Kind = Exec
		e.Set(ev)
		r.PutExec(ev.Program, 2)
		r.Tell()
	}); n >= 1 {
		t.Errorf("%v allocations an event", n)
	}
}

func BenchmarkPut(b *testing.B) {
	r := started()
	ev := &watch.Event{Kind: watch.Clone, Proc: watch.ID{PID: 7, Gen: 1}, TID: 7}
	b.ReportAllocs()
	for b.Loop() {
		e := r.Next()
		e.Kind = Clone
		e.Set(ev)
		r.Put()
	}
}

func BenchmarkLine(b *testing.B) {
	e := &Entry{Kind: Exec, JID: job.NewJID(77, 28061081), PID: 4242, TID: 4242, Text: "/usr/bin/make", At: time.Now().UnixNano()}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.append(buf[:0], control.Cursor{Run: 1 << 63, Next: 123456})
	}
}
