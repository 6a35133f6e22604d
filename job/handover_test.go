package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job/watch"
)

// handOver puts a new table in the place of the world's, which goes on where the old one stopped.
func (w *world) handOver(tb interface{ Fatal(...any) }) error {
	b, err := w.table.HandOver()
	if err != nil {
		return err
	}
	next := newWorld(tb)
	if err := next.table.TakeOver(b); err != nil {
		return err
	}
	next.table.Reserve(w.table.next, w.table.limit)
	next.table.Sync(w.table.wall, w.table.mono)
	w.watch, w.table = next.watch, next.table
	return nil
}

// What a table knows of its members is known to the one that takes over, to the last word of the records.
func TestHandOver(t *testing.T) {
	records := func(hand bool) (out []Record) {
		w := newWorld(t)
		w.table.cfg.Program = func(watch.ID) *watch.Program { return &watch.Program{Exe: "/bin/found", Read: w.now} }
		jid, err := w.table.Allocate(0)
		must(t, err)
		_, err = w.table.Create(Request{Proc: w.id(10), JID: jid, Info: Info{User: "u"}, Placement: Placement{Before: Spent{CPU: 3}}})
		must(t, err)
		must(t, w.fork(10, 11, false))
		must(t, w.fork(10, 12, true))
		must(t, w.table.Attach(w.id(20), jid, Entrant{Known{20, 200}, Spent{CPU: 7}}))
		w.tick()
		for _, exe := range []string{"/bin/\xff", "/bin/b"} {
			what := &watch.Program{Exe: exe, Args: "a\x00\xfe\x00", Read: w.now + 1}
			must(t, w.dispatch(watch.Event{Kind: watch.Exec, Proc: w.id(11), TID: 11, Program: what}))
			w.tick()
		}
		must(t, w.fork(11, 13, false))
		cpu := int64(50)
		must(t, w.table.Checkpoint(jid, w.table.wall.UnixNano(), map[watch.ID]*watch.Usage{w.id(11): used(9)}, &cpu))
		must(t, w.exit(12, 256, used(4), false))
		must(t, w.table.Killed(jid))
		w.table.CloseSession(w.id(10))
		must(t, w.exitLater(11, 9, false))
		out = append(out, taken(w.table.Effects())...)
		pass(t, w, jid, hand)
		w.tick()
		for _, pid := range []int32{10, 13} {
			must(t, w.exit(pid, int64(pid), used(100), false))
		}
		must(t, w.exitLater(20, 20, false))
		out = append(out, taken(w.table.Effects())...)
		pass(t, w, jid, hand)
		w.tick()
		must(t, w.used(20, used(100), false))
		must(t, w.used(11, used(100), true))
		out = append(out, taken(w.table.Effects())...)
		return out
	}
	if d := cmp.Diff(records(false), records(true)); d != "" {
		t.Errorf("the books are others:\n%s", d)
	}
}

// pass hands the table over, if it is to be, and looks at the job before and after.
func pass(t *testing.T, w *world, jid JID, hand bool) {
	t.Helper()
	if !hand {
		return
	}
	before, err := w.table.Saved(jid)
	must(t, err)
	due := w.table.Due()
	must(t, w.handOver(t))
	after, err := w.table.Saved(jid)
	must(t, err)
	if d := cmp.Diff(before, after); d != "" || w.table.Due() != due {
		t.Errorf("%d records are due, %d were; the job is another:\n%s", w.table.Due(), due, d)
	}
}

// TestTakeOverRefusesWhoIsThereAndGone: an identity is of one process, and that is either a member or has gone.
func TestTakeOverRefusesWhoIsThereAndGone(t *testing.T) {
	const job = `{"Jobs":[{"Saved":{"jid":"0x0000000100000005","boot_id":"boot"},"Members":[{"ID":{"PID":1}}],"Due":[%s]}]}`
	for due, want := range map[string]string{
		`{"ID":{"PID":1}}`:                  "in a job already",
		`{"ID":{"PID":2}},{"ID":{"PID":2}}`: "gone twice",
		`{"Record":{"PID":2}}`:              "no process",
		`{"ID":{"PID":2}},{"ID":{"PID":3}}`: "",
	} {
		w := newWorld(t)
		err := w.table.TakeOver(fmt.Appendf(nil, job, due))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", due, err, want)
		}
	}
}

func used(cpu int64) *watch.Usage {
	return &watch.Usage{Groups: watch.GroupBasic | watch.GroupCPU, CPU: cpu, Elapsed: int64(time.Second)}
}

// taken copies the records, and the job's end as one.
func taken(effects []Effect) (out []Record) {
	for _, e := range effects {
		switch e := e.(type) {
		case *Record:
			out = append(out, *e)
		case EndedJob:
			out = append(out, Record{
				JID: e.Saved.JID, Exe: string(e.Saved.EndReason), Usage: watch.Usage{CPU: *e.Saved.CPU}, Start: int64(*e.Saved.ExitStatus),
				End: e.Saved.Ended.UnixNano(), PID: int32(e.Saved.TotalProcesses), Estimated: e.Saved.Estimated,
			})
		}
	}
	return out
}

// FuzzTakeOver: whatever the file says, the table is whole or refuses it.
func FuzzTakeOver(f *testing.F) {
	w := newWorld(f)
	if _, err := w.table.Create(Request{Proc: w.id(10), JID: NewJID(1, 5)}); err != nil {
		f.Fatal(err)
	}
	b, err := w.table.HandOver()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"Jobs":[{"Saved":{"jid":"0x0000000100000005","boot_id":"boot"},"Members":[{"ID":{"PID":1}},{"ID":{"PID":1}}]}]}`))
	f.Add([]byte(`{"Jobs":[{"Saved":{"jid":"0x0000000100000005","boot_id":"boot"},"Due":[{"ID":{"PID":1}}],"Ending":{"Mono":5,"Reason":"exit"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		next := newWorld(t)
		if next.table.TakeOver(b) != nil {
			return
		}
		for _, in := range next.table.Jobs() {
			ids, err := next.table.Members(in.JID)
			must(t, err)
			for _, id := range ids {
				if next.table.Find(id) != in.JID {
					t.Errorf("%v is in %v, not in %v", id, next.table.Find(id), in.JID)
				}
				must(t, next.watch.Dispatch(&watch.Event{Kind: watch.Free, Proc: id, TID: id.PID, Valid: true}))
			}
		}
		_, err := next.table.HandOver()
		must(t, err)
		for _, id := range next.table.due.IDs() {
			must(t, next.watch.Dispatch(&watch.Event{Kind: watch.Used, Proc: id, TID: id.PID}))
		}
		if n := next.table.Due(); n > 0 {
			t.Errorf("%d records are due still", n)
		}
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
