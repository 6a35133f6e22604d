// Package feed is what happened of late, for whoever wants to hear of it: a ring of events that one loop writes and that any number of
// readers follow, each at its own place and by its own filter. The writer never waits and never makes anything for a reader; who falls
// behind by more than the ring holds is told how much was missed.
//
// The ring is of blocks. A block is filled once and then given up, never written again, so that a reader needs no lock: what Ring.told counts
// stays as it is for as long as somebody looks at it.
package feed

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/watch"
)

// The ring holds the last 64 blocks, about 7 MiB, while somebody watches.
const (
	blockSize = 1 << 10
	blocks    = 1 << 6
	holds     = blocks * blockSize
)

// everybodys is no job.
const everybodys = ^job.JID(0)

type block struct {
	first   uint64 // number of its first entry
	entries [blockSize]Entry
	jobs    [blockSize]job.JID // that they are of: who looks for one job does not look at the others' entries; everybody's of a Lost
}

// late is an Exec that is kept back for a moment, with what comes after it: until somebody has looked what was run, and until all has been
// heard of that happened before he did, because the process may have run another by then.
type late struct {
	number uint64
	entry  *Entry
	what   *watch.Program
	at     int64 // CLOCK_MONOTONIC ns
	until  int64 // CLOCK_MONOTONIC ns: when its process ran the next one; 0: it has not
	since  time.Time
}

// How long an Exec is kept back, and how much behind it.
const (
	lateTime = 20 * time.Millisecond
	lateMost = 4 * blockSize
)

// Ring is the events. On, Start, Stop, Next, Put, PutExec, Tell, Keeps and Head are the loop's.
type Ring struct {
	run   uint64
	on    bool
	block *block
	head  uint64        // entries so far
	late  []late        // of them, those that wait for what was run …
	last  map[int32]int // … and the first of them that tells of what a process ran last

	told  atomic.Uint64 // entries that readers may look at have smaller numbers
	since atomic.Uint64 // those before were not written down, or have been given up by Off
	kept  [blocks]atomic.Pointer[block]

	made    time.Time
	crowd   atomic.Int32
	waiting atomic.Int32
	bell    atomic.Pointer[chan struct{}]
	turn    chan struct{} // whoever makes lines: few at a time, so that the loop always finds a CPU
}

// makers is how many readers make lines at a time.
const makers = 1

// New makes a ring that is off.
func New() *Ring {
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails (crypto/rand)
	r := &Ring{run: binary.NativeEndian.Uint64(run[:]), made: time.Now(), turn: make(chan struct{}, makers), last: make(map[int32]int)}
	bell := make(chan struct{})
	r.bell.Store(&bell)
	return r
}

// On reports whether somebody wants to know.
func (r *Ring) On() bool { return r.on }

// Start has events written down from now on.
func (r *Ring) Start() {
	if r.on {
		return
	}
	r.on = true
	r.head++ // whoever was up to date by then has missed something since
	r.since.Store(r.head)
	r.told.Store(r.head)
}

// Stop gives up what there is.
func (r *Ring) Stop() {
	r.on, r.block = false, nil
	r.keep(nil)
	r.told.Store(r.head)
	for i := range r.kept {
		r.kept[i].Store(nil)
	}
	r.since.Store(r.head)
}

// Crowd says how many read.
func (r *Ring) Crowd(n int) { r.crowd.Store(int32(n)) }

// Head is the place of the next event.
func (r *Ring) Head() control.Cursor { return control.Cursor{Run: r.run, Next: r.head} }

// Next gives the next entry, empty, to be filled in and then Put. The ring has to be on.
func (r *Ring) Next() *Entry {
	at := r.head % blockSize
	if first := r.head - at; r.block == nil || r.block.first != first {
		r.block = &block{first: first}
		r.kept[first/blockSize%blocks].Store(r.block)
	}
	return &r.block.entries[at]
}

// Put counts the entry that Next gave.
func (r *Ring) Put() {
	e, at := r.Next(), r.head%blockSize
	if r.block.jobs[at] = e.JID; e.Kind == Lost {
		r.block.jobs[at] = everybodys
	}
	r.head++
	switch {
	case len(r.late) == 0:
		r.told.Store(r.head)
	case r.head-r.late[0].number > lateMost:
		r.keep(nil)
		r.told.Store(r.head)
	}
}

// PutExec is Put for an Exec, at CLOCK_MONOTONIC ns. what is the program that was run, read or still to be read; nil where nobody looks.
func (r *Ring) PutExec(what *watch.Program, at int64) {
	e := r.Next()
	if i, ok := r.last[e.PID]; ok && r.late[i].at != at { // else it is told in another slot, too
		for ; i < len(r.late); i++ {
			if l := &r.late[i]; l.entry.PID == e.PID {
				l.until = at
			}
		}
		delete(r.last, e.PID)
	}
	if what != nil {
		if _, ok := r.last[e.PID]; !ok {
			r.last[e.PID] = len(r.late)
		}
		r.late = append(r.late, late{number: r.head, entry: e, what: what, at: at})
	}
	r.Put()
}

// keep keeps back those that are left.
func (r *Ring) keep(rest []late) {
	clear(r.late[len(rest):])
	r.late = r.late[:len(rest)]
	clear(r.last)
	for i, l := range rest {
		if l.until == 0 {
			if _, ok := r.last[l.entry.PID]; !ok {
				r.last[l.entry.PID] = i
			}
		}
	}
}

// Keeps reports whether something is kept back: Tell is to be called again.
func (r *Ring) Keeps() bool { return len(r.late) > 0 }

// catchUp fills in what has been read since, and tells of all up to the first Exec that is still worth waiting for.
func (r *Ring) catchUp() {
	rest, now := r.late[:0], time.Now()
	for _, l := range r.late {
		if l.since.IsZero() {
			l.since = now
		}
		if l.what.Read != 0 && (l.until == 0 || l.what.Read < l.until) { // else who looked saw the next one
			l.entry.Text = l.what.Exe
		} else if l.what.Read == 0 && now.Sub(l.since) < lateTime {
			rest = append(rest, l)
		}
	}
	r.keep(rest)
	if len(rest) > 0 {
		r.told.Store(rest[0].number)
		return
	}
	r.told.Store(r.head)
}

// Tell wakes who waits for what has been put.
func (r *Ring) Tell() {
	if len(r.late) > 0 {
		r.catchUp()
	}
	if r.waiting.Load() == 0 {
		return
	}
	bell := make(chan struct{})
	close(*r.bell.Swap(&bell))
}

// oldest is the first entry that is there.
func (r *Ring) oldest(told uint64) uint64 {
	first := r.since.Load()
	if full := (told + blockSize - 1) / blockSize * blockSize; full > holds {
		first = max(first, full-holds)
	}
	return first
}
