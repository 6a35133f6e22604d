package logs

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// fold makes one line of a burst: of lines with the same message it lets some through in a second, and then says how many more there were.
type fold struct {
	most atomic.Int64
	put  func(slog.Record)
	many map[string]string

	mu    sync.Mutex
	kinds map[string]*kind // by message, of the last second
}

// kind is lines with the same message.
type kind struct {
	since time.Time
	lines int64 // let through
	more  int64
	level slog.Level // the highest that was held back
}

const (
	foldTime  = time.Second
	kindsMost = 1024 // messages are jobd's own, but for those of libraries: forget rather than grow
)

// pass lets a line through, or counts it. Nobody waits here: what is locked is a map.
func (f *fold) pass(r slog.Record) {
	most := f.most.Load()
	if most <= 0 {
		f.put(r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	k := f.kinds[r.Message]
	if k == nil || now.Sub(k.since) >= foldTime {
		f.tell(r.Message, k)
		if f.kinds == nil || len(f.kinds) >= kindsMost {
			f.tellAll()
		}
		k = &kind{since: now, level: r.Level}
		f.kinds[r.Message] = k
	}
	if k.lines < most {
		k.lines++
		f.put(r)
		return
	}
	if k.more++; k.more == 1 {
		time.AfterFunc(time.Until(k.since.Add(foldTime)), func() { f.over(r.Message, k) })
	}
	k.level = max(k.level, r.Level)
}

// over is the end of a burst's second.
func (f *fold) over(message string, k *kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(message, k)
}

// tell says how many lines of a kind were held back, once.
func (f *fold) tell(message string, k *kind) {
	if k == nil || k.more == 0 {
		return
	}
	text := fmt.Sprintf("… and %d more like it: %s", k.more, message)
	if many := f.many[message]; many != "" {
		text = fmt.Sprintf("… and %d more %s", k.more, many)
	}
	r := slog.NewRecord(time.Now(), k.level, text, 0)
	r.AddAttrs(slog.Int64("lines", k.more))
	k.more = 0
	f.put(r)
}

// tellAll says it of all kinds, and forgets them.
func (f *fold) tellAll() {
	for message, k := range f.kinds {
		f.tell(message, k)
	}
	f.kinds = make(map[string]*kind)
}

func (f *fold) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tellAll()
}
