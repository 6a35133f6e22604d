package label

import (
	"testing"
	"time"
)

// While one opens what another has open everything is told once. The end of some may not be told at all: there are kernels that run no
// program while a thread of pid 1 is interrupted, which is where the kernel frees tasks now and then.
func TestIntegrationToldOnce(t *testing.T) {
	dir := place(t)
	l := follow(t, dir)
	s := start(t, "sh", "-c", "read x; i=0; while [ $i -lt 3000 ]; do (exit 1); i=$((i+1)); done; read y")
	if err := l.Events().Account(1); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Set(s.pid(), Label{In: 1}, sure); err != nil {
		t.Fatal(err)
	}
	s.tell()
	type counts struct{ clones, exits, frees int }
	type process struct {
		pid   int32
		start int64 // a pid may be used again
	}
	lives, exits, done := make(map[process]*counts), 0, false
	take := func(e *Events) {
		_, err := e.Each(func(ev *Event) bool {
			one := process{ev.PID, ev.Start}
			c := lives[one]
			if c == nil {
				c = &counts{}
				lives[one] = c
			}
			switch ev.Kind {
			case Clone:
				c.clones++
			case Exit:
				c.exits++
				exits++
			case Free:
				c.frees++
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(60 * time.Second); !done; {
		l.Close()
		time.Sleep(3 * time.Millisecond)
		l = follow(t, dir)
		for range 5 {
			take(l.Events())
			time.Sleep(2 * time.Millisecond)
		}
		frees := 0
		for _, c := range lives {
			frees += c.frees
		}
		if done = exits >= 3000 && frees >= 2940; time.Now().After(end) {
			t.Errorf("%d exits, %d frees", exits, frees)
			break
		}
	}
	bad := 0
	for one, c := range lives {
		if c.exits > 0 && *c != (counts{1, 1, 1}) && *c != (counts{1, 1, 0}) {
			if bad++; bad < 10 {
				t.Errorf("process %d was told of: %+v", one.pid, *c)
			}
		}
	}
	if total, _, err := l.Events().Total(1); err != nil || total.Tasks > 3000 {
		t.Errorf("%+v, %v", total, err)
	}
}
