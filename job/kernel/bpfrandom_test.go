package kernel

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// audience holds what an engine emits against the rules: of each process Clone, then Free, then what it used, each once.
type audience struct {
	*stage
	*world
	rt    *rapid.T
	heard map[watch.ID]*heard
}

type heard struct {
	of        *being
	gone, due bool
}

func newAudience(t *testing.T, rt *rapid.T) *audience {
	a := &audience{stage: newStage(t), world: newWorld(), rt: rt, heard: make(map[watch.ID]*heard)}
	a.c.lin.remove(a.c.lin.of(5))
	a.emits = a.listen
	return a
}

func (a *audience) listen(e *watch.Event) error {
	h := a.heard[e.Proc]
	switch {
	case e.Kind == watch.Clone && !e.Thread:
		if h != nil {
			a.rt.Errorf("%v is born twice", e.Proc)
		}
		if maker := a.heard[e.Parent]; e.Parent != (watch.ID{}) && (maker == nil || maker.gone || a.c.Label(e.Parent) != a.c.Label(e.Proc)) {
			a.rt.Errorf("%v inherits from %v, who is not in its job", e.Proc, e.Parent)
		}
		a.know(e.Proc)
		if e.Parent == (watch.ID{}) && !a.c.lin.of(e.Proc.PID).adrift {
			a.rt.Errorf("%v inherits from nobody, and nobody puts it where it is", e.Proc)
		}
	case h == nil:
		a.rt.Errorf("%v of %v, who is not known", e.Kind, e.Proc)
	case e.Kind == watch.Used:
		if !h.gone || !h.due {
			a.rt.Errorf("what %v used is told too early, or twice", e.Proc)
		}
		h.due = false
		if want := int64(h.of.tasks); a.losses == 0 && h.of.whole && (e.Inferred || e.Usage.CPU != want || e.Usage.Threads != int32(want)) {
			a.rt.Errorf("%v used %d ns by %d threads, want %d (estimated %v)", e.Proc, e.Usage.CPU, e.Usage.Threads, want, e.Inferred)
		}
	case h.gone:
		a.rt.Errorf("%v of %v, who is gone", e.Kind, e.Proc)
	case e.Kind == watch.Free:
		h.gone, h.due = true, e.Later
		if e.Inferred && a.losses == 0 {
			a.rt.Errorf("the end of %v is made up", e.Proc)
		}
	}
	return nil
}

// know notes who a process of the table is.
func (a *audience) know(id watch.ID) {
	h := &heard{of: new(being)}
	for _, b := range slices.Concat(slices.Collect(maps.Values(a.alive)), a.dead) {
		if p := a.c.lin.of(id.PID); b.pid == id.PID && p != nil && b.start == p.start {
			h.of = b
		}
	}
	a.heard[id] = h
}

// drain reads so much of the queue, and makes good a loss as soon as there is nothing left.
func (a *audience) drain(n int) {
	a.c.clock = clocks{mono: a.world.now, boot: a.world.now}
	for ; n > 0 && len(a.queue) > 0; n-- {
		ev := a.queue[0]
		a.queue = a.queue[1:]
		a.c.take(&ev, a.stage.emit)
	}
	if a.lost && len(a.queue) == 0 {
		a.mend()
	}
}

func (a *audience) mend() {
	a.lost = false
	a.c.correct(a.before(), a.stage.emit)
	for p := range a.c.lin.all() {
		if !p.stranger && a.heard[p.id] == nil {
			a.know(p.id) // is adrift
		}
	}
}

// put moves a process to another job, or out of all.
func (a *audience) put(b *being, in uint64) {
	a.settle()
	if slices.ContainsFunc(a.queue, func(ev label.Event) bool { return ev.Start == b.start && ev.Kind == label.Clone }) {
		return // before a command all is read
	}
	p := a.c.lin.of(b.pid)
	switch follows := p != nil && !p.stranger; {
	case follows && p.start != b.start, !follows && in == 0:
		return // nobody is taken out of a job in which nobody knows them to be
	case p == nil, p.stranger && p.start != b.start/nsPerTick*nsPerTick:
		p = a.c.lin.addStranger(b.pid, b.start/nsPerTick*nsPerTick)
	}
	b.job, b.whole = in, false
	a.world.now++
	for _, g := range a.going { // those are not listed any more
		if g.of == b {
			b.tasks--
		}
	}
	if in == 0 {
		a.c.lin.abandon(p, a.world.now)
		delete(a.heard, p.id)
		return
	}
	a.c.lin.enter(p, Label(in), b.start, a.world.now)
	for _, tid := range b.listed() {
		p.joins(tid)
	}
	if a.heard[p.id] == nil {
		a.know(p.id)
	}
}

// settle puts those that inherit from nobody where they are, as whoever drains does.
func (a *audience) settle() {
	for _, id := range a.c.SettleLate() {
		if p := a.c.lin.of(id.PID); p != nil && p.id == id && !p.stranger {
			a.c.lin.enter(p, p.label, p.start, a.world.now)
		}
	}
}

// kill has another engine take up what there is. In what the one before had not read there may be gaps.
func (a *audience) kill(next *stage) {
	a.lost = a.losses > 0
	next.c.lin.remove(next.c.lin.of(5))
	next.emits = a.listen
	a.stage, a.heard = next, make(map[watch.ID]*heard)
	a.c.clock = clocks{mono: a.world.now, boot: a.world.now}
	for _, p := range a.c.takeIn(a.before()) {
		a.know(p.id)
		a.heard[p.id].of.whole = false // who was there for the first time is not known
	}
}

// differs says where the table is not what the world is; empty: nowhere.
func (a *audience) differs() string {
	n := 0
	for _, b := range a.alive {
		p := a.c.lin.of(b.pid)
		if b.job == 0 {
			continue
		}
		if n++; p == nil || p.stranger || p.start != b.start || p.label != Label(b.job) {
			return fmt.Sprintf("process %d is in job %d, and on the books as %+v", b.pid, b.job, p)
		}
	}
	if has := a.c.lin.live.Len() - a.c.lin.strangers; has != n {
		return fmt.Sprintf("%d members are on the books, there are %d", has, n)
	}
	return ""
}

// TestBPFAgainstModel: whatever goes on, is lost, or is in what order, the table is what the kernel has once all is read.
func TestBPFAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := newAudience(t, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"birth": func(rt *rapid.T) {
				var maker *being
				if len(a.alive) > 0 && rapid.Float64().Draw(rt, "by") < 0.9 {
					maker = a.pick(rt)
				}
				if len(a.alive) < 8 {
					a.birth(rt, maker)
				}
			},
			"thread": func(rt *rapid.T) {
				if b := a.pick(rt); len(b.others) < 3 && len(a.going) < 6 {
					a.thread(rt, b)
				}
			},
			"exec": func(rt *rapid.T) { b := a.pick(rt); a.exec(b, b.pick(rt)) },
			"exit": func(rt *rapid.T) { b := a.pick(rt); a.exit(b, b.pick(rt), false) },
			"all exit": func(rt *rapid.T) {
				b, early := a.pick(rt), rapid.Bool().Draw(rt, "at once")
				for a.alive[b.pid] == b {
					a.exit(b, b.pick(rt), early)
				}
			},
			"wait": func(rt *rapid.T) {
				if len(a.dead) > 0 {
					a.wait(rapid.IntRange(0, len(a.dead)-1).Draw(rt, "dead"))
				}
			},
			"free": func(rt *rapid.T) {
				if len(a.going) > 0 {
					a.free(rapid.IntRange(0, len(a.going)-1).Draw(rt, "going"))
				}
			},
			"put":   func(rt *rapid.T) { a.put(a.pick(rt), rapid.SampledFrom([]uint64{7, 7, 8, 0}).Draw(rt, "job")) },
			"drain": func(rt *rapid.T) { a.drain(rapid.IntRange(1, 10).Draw(rt, "events")); a.settle() },
			"deaf":  func(rt *rapid.T) { a.deaf = rapid.IntRange(0, 3).Draw(rt, "deaf") == 0 },
			"hand over": func(rt *rapid.T) {
				if err := a.handOver(); err != nil {
					rt.Fatal(err)
				}
			},
			"kill": func(*rapid.T) { a.kill(newStage(t)) },
			"":     func(rt *rapid.T) {},
		})
		a.finish()
	})
}

// finish lets all that is to be told be told, and looks at what was.
func (a *audience) finish() {
	a.deaf = false
	a.drain(len(a.queue))
	a.settle()
	if says := a.differs(); says != "" {
		a.rt.Fatal(says)
	}
	for len(a.dead) > 0 {
		a.wait(0)
	}
	for len(a.going) > 0 {
		a.free(0)
	}
	a.drain(len(a.queue))
	a.c.clock.mono += 2 * freeMost
	a.c.expire(a.stage.emit)
	for id, h := range a.heard {
		if h.due {
			a.rt.Errorf("what %v used is never told", id)
		}
	}
	if a.losses == 0 && a.c.counts.RecordsMissed > 0 {
		a.rt.Errorf("%d ends were missed", a.c.counts.RecordsMissed)
	}
}
