package job

import (
	"slices"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// TestFamilyBelowAnEndedJob: a job that was made in one that has ended since is still of the family of the outermost, after a
// restart too.
func TestFamilyBelowAnEndedJob(t *testing.T) {
	w := newWorld(t)
	var jids []JID
	for pid := int32(1); pid <= 4; pid++ {
		if pid > 1 {
			if err := w.fork(pid-1, pid, false); err != nil {
				t.Fatal(err)
			}
		} else {
			w.id(pid)
		}
		jid, err := w.table.Allocate(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.table.Create(Request{Proc: w.id(pid), JID: jid, Nested: true}); err != nil {
			t.Fatal(err)
		}
		jids = append(jids, jid)
	}
	family := func(t *testing.T, table *Table) {
		t.Helper()
		got := table.Family(jids[0])
		slices.Sort(got)
		if want := []JID{jids[0], jids[3]}; !slices.Equal(got, want) {
			t.Errorf("the family of %v is %v, want %v", jids[0], got, want)
		}
	}
	for _, pid := range []int32{2, 3} {
		if err := w.exit(pid, 0, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	family(t, w.table)

	after := newWorld(t)
	for i, pid := range map[int]int32{0: 1, 3: 4} {
		s, err := w.table.Saved(jids[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := after.table.Restore(s, after.id(pid), []watch.ID{after.id(pid)}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	family(t, after.table)
}
