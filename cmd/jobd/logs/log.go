package logs

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jobd-project/jobd/job"
)

// Options say how a log is opened.
type Options struct {
	Host  string            // before the number of a job
	Level slog.Level        // the least that is written
	Burst int               // lines of one kind a second at most; 0: all
	Many  map[string]string // what many lines of a kind are called, by their message

	Stream string // JOURNAL_STREAM: which file is the journal's; empty: none
	Socket string // the journal's own; empty: where systemd has it
}

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	level slog.LevelVar
	fold  fold
	host  string
	hid   atomic.Uint32
	sink  slog.Handler
	to    string

	queue      chan slog.Record
	unsaid     atomic.Uint64 // lines that were dropped, and that nobody was told of yet
	lost       atomic.Uint64 // all of them
	end, ended chan struct{}
	closing    sync.Once
}

// queueMost is how many lines may wait for somebody who reads slowly.
const queueMost = 4096

// Open begins to write to w, or to the journal where w is its stream.
func Open(w io.Writer, o Options) *Log {
	l := &Log{queue: make(chan slog.Record, queueMost), end: make(chan struct{}), ended: make(chan struct{}), to: "stderr"}
	l.level.Set(o.Level)
	l.fold.put, l.fold.many = l.put, o.Many
	l.SetBurst(o.Burst)
	l.host = o.Host
	l.sink = newText(w, l.name)
	if f, ok := w.(*os.File); ok && isJournal(f, o.Stream) {
		if j, err := newJournal(o, l.name, l.sink); err == nil {
			l.sink, l.to = j, "journal"
		} else {
			slog.New(l.sink).Warn("cannot write to the journal with fields", "error", err)
		}
	}
	go l.run()
	return l
}

// Handler takes lines for the log.
func (l *Log) Handler() slog.Handler { return &handler{log: l} }

// SetLevel changes what is the least that is written.
func (l *Log) SetLevel(level slog.Level) { l.level.Set(level) }

// SetHID says which upper half of an id is that of this host's jobs. Until then all are taken for such.
func (l *Log) SetHID(hid uint32) { l.hid.Store(hid) }

// name is host:seq of this host's jobs, and the whole id of another's.
func (l *Log) name(jid job.JID) string {
	if hid := l.hid.Load(); hid != 0 && jid.HID() != hid {
		return jid.String()
	}
	return l.host + ":" + strconv.FormatUint(uint64(jid.Seq()), 10)
}

// SetBurst changes how many lines of one kind there are a second at most; 0: all.
func (l *Log) SetBurst(most int) { l.fold.most.Store(int64(most)) }

// Lost is how many lines were dropped, because nobody read those before them or because they could not be written.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// To is where lines go: "journal" or "stderr".
func (l *Log) To() string { return l.to }

// closeTime is how long the end of jobd waits for somebody to read what is left.
const closeTime = time.Second

// Close writes what waits, as far as it is read, and ends the log. What is logged later is lost.
func (l *Log) Close() {
	l.closing.Do(func() {
		l.fold.flush()
		close(l.end)
	})
	select {
	case <-l.ended:
	case <-time.After(closeTime):
	}
}

// put queues a line, if there is room.
func (l *Log) put(r slog.Record) {
	select {
	case l.queue <- r:
	default:
		l.drop()
	}
}

func (l *Log) drop() {
	l.unsaid.Add(1)
	l.lost.Add(1)
}

// run writes.
func (l *Log) run() {
	defer close(l.ended)
	for {
		select {
		case r := <-l.queue:
			l.write(r)
		case <-l.end:
			for {
				select {
				case r := <-l.queue:
					l.write(r)
				default:
					return
				}
			}
		}
	}
}

// write writes a line, and then what is to be said of those that were dropped. An error has nowhere to go, but to be counted.
func (l *Log) write(r slog.Record) {
	if l.sink.Handle(context.Background(), r) != nil {
		l.drop()
		return
	}
	if n := l.unsaid.Swap(0); n > 0 {
		missing := slog.NewRecord(time.Now(), slog.LevelWarn,
			"lines of the log were dropped: nobody read those before them, or they could not be written", 0)
		missing.AddAttrs(slog.Uint64("lines", n))
		if l.sink.Handle(context.Background(), missing) != nil {
			l.unsaid.Add(n)
		}
	}
}

// handler is a log with what was said beforehand.
type handler struct {
	log   *Log
	attrs []slog.Attr
	group string // before each key
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

// Handle never waits, and never fails.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if len(h.attrs) > 0 || h.group != "" {
		whole := slog.NewRecord(r.Time, r.Level, r.Message, 0)
		whole.AddAttrs(h.attrs...)
		r.Attrs(func(a slog.Attr) bool {
			a.Key = h.group + a.Key
			whole.AddAttrs(a)
			return true
		})
		r = whole
	}
	h.log.fold.pass(r)
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		a.Key = h.group + a.Key
		all = append(all, a)
	}
	return &handler{log: h.log, attrs: all, group: h.group}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{log: h.log, attrs: h.attrs, group: h.group + name + "."}
}
