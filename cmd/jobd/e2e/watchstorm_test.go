package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// bareWatch is a stream as it comes, without package control's client. It has begun.
func (h *host) bareWatch(t *testing.T, query string) *bufio.Reader {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(h.runDir(), "jobd.sock"))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(10*patience)))
	_, err = fmt.Fprintf(c, "GET /v1/watch?%s HTTP/1.1\r\nHost: x\r\n\r\n", query)
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	must(t, err)
	return bufio.NewReaderSize(resp.Body, 16<<10)
}

// tallyOf counts what a stream brings until a job has ended: events of one kind, and those that it says were lost.
func tallyOf(lines *bufio.Reader, jid, event string) (n, lost uint64, err error) {
	of, end, gap := []byte(`{"event":"`+event+`"`), []byte(`{"event":"job_end"`), []byte(`{"event":"lost"`)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return n, lost, err
		}
		switch {
		case bytes.HasPrefix(line, of) && bytes.Contains(line, []byte(jid)):
			n++
		case bytes.HasPrefix(line, gap):
			var e control.WatchEvent
			if err := json.Unmarshal(line, &e); err != nil || e.Lost == nil {
				return n, lost, fmt.Errorf("%s: %w", line, err)
			}
			lost += *e.Lost
		case bytes.HasPrefix(line, end) && bytes.Contains(line, []byte(jid)):
			return n, lost, nil
		}
	}
}

// Two hundred watch a storm, of whom fifty never read: the others hear of every event, or are told how many they missed; a login beside it is
// as quick as ever, and jobd takes no more than its ring and what it makes for each.
func TestWatchedStorm(t *testing.T) {
	const watchers, deaf, forks = 200, 50, 5000
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": patientStack})
	s := h.newTold(aliceUID, true)
	before := h.footprint(t)
	for range deaf {
		h.bareWatch(t, "all=true")
	}
	var all sync.WaitGroup
	tellers := 0
	var mu sync.Mutex
	for i := range watchers - deaf {
		query := "all=true"
		if i%2 == 0 {
			query = "job=" + s.jid.String()
		}
		r := h.bareWatch(t, query)
		all.Go(func() {
			n, lost, err := tallyOf(r, s.jid.String(), "clone")
			mu.Lock()
			defer mu.Unlock()
			if lost > 0 {
				tellers++
			}
			if err != nil || n > forks+1 || n+lost < forks+1 {
				t.Errorf("%s: %d clones and %d lost of %d: %v", query, n, lost, forks+1, err)
			}
		})
	}
	s.tell(fmt.Sprintf("%s storm %d; exit 0", built.lab, forks))
	most := h.loginsBeside(t, w)
	all.Wait()
	t.Logf("%d of %d were told that they missed some; memory %d MiB, before %d", tellers, watchers-deaf, most.memory>>20, before.memory>>20)
	if most.memory > before.memory+96<<20 {
		t.Errorf("jobd took %d MiB, before %d", most.memory>>20, before.memory>>20)
	}
	until(t, "a slot for one more", func() bool { // and all that hung up are forgotten
		c, err := h.client.Watch(h.soon(), control.Request{All: true})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if st, err := h.client.Status(h.soon()); err != nil || st.EventsLost != 0 {
		t.Errorf("the storm itself was not heard whole: %d, %v", st.EventsLost, err)
	}
	_ = unix.Kill(int(s.pid()), unix.SIGKILL)
}
