package label

import (
	"testing"

	"golang.org/x/sys/unix"
)

// It goes round a small ring many times, of which only a page at a time is mapped: each child is born and exits once, on whatever
// boundary its records lie.
func TestIntegrationWindows(t *testing.T) {
	const room, turns = 64 << 10, 100
	l, err := FollowIn(place(t), key, room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	r := l.follow.ring
	if err := unix.Munmap(r.window); err != nil {
		t.Fatal(err)
	}
	r.window, r.most = nil, r.page
	s := start(t, "sh", "-c", "while read x; do (exit 1); (exit 2); (exit 3); (exit 4); (exit 5); (exit 6); (exit 7); done")
	if _, err := l.Set(s.pid(), Label{In: 1}, sure); err != nil {
		t.Fatal(err)
	}
	for range turns {
		s.tell()
		born, last := make(map[int32]bool), uint64(0)
		hear(t, l.Events(), func(ev *Event) bool {
			switch ev.Kind {
			case Clone:
				born[ev.PID] = true
			case Exit:
				if last++; !born[ev.PID] || ev.Value != last<<8 {
					t.Fatalf("after %d exits: %+v", last, *ev)
				}
			}
			return last == 7
		})
	}
	if at := r.position(); at < 3*room || uint64(len(r.window)) > 2*r.page {
		t.Errorf("%d bytes were read, %d are mapped", at, len(r.window))
	}
	if lost, err := l.Events().Lost(); lost[Clone]+lost[Exit] != 0 || err != nil { // frees may come all at once
		t.Error(lost, err)
	}
}
