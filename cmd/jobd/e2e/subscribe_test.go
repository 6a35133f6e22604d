package e2e

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

func (h *host) subscribe(t *testing.T, req control.Request) *seen {
	t.Helper()
	w, err := h.client.Subscribe(context.Background(), req)
	return gather(t, w, err)
}

// subscribers gives the names that pnotify knows.
func (h *host) subscribers(t *testing.T) (names []string) {
	t.Helper()
	st, err := h.client.Status(h.soon())
	must(t, err)
	for _, s := range st.Subscribers {
		if s.Kind == "subscriber" {
			names = append(names, s.Name)
		}
	}
	return names
}

// A subscription is to a process and what descends from it, in a job or in none, with what is kept with it, until the last is gone.
func TestSubscribe(t *testing.T) {
	for name, inJob := range map[string]bool{"in a job": true, "in no job": false} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			s := h.newTold(aliceUID, inJob)
			other := h.newTold(aliceUID, inJob)
			sub := h.subscribe(t, control.Request{PID: s.pid(), Name: "build", Data: "step 3 ☃"})
			if names := h.subscribers(t); !slices.Equal(names, []string{"job", "0/build"}) {
				t.Errorf("pnotify knows %s", names)
			}
			other.tell("seq 7")
			s.tell("(sleep 900 & exec " + h.napper("seq") + "); exit 5")
			seq := sub.await("seq", func(e *control.WatchEvent) bool { return ranIt(e, "seq") })
			sleep := sub.await("sleep", func(e *control.WatchEvent) bool { return ranIt(e, "sleep") })
			if (seq.JID != nil) != inJob {
				t.Errorf("exec: %s", seq.Line)
			}
			free := sub.await("the end of the shell", func(e *control.WatchEvent) bool { return e.Event == control.EventFree && *e.PID == s.pid() })
			if *free.ExitStatus != 5 || (free.JID != nil) != inJob {
				t.Errorf("free: %s", free.Line)
			}
			ans, err := h.client.Subscribed(h.soon(), control.Request{Name: "build", PID: *sleep.PID})
			if err != nil || ans.Data != "step 3 ☃" || ans.PID != s.pid() || ans.Processes != 1 {
				t.Errorf("subscribed: %+v, %v", ans, err)
			}
			_, err = h.client.Subscribed(h.soon(), control.Request{Name: "build", PID: other.pid()})
			codeIs(t, err, control.NoProcess)
			kill(t, *sleep.PID)
			list, err := sub.end()
			if last := list[len(list)-1]; err != io.EOF || last.Event != control.EventGone {
				t.Errorf("it ends with %s, %v", last.Line, err)
			}
			for _, e := range list {
				if e.PID != nil && *e.PID == other.pid() || ranIt(&e, "seq") && *e.PID != *seq.PID {
					t.Errorf("it is told of %s", e.Line)
				}
			}
			until(t, "its end", func() bool { return len(h.subscribers(t)) == 1 })
			_, err = h.client.Subscribed(h.soon(), control.Request{Name: "build"})
			codeIs(t, err, control.NoProcess)
		})
	}
}

// It lives with the connection: what is left when the client goes is nothing.
func TestSubscriptionEndsWithItsClient(t *testing.T) {
	h := newHost(t)
	s := h.newTold(aliceUID, true)
	for range 100 { // there are fewer slots
		w, err := h.client.Subscribe(context.Background(), control.Request{PID: s.pid(), Name: "a"})
		must(t, err)
		w.Close()
		until(t, "the end of it", func() bool { return len(h.subscribers(t)) == 1 })
	}
}

// What may not be, or cannot be any more, is said in plain words; and ten thousand are too many.
func TestSubscribeRefused(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{})
	s := h.newTold(aliceUID, true)
	gone := h.newTold(aliceUID, false)
	gone.in.Close()
	must(t, gone.cmd.Wait())
	_, err := h.client.Subscribe(h.soon(), control.Request{PID: gone.pid(), Name: "a"})
	codeIs(t, err, control.NoProcess)
	if text, errs, code := h.jobctl(bobUID, "watch", "--pid", itoa(int(s.pid()))); code != 1 || !strings.Contains(errs, "is not yours") {
		t.Errorf("another's: %d %q %q", code, text, errs)
	}
	first := h.subscribe(t, control.Request{PID: s.pid(), Name: "a"})
	_, err = h.client.Subscribe(h.soon(), control.Request{PID: s.pid(), Name: "a"})
	codeIs(t, err, control.Conflict)
	const many = 10_000
	open, busy := 1, 0
	for i := range many {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := h.client.Subscribe(ctx, control.Request{PID: s.pid(), Name: fmt.Sprint("n", i)})
		if err == nil {
			context.AfterFunc(t.Context(), cancel)
			open++
			continue
		}
		if busy++; busy == 1 {
			codeIs(t, err, control.Busy)
		}
		cancel()
	}
	if open > 31 || open+busy != many+1 {
		t.Errorf("%d are open, %d refused", open, busy)
	}
	s.tell("sleep 0.2")
	first.await("sleep", func(e *control.WatchEvent) bool { return ranIt(e, "sleep") })
	h.selfcheck()
	must(t, unix.Kill(int(s.pid()), unix.SIGKILL))
	if _, err := first.end(); err != io.EOF {
		t.Error(err)
	}
}
