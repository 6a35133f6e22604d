package job

import (
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// BenchmarkMember is the life of one short member process through watch, pnotify and the table: fork, exit, record.
func BenchmarkMember(b *testing.B) { benchMember(b, false) }

// BenchmarkMemberUsedLater is the same where the use comes with an event of its own.
func BenchmarkMemberUsedLater(b *testing.B) { benchMember(b, true) }

func benchMember(b *testing.B, later bool) {
	w := newWorld(b)
	jid, err := w.table.Allocate(0)
	if err != nil {
		b.Fatal(err)
	}
	poe := w.id(1)
	if _, err := w.table.Create(Request{Proc: poe, JID: jid}); err != nil {
		b.Fatal(err)
	}
	u := &watch.Usage{Groups: watch.GroupBasic | watch.GroupCPU, Comm: "true", Threads: 1}
	b.ReportAllocs()
	gen := uint32(0)
	var e watch.Event // one for all, as the engine does it
	for b.Loop() {
		gen++
		id := watch.ID{PID: 2, Gen: gen}
		e = watch.Event{Kind: watch.Clone, Proc: id, TID: 2, Parent: poe}
		if err := w.watch.Dispatch(&e); err != nil {
			b.Fatal(err)
		}
		e = watch.Event{Kind: watch.Free, Proc: id, TID: 2, Valid: true, Later: later, Usage: u}
		if err := w.watch.Dispatch(&e); err != nil {
			b.Fatal(err)
		}
		if later {
			e = watch.Event{Kind: watch.Used, Proc: id, TID: 2, Usage: u}
			if err := w.watch.Dispatch(&e); err != nil {
				b.Fatal(err)
			}
		}
		w.table.Effects()
	}
}
