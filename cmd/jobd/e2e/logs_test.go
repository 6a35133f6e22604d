package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// quickJobs makes jobs that end at once.
func (h *host) quickJobs(n int) {
	h.t.Helper()
	for range n {
		in, err := h.client.Create(h.soon(), control.Request{Hold: true, User: "alice"})
		for ; err != nil; in, err = h.client.Create(h.soon(), control.Request{Hold: true, User: "alice"}) {
			if e, ok := err.(*control.Error); !ok || e.Code != control.Unavailable { // numbers are being reserved
				h.t.Fatal(err)
			}
		}
		must(h.t, h.client.Release(h.soon(), ref(in.JID)))
	}
}

// TestQuickJobsAreFewLines: 1,000 jobs that start and end are some lines a second, and counts of the others, which are all in the books.
func TestQuickJobsAreFewLines(t *testing.T) {
	h := plainHost(t)
	h.configured("[log]\nburst = 5\n")
	const jobs = 1000
	h.quickJobs(jobs)
	counted := func(what, many string) (n int) {
		n = len(h.linesOf(what))
		for _, m := range regexp.MustCompile(`msg="… and (\d+) more `+many+`" lines=\d+`).FindAllStringSubmatch(h.log.String(), -1) {
			more, err := strconv.Atoi(m[1])
			must(t, err)
			n += more
		}
		return n
	}
	for what, many := range map[string]string{`"job start"`: "jobs started", `"job end"`: "jobs ended"} {
		until(t, what, func() bool { return counted(what, many) == jobs })
		if n := len(h.linesOf(what)); n > jobs/2 {
			t.Errorf("%d lines of %s", n, what)
		}
	}
	until(t, "the books", func() bool {
		list, err := h.client.History(h.soon(), control.Request{})
		must(t, err)
		return len(list) == jobs
	})
}

// TestNobodyReadsTheLog: a reader of standard error that stops reading delays nobody, and is told what it missed.
func TestNobodyReadsTheLog(t *testing.T) {
	h := plainHost(t)
	h.configure("debug = true\n") // every line
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	h.stderr = w
	h.start()
	must(t, w.Close())
	world := h.newWorld(map[string]string{"svc": plainStack})
	dropped := func() uint64 {
		st, err := h.client.Status(h.soon())
		must(t, err)
		return st.Log.Dropped
	}
	for dropped() == 0 { // nothing of this waits for the reader, who has not begun
		h.quickJobs(500)
	}
	l := world.login("svc", "alice", nil, "true") // pam_job waits for half a second at most, then there is no job
	if l.wait(); l.jid == 0 {
		t.Error("a login has no job")
	}
	go func() {
		b := make([]byte, 1<<16)
		for n, err := r.Read(b); err == nil; n, err = r.Read(b) {
			_, _ = h.log.Write(b[:n])
		}
	}()
	h.log.await(t, `level=WARN msg="lines of the log were dropped: nobody read those before them, or they could not be written" lines=\d+`)
}

// TestJournalFields: where standard error is the journal's stream each line is an entry, by which a job is found.
func TestJournalFields(t *testing.T) {
	h := plainHost(t)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	st, err := w.Stat()
	must(t, err)
	sys := st.Sys().(*syscall.Stat_t)
	h.stderr, h.env = w, []string{fmt.Sprintf("JOURNAL_STREAM=%d:%d", sys.Dev, sys.Ino)}
	entries := h.journalSocket()
	h.start()
	must(t, w.Close())
	world := h.newWorld(map[string]string{"svc": plainStack})
	l := world.login("svc", "alice", nil, "sh", "-c", "exit 3")
	l.wait()
	in := h.ended(l.jid)
	find := func(message string) map[string]string {
		var found map[string]string
		until(t, message, func() bool {
			for _, e := range entries() {
				if strings.HasPrefix(e["MESSAGE"], message+" ") && e["JOBD_JID"] == logged(l.jid) {
					found = e
				}
			}
			return found != nil
		})
		return found
	}
	start, end := find("job start"), find("job end")
	for name, want := range map[string]string{
		"PRIORITY": "6", "SYSLOG_IDENTIFIER": "jobd", "JOBD_SEQ": itoa(int(l.jid.Seq())), "JOBD_USER": "alice",
		"JOBD_UID": itoa(aliceUID), "JOBD_SERVICE": "svc", "JOBD_POE_PID": itoa(int(in.POE)),
	} {
		if start[name] != want || end[name] != want {
			t.Errorf("%s is %q and %q, want %q", name, start[name], end[name], want)
		}
	}
	if end["JOBD_END_REASON"] != job.EndExit || end["JOBD_EXIT_STATUS"] != itoa(*in.ExitStatus) || end["JOBD_LASTED"] == "" || end["JOBD_PROCESSES"] == "" {
		t.Errorf("the end is %q", end)
	}
	if s, err := h.client.Status(h.soon()); err != nil || s.Log.To != "journal" {
		t.Errorf("status %+v, %v", s.Log, err)
	}
}

// journalSocket stands where the journal's is, for this jobd alone, and gives what came so far. Nothing here is of several lines.
func (h *host) journalSocket() func() []map[string]string {
	h.t.Helper()
	dir := filepath.Join(h.dir, "journal")
	must(h.t, os.Mkdir(dir, 0o755))
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unixgram"})
	must(h.t, err)
	h.t.Cleanup(func() { conn.Close() })
	h.program = filepath.Join(h.dir, "beside-a-journal")
	must(h.t, os.WriteFile(h.program, []byte(`#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind `+dir+` /run/systemd/journal && exec `+built.jobd+` "$@"' sh "$@"
`), 0o755))
	var mu sync.Mutex
	var all []map[string]string
	go func() {
		b := make([]byte, 1<<16)
		for n, err := conn.Read(b); err == nil; n, err = conn.Read(b) {
			entry := make(map[string]string)
			for line := range strings.Lines(string(b[:n])) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				entry[name] = value
			}
			mu.Lock()
			all = append(all, entry)
			mu.Unlock()
		}
	}()
	return func() []map[string]string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}
