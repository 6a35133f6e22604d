package kernel

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/label"
)

// world is what a kernel has of processes, and what it tells of those in jobs. A task is alive, or has exited; a first thread is then
// listed until it is waited for, and each is charged to its job until it is gone.
type world struct {
	now    int64
	alive  map[int32]*being
	dead   []*being // are not waited for
	going  []going
	queue  []label.Event
	deaf   bool // there is no room in the ring
	lost   bool
	losses int
}

type being struct {
	pid    int32
	start  int64
	job    uint64
	first  bool    // the first thread has not exited
	others []int32 // nor have these
	freed  uint64  // its threads that are released: as many ns
	tasks  int     // there ever were, in this job from its birth
	whole  bool    // it was born there
}

// going is a task that is released, and still charged.
type going struct {
	of  *being
	tid int32
	job uint64
}

func newWorld() *world { return &world{now: 1000, alive: make(map[int32]*being)} }

func (w *world) tell(of *being, ev label.Event) {
	w.now++
	if ev.Job == 0 {
		ev.Job = of.job
	}
	if ev.Job == 0 {
		return
	}
	if w.deaf {
		w.lost = true
		w.losses++
		return
	}
	ev.Time, ev.PID, ev.Start = w.now, of.pid, of.start
	w.queue = append(w.queue, ev)
}

// number is one that no task has.
func (w *world) number(rt *rapid.T) int32 {
	used := make(map[int32]bool)
	for _, b := range slices.Concat(slices.Collect(maps.Values(w.alive)), w.dead) {
		used[b.pid] = true
		for _, tid := range b.others {
			used[tid] = true
		}
	}
	for _, g := range w.going { // the kernel does not go round in a grace period
		used[g.tid] = true
	}
	return rapid.Int32Range(10, 40).Filter(func(n int32) bool { return !used[n] }).Draw(rt, "number")
}

func (w *world) birth(rt *rapid.T, maker *being) *being {
	b := &being{pid: w.number(rt), first: true, tasks: 1, whole: true}
	w.now++
	b.start = w.now
	by := int32(1)
	if maker != nil {
		b.job, by = maker.job, maker.pid
	}
	w.alive[b.pid] = b
	w.tell(b, label.Event{Kind: label.Clone, TID: b.pid, Other: by})
	return b
}

func (w *world) thread(rt *rapid.T, b *being) {
	tid := w.number(rt)
	b.others, b.tasks = append(b.others, tid), b.tasks+1
	w.tell(b, label.Event{Kind: label.Clone, TID: tid, Other: b.pid})
}

// exit has a task exit. early: all others are about to, and none is left already.
func (w *world) exit(b *being, tid int32, early bool) {
	if tid == b.pid {
		b.first = false
	} else {
		b.others = slices.DeleteFunc(b.others, func(t int32) bool { return t == tid })
	}
	over := !b.first && len(b.others) == 0
	ev := label.Event{Kind: label.Exit, TID: tid}
	ev.Left.Used.CPU = 1
	if over || early {
		ev.Real = 1
	}
	w.tell(b, ev)
	if tid != b.pid {
		w.release(b, tid)
	}
	if over {
		delete(w.alive, b.pid)
		w.dead = append(w.dead, b)
	}
}

func (w *world) release(b *being, tid int32) {
	if tid != b.pid {
		b.freed++
	}
	w.going = append(w.going, going{b, tid, b.job})
}

// exec has a task take the place of all others.
func (w *world) exec(b *being, tid int32) {
	for _, t := range slices.Clone(b.others) {
		if t != tid {
			w.exit(b, t, false)
		}
	}
	if tid != b.pid {
		if b.first {
			w.tell(b, label.Event{Kind: label.Exit, TID: b.pid, Left: label.Left{Used: label.Used{CPU: 1}}})
		}
		b.first, b.others = true, nil
		w.release(b, tid)
	}
	w.tell(b, label.Event{Kind: label.Exec, TID: b.pid, Other: tid})
}

// wait releases a process that has exited.
func (w *world) wait(i int) {
	b := w.dead[i]
	w.dead = slices.Delete(w.dead, i, i+1)
	w.release(b, b.pid)
}

func (w *world) free(i int) {
	g := w.going[i]
	w.going = slices.Delete(w.going, i, i+1)
	w.tell(g.of, label.Event{Kind: label.Free, Job: g.job, TID: g.tid, Real: 1, Used: label.Used{CPU: 1}})
}

// list is what the kernel lists.
func (w *world) list() map[known]listed {
	out := make(map[known]listed)
	for _, b := range slices.Concat(slices.Collect(maps.Values(w.alive)), w.dead) {
		if b.job != 0 {
			out[known{b.pid, b.start}] = listed{
				label: label.Label{In: b.job}, tids: b.listed(), alive: b.first || len(b.others) > 0, gone: label.Used{CPU: b.freed},
			}
		}
	}
	return out
}

// listed gives its tasks: the first thread until it is waited for.
func (b *being) listed() []int32 { return append([]int32{b.pid}, b.others...) }

// before is who was there at the first event of the queue.
func (w *world) before() map[known]listed {
	q := newQueued(0)
	for i := range w.queue {
		q.see(&w.queue[i])
	}
	return q.before(w.list())
}

func (w *world) pick(rt *rapid.T) *being {
	if len(w.alive) == 0 {
		rt.Skip("nobody is there")
	}
	return w.alive[rapid.SampledFrom(slices.Sorted(maps.Keys(w.alive))).Draw(rt, "process")]
}

func (b *being) pick(rt *rapid.T) int32 {
	var tids []int32
	if b.first {
		tids = append(tids, b.pid)
	}
	return rapid.SampledFrom(append(tids, b.others...)).Draw(rt, "task")
}
