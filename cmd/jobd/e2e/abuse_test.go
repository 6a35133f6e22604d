package e2e

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What jobd may take while somebody abuses it: beyond what it had before, and in files.
const (
	mostGrown = 256 << 20
	mostFiles = 600
)

// patientStack waits for longer than pam_job.so does by itself: on a machine that is busy with other things half a second may
// pass without anybody's doing.
const patientStack = "session required %m timeout=15000"

// moduleTimeout is how long it waits by itself.
const moduleTimeout = 500 * time.Millisecond

// Whatever a user does to jobd.sock, logins beside it get their jobs, most of them within pam_job.so's timeout, others are
// answered, and jobd stays within bounds. How long logins take is written down.
func TestAbuse(t *testing.T) {
	h := newHost(t)
	h.mayLose = true // lines about what a panicking handler would leave are looked for below
	w := h.newWorld(map[string]string{"svc": patientStack})
	h.manyRecords(t, w)
	for _, name := range append([]string{""}, slices.Sorted(maps.Keys(abuses()))...) {
		t.Run(cmp.Or(name, "nobody"), func(t *testing.T) {
			h.use(t)
			before := h.footprint(t)
			var a *abuser
			if name != "" {
				a = h.abused(t, aliceUID, name)
			}
			most := h.loginsBeside(t, w)
			if a != nil {
				t.Logf("%d rounds; memory %d MiB, before %d; %d files, before %d",
					a.end(t), most.memory>>20, before.memory>>20, most.files, before.files)
			}
			if most.memory > before.memory+mostGrown || most.files > mostFiles {
				t.Errorf("jobd took %d MiB and %d files, before %d and %d", most.memory>>20, most.files, before.memory>>20, before.files)
			}
		})
	}
}

// manyRecords gives the abuser books of her own: a list of her processes is longer than any buffer.
func (h *host) manyRecords(t *testing.T, w *world) {
	t.Helper()
	for range 10 {
		l := w.login("svc", "alice", nil, built.lab, "storm", "2000")
		if l.wait(); l.jid == 0 {
			t.Fatal("no job")
		}
		if in := h.ended(l.jid); in.TotalProcesses < 2000 {
			t.Fatalf("%d processes", in.TotalProcesses)
		}
	}
}

// loginsBeside logs somebody else in, again and again, asks as root and as another user, and looks what jobd takes meanwhile.
func (h *host) loginsBeside(t *testing.T, w *world) (most footprint) {
	t.Helper()
	const logins = 20
	var took []time.Duration
	without, slow := 0, 0
	for range logins {
		start := time.Now()
		l := w.login("svc", "bob", nil, "true")
		took = append(took, time.Since(start))
		if took[len(took)-1] > moduleTimeout {
			slow++
		}
		if l.wait(); l.jid == 0 {
			without++
		}
		if _, err := h.client.Status(h.soon()); err != nil {
			t.Errorf("root is not answered: %v", err)
		}
		now := h.footprint(t)
		most = footprint{max(most.memory, now.memory), max(most.files, now.files)}
	}
	if text, errs, code := h.jobctl(bobUID, "list"); code != 0 {
		t.Errorf("another user's list: %d\n%s%s", code, text, errs)
	}
	slices.Sort(took)
	t.Logf("a login, its program and all, takes %s, at most %s; of %d %d took longer than %s", took[logins/2], took[logins-1], logins, slow, moduleTimeout)
	if without > 0 || slow > logins/2 {
		t.Errorf("of %d logins %d got no job, and %d took longer than %s", logins, without, slow, moduleTimeout)
	}
	return most
}

// footprint is what a jobd takes.
type footprint struct {
	memory int64 // bytes, resident, of its own
	files  int
}

func (h *host) footprint(t *testing.T) (f footprint) {
	t.Helper()
	pid := int32(h.cmd.Process.Pid)
	b, err := os.ReadFile(procFile(pid, "status"))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kib); err == nil {
			f.memory = kib << 10
		}
	}
	open, err := os.ReadDir(procFile(pid, "fd"))
	must(t, err)
	f.files = len(open)
	return f
}

// Anybody can reach the metrics: connections that say nothing, or never take the answer, cost scrapes and nothing else.
func TestAbuseOfMetrics(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": patientStack})
	for _, say := range []string{"", "GET /metrics HTTP/1.1\r\nHost: x\r\n", strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200)} {
		var held []net.Conn
		for range 1500 {
			c, err := net.DialTimeout("tcp", h.metrics, patience)
			must(t, err)
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, say)
			held = append(held, c)
		}
		most := h.loginsBeside(t, w)
		if t.Logf("memory %d MiB, %d files", most.memory>>20, most.files); most.files > mostFiles {
			t.Errorf("jobd has %d files open", most.files)
		}
		for _, c := range held {
			c.Close()
		}
	}
	until(t, "a scrape, when they have gone", func() bool {
		resp, err := (&http.Client{Timeout: time.Second}).Get("http://" + h.metrics + "/metrics")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
}
