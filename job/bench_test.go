package job

import (
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// BenchmarkMember is the life of one short member process through watch, pnotify and the table: fork, exit, record.
func BenchmarkMember(b *testing.B) {
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
		e = watch.Event{Kind: watch.Free, Proc: id, TID: 2, Valid: true, Usage: u}
		if err := w.watch.Dispatch(&e); err != nil {
			b.Fatal(err)
		}
		w.table.Effects()
	}
}
