package label

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A fork beyond a limit fails, is told of, and is no process; whoever has no label forks on.
func TestIntegrationRefuses(t *testing.T) {
	l := follow(t, place(t))
	e := l.Events()
	if how, why := e.Refusal(); how == NoRefusal {
		t.Skip(why)
	}
	s := start(t, "sh", "-c", "read x; sleep 1000 & sleep 1000 & sleep 1000 & wait")
	if err := e.Account(42); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Set(s.pid(), Label{In: 42}, sure); err != nil {
		t.Fatal(err)
	}
	if err := e.Limit(42, 3, 1); err != nil {
		t.Fatal(err)
	}
	s.tell()
	born := 0
	hear(t, e, func(ev *Event) bool {
		switch {
		case ev.Kind == Clone:
			born++
		case ev.Kind == Refused && (ev.PID != s.pid() || ev.Other != int32(unix.EAGAIN) || ev.Job != 42):
			t.Errorf("%+v", *ev)
		}
		return ev.Kind == Refused
	})
	_ = start(t, "true").cmd.Wait()
	total, _, err := e.Total(42)
	if err != nil || born != 2 || int64(total.Processes) > 2 {
		t.Errorf("%d were born, %d are counted, %v", born, total.Processes, err)
	}
}

// A limit that is taken away is none.
func TestIntegrationUnlimit(t *testing.T) {
	e := follow(t, place(t)).Events()
	how, why := e.Refusal()
	t.Log(how, why)
	if err := e.Limit(42, 0, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // there may be none
		if err := e.Unlimit(42); err != nil {
			t.Error(err)
		}
	}
}
