package logs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
)

// gate is a reader who takes nothing until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	text strings.Builder
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func open(t *testing.T, o Options) (*Log, *slog.Logger, *gate) {
	g := newGate()
	l := Open(g, o)
	t.Cleanup(l.Close)
	return l, slog.New(l.Handler()), g
}

func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Lines have jobs' ids as people type them, and what was said beforehand.
func TestLines(t *testing.T) {
	l, log, g := open(t, Options{Host: "login03"})
	close(g.open)
	jid := job.NewJID(0x12ab, 17)
	log.Info("job start", "jid", jid, "parent_jid", any(nil), "error", errors.New("a\x7fb\nc"), "user", "x y")
	log.With("part", "a").WithGroup("http").Warn("other", "jid", jid)
	log.Debug("not said")
	l.SetHID(0x12ab)
	log.Info("request denied", "jid", jid, "other", job.NewJID(7, 17))
	l.SetLevel(slog.LevelDebug)
	log.Debug("said")
	l.Close()
	for i, want := range []string{
		`level=INFO msg="job start" jid=login03:17 parent_jid=<nil> error="a\\x7fb\nc" user="x y"`,
		`level=WARN msg=other part=a http.jid=login03:17`,
		`level=INFO msg="request denied" jid=login03:17 other=0x0000000700000011`,
		`level=DEBUG msg=said`,
	} {
		line := strings.Split(g.String(), "\n")[i]
		if !strings.HasPrefix(line, "time=") || !strings.HasSuffix(line, want) {
			t.Errorf("line %d is %s, want %s", i, line, want)
		}
	}
	if n := strings.Count(g.String(), "\n"); n != 4 || l.To() != "stderr" {
		t.Errorf("%d lines to %s", n, l.To())
	}
}

// A burst of one kind is some lines and a count; other kinds are not held back by it.
func TestBurst(t *testing.T) {
	l, log, g := open(t, Options{Host: "h", Burst: 3, Many: map[string]string{"job start": "jobs started"}})
	close(g.open)
	for i := range 1000 {
		log.Info("job start", "seq", i)
	}
	log.Info("other")
	for range 5 {
		log.Warn("odd")
	}
	until(t, "the count", func() bool { return strings.Contains(g.String(), "more jobs started") })
	for i := range 2 {
		log.Info("job start", "seq", 1000+i)
	}
	l.Close()
	text := g.String()
	started, folded := strings.Count(text, `msg="job start"`), 0
	for line := range strings.Lines(text) {
		if _, after, ok := strings.Cut(line, "… and "); ok && strings.Contains(line, "jobs started") {
			n := 0
			if _, err := fmt.Sscan(after, &n); err != nil || !strings.Contains(line, fmt.Sprintf("lines=%d", n)) {
				t.Errorf("%q, %v", line, err)
			}
			folded += n
		}
	}
	if started+folded != 1002 || started > 3*20 {
		t.Errorf("%d lines of starts, and %d more, of 1002:\n%s", started, folded, text)
	}
	for _, want := range []string{"msg=other\n", `level=WARN msg="… and 2 more like it: odd" lines=2`} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is not there once:\n%s", want, text)
		}
	}
	all, log, g := open(t, Options{})
	close(g.open)
	for range 1000 {
		log.Info("job start")
	}
	all.Close()
	if n := strings.Count(g.String(), "\n"); n != 1000 {
		t.Errorf("%d lines of 1000 without a bound", n)
	}
}

// Messages that somebody else makes up take no more memory than there is for them, and are all accounted for.
func TestManyKinds(t *testing.T) {
	l, log, g := open(t, Options{Burst: 1})
	close(g.open)
	for i := range 3 * kindsMost {
		log.Info(fmt.Sprint("kind ", i))
		if n := len(l.fold.kinds); n > kindsMost {
			t.Fatalf("%d kinds", n)
		}
		until(t, "room", func() bool { return len(l.queue) < queueMost/2 })
	}
}

// Whoever does not read holds nobody up. What was dropped is counted, and said to whoever reads again.
func TestNobodyReads(t *testing.T) {
	l, log, g := open(t, Options{})
	done := make(chan struct{})
	const lines = 3 * queueMost
	go func() {
		defer close(done)
		for i := range lines {
			log.Info("line", "n", i)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("who logs waits for who reads")
	}
	if n := l.Lost(); n < lines-queueMost-1 || n > lines-queueMost {
		t.Errorf("%d of %d lines were dropped", n, lines)
	}
	close(g.open)
	l.Close()
	want := fmt.Sprintf("or they could not be written\" lines=%d\n", l.Lost())
	if text := g.String(); strings.Count(text, want) != 1 || uint64(strings.Count(text, "msg=line"))+l.Lost() != lines {
		t.Errorf("%d lines, and not once %s", strings.Count(text, "msg=line"), want)
	}
	log.Info("later") // is lost, and does no harm
}

// full is a file on a disk that fills up in the midst of a line, and has room again later.
type full struct {
	mu    sync.Mutex
	room  int // bytes
	fails int
	text  strings.Builder
}

func (f *full) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(f.room, len(b))
	f.text.Write(b[:n])
	if f.room -= n; n < len(b) {
		f.fails++
		return n, unix.ENOSPC
	}
	return n, nil
}

// What could not be written is counted, and said as soon as there is room; half a line is not what the next one goes on from.
func TestDiskFull(t *testing.T) {
	f := &full{}
	l := Open(f, Options{})
	log := slog.New(l.Handler())
	f.room = len("time=2026-03-01T09:12:00.000+01:00 level=INFO msg=line user=\"x")
	for range 10 {
		log.Info("line", "user", "x level=ERROR msg=mine")
	}
	until(t, "ten that failed", func() bool { return l.Lost() == 10 })
	f.mu.Lock()
	f.room = 1 << 20
	f.mu.Unlock()
	log.Info("again")
	l.Close()
	lines := strings.Split(strings.TrimSuffix(f.text.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "time=") || !strings.HasSuffix(lines[1], "msg=again") ||
		!strings.HasSuffix(lines[2], "could not be written\" lines=10") {
		t.Errorf("%d lost, %q", l.Lost(), lines)
	}
}

// The end waits for nobody for ever.
func TestCloseThoughNobodyReads(t *testing.T) {
	l, log, g := open(t, Options{})
	log.Info("line")
	l.Close()
	l.Close()
	close(g.open)
}

// A file that is not the journal's gets text.
func TestIsJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for stream, want := range map[string]bool{"": false, "1:2": false, "garbage": false, streamOf(t, w): true} {
		if isJournal(w, stream) != want {
			t.Errorf("%q: %v", stream, !want)
		}
	}
}
