package feed

import (
	"context"
	"io"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// Filter says what a reader wants. That something was lost it hears in any case.
type Filter struct {
	Kinds []string // of control's names; nil: all
	Slot  uint8    // of a subscription: nothing else counts then
	JID   job.JID  // 0: of any job
	UID   *uint32  // nil: of anybody
	User  string   // "": of anybody
	Host  bool     // of processes in no job, too
}

// Reader follows the ring from its place. It belongs to one goroutine.
type Reader struct {
	ring   *Ring
	filter Filter
	mask   uint16
	next   uint64
	until  uint64    // it ends there; 0: it goes on
	strays bool      // its cursor was of another run
	back   bool      // it began at a cursor, and has not looked yet
	caught bool      // it had seen all that there was when it looked last …
	looked time.Time // … which was then
	missed bool
	ended  bool
}

// Reader gives one that begins with what happens next. It has to be called in the loop.
func (r *Ring) Reader(f Filter) *Reader {
	x := &Reader{ring: r, filter: f, next: r.head}
	for k, name := range names {
		wanted := f.Kinds == nil
		for _, kind := range f.Kinds {
			wanted = wanted || kind == name
		}
		if wanted || k == int(Lost) || k == int(Gone) {
			x.mask |= 1 << k
		}
	}
	return x
}

// From has the reader begin at a cursor, if it can, and else say that it cannot. false: no such cursor was ever given.
func (x *Reader) From(c control.Cursor) bool {
	if c.Run != x.ring.run {
		x.strays = true
		return true
	}
	if c.Next > x.ring.head {
		return false
	}
	x.next, x.back = c.Next, true
	return true
}

// Missed reports, once, that something was lost: the end of what the reader is about may have been among it.
func (x *Reader) Missed() bool {
	was := x.missed
	x.missed = false
	return was
}

// ToHere has the reader end with what has happened so far: nothing more will come. It has to be called in the loop.
func (x *Reader) ToHere() { x.until = x.ring.head }

const (
	pieceMost = 32 << 10 // bytes of lines that are made at a time
	lookMost  = 4096     // entries that are looked at, at a time
)

// How long lies between two looks on a host on which much happens: a waking for each burst would cost more than what is told, so the more
// read, the longer. All look at the same time: then one waking is for all of them.
const (
	lookGap = 50 * time.Millisecond
	lookAdd = 5 * time.Millisecond // for each reader …
	lookFar = time.Second          // … up to this
)

// Next makes the next lines, at the end of b, and waits until there are some. With io.EOF there are no more: what it was about is over.
func (x *Reader) Next(ctx context.Context, b []byte) ([]byte, error) {
	for {
		if x.ended {
			return b, io.EOF
		}
		if err := x.rest(ctx); err != nil {
			return b, err
		}
		select {
		case x.ring.turn <- struct{}{}:
		case <-ctx.Done():
			return b, ctx.Err()
		}
		b = x.look(b)
		<-x.ring.turn
		if len(b) > 0 {
			return b, nil
		}
	}
}

// rest waits until there is something to look at, and until it is time to. Who is behind does not rest.
func (x *Reader) rest(ctx context.Context) error {
	if !x.caught || x.over() {
		return ctx.Err()
	}
	if err := x.ring.await(ctx, x.next); err != nil {
		return err
	}
	gap := min(lookGap+lookAdd*time.Duration(x.ring.crowd.Load()), lookFar)
	if time.Since(x.looked) < gap {
		t := time.NewTimer(gap - time.Since(x.ring.made)%gap)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	x.looked = time.Now()
	return ctx.Err()
}

func (x *Reader) over() bool { return x.until != 0 && x.next >= x.until }

// await returns when there is an event with a number, or the context ends.
func (r *Ring) await(ctx context.Context, number uint64) error {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	bell := *r.bell.Load()
	if r.told.Load() > number {
		return nil
	}
	select {
	case <-bell:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look goes through some of what there is.
func (x *Reader) look(b []byte) []byte {
	told := x.ring.told.Load()
	b = x.mend(b, told)
	for n := 0; x.next < told && n < lookMost && len(b) < pieceMost && !x.ended; n++ {
		if x.over() {
			break
		}
		bl := x.ring.kept[x.next/blockSize%blocks].Load()
		if bl == nil || bl.first != x.next-x.next%blockSize { // it has just been given up
			b = x.mend(b, x.ring.told.Load())
			continue
		}
		of := bl.jobs[x.next%blockSize]
		e := &bl.entries[x.next%blockSize]
		x.next++
		if of != x.filter.JID && of != everybodys && x.filter.JID != 0 {
			continue
		}
		if x.wants(e) {
			b = e.append(b, x.place())
		}
		x.ended = x.ended || e.Kind == Gone && e.Slot == x.filter.Slot || e.Kind == JobEnd && e.JID == x.filter.JID && x.filter.Slot == 0
	}
	x.ended = x.ended || x.over()
	x.caught, x.back = x.next >= told, false
	return b
}

// mend goes to the oldest event that there is when the next one is not there any more, and says how many were missed.
func (x *Reader) mend(b []byte, told uint64) []byte {
	oldest := x.ring.oldest(told)
	n, why := uint64(0), "slow"
	if x.back {
		why = "cursor"
	}
	switch {
	case x.strays:
		x.strays, x.next, why = false, oldest, "restart"
	case x.next >= oldest:
		return b
	case x.next < x.ring.since.Load(): // nobody has counted
		x.next, why = oldest, "cursor"
	default:
		n, x.next = oldest-x.next, oldest
	}
	x.missed = true
	return missed(b, n, why, time.Now(), x.place())
}

func (x *Reader) place() control.Cursor { return control.Cursor{Run: x.ring.run, Next: x.next} }

func (x *Reader) wants(e *Entry) bool {
	f := &x.filter
	switch {
	case e.Kind == Lost:
		return true
	case e.Slot != f.Slot, x.mask&(1<<e.Kind) == 0:
		return false
	case f.Slot != 0, f.Host:
		return true
	}
	return e.JID != 0 && (f.JID == 0 || f.JID == e.JID) && (f.UID == nil || *f.UID == e.UID) && (f.User == "" || f.User == e.User)
}
