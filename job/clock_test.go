package job

import (
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// set has the wall clock set by so much, as jobd sees it: at its next look.
func (w *world) set(by time.Duration) {
	w.table.Sync(w.table.wall.Add(by), w.now)
	w.table.Stepped(by)
	w.by += by
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// steps are ways to set a clock that have led to wrong books elsewhere.
var steps = []struct {
	name string
	by   time.Duration
}{
	{"a day forward", 24 * time.Hour}, {"a day back", -24 * time.Hour}, {"two hours forward", 2 * time.Hour},
	{"two hours back", -2 * time.Hour}, {"to 1970", -1_800_000_000 * time.Second},
}

// A job and a process that were there for some seconds were there for some seconds, whatever the clock said meanwhile, and
// ended when the clock said that it was then.
func TestClockIsSetMeanwhile(t *testing.T) {
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
			noError(t, err)
			noError(t, w.fork(100, 101, false))
			w.tick()
			w.set(tt.by)
			open := w.table.Jobs()[0]
			if age := w.table.wall.Sub(open.Started); age != time.Second {
				t.Errorf("the open job is %v old", age)
			}
			w.tick()
			noError(t, w.exit(101, 0, &watch.Usage{}, false))
			noError(t, w.exit(100, 0, &watch.Usage{}, false))
			w.ended(t, w.table.wall, 2*time.Second)
		})
	}
}

// What happened before the clock was set, and is read only after, ended on the clock of then.
func TestEndIsReadAfterTheClockWasSet(t *testing.T) {
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
			noError(t, err)
			noError(t, w.fork(100, 101, false))
			w.tick()
			then := w.table.wall
			stamp := w.now
			w.tick()
			w.set(tt.by)
			now := w.now
			w.now = stamp
			noError(t, w.exit(101, 0, &watch.Usage{}, false))
			noError(t, w.exit(100, 0, &watch.Usage{}, false))
			w.now = now
			w.ended(t, then, time.Second)
		})
	}
}

// What has gone before the clock was set, and whose use came only after, ended on the clock of then.
func TestUseComesAfterTheClockWasSet(t *testing.T) {
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
			noError(t, err)
			noError(t, w.fork(100, 101, false))
			w.tick()
			then := w.table.wall
			noError(t, w.exitLater(101, 0, false))
			noError(t, w.exitLater(100, 0, false))
			w.tick()
			w.set(tt.by)
			noError(t, w.used(100, &watch.Usage{}, false))
			noError(t, w.used(101, &watch.Usage{}, false))
			w.ended(t, then, time.Second)
		})
	}
}

// ended looks at the records and the job among the effects.
func (w *world) ended(t *testing.T, at time.Time, after time.Duration) {
	t.Helper()
	n := 0
	for _, e := range w.table.Effects() {
		switch e := e.(type) {
		case *Record:
			n++
			if e.End != at.UnixNano() || e.Start != 0 && e.End-e.Start != int64(after) {
				t.Errorf("process %d was there from %v to %v, not for %v until %v", e.PID, time.Unix(0, e.Start).UTC(), time.Unix(0, e.End).UTC(), after, at)
			}
		case EndedJob:
			n++
			if got := e.Saved.Ended.Sub(e.Saved.Started); got != after || !e.Saved.Ended.Equal(at) {
				t.Errorf("the job was there for %v until %v, not for %v until %v", got, e.Saved.Ended, after, at)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d effects, not two records and an ended job", n)
	}
}

// A time with the runtime's own reading of a monotonic clock in it would compare otherwise than what is written down.
func TestWallTimeIsOnlyThat(t *testing.T) {
	w := newWorld(t)
	now := time.Now() // with such a reading
	w.table.Sync(now, 1)
	if got := w.table.wall; got != now.Round(0) {
		t.Errorf("the table keeps %v", got)
	}
}

// A partial record has no negative time in it, although it is of before the clock was set.
func TestCheckpointWhenTheClockIsSet(t *testing.T) {
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			in, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
			noError(t, err)
			noError(t, w.fork(100, 101, false))
			w.tick()
			old := w.table.wall
			w.set(tt.by)
			w.table.Effects()
			live := map[watch.ID]*watch.Usage{w.id(101): {Groups: watch.GroupBasic, Elapsed: int64(time.Second), CPU: 1}}
			noError(t, w.table.Checkpoint(in.JID, old.UnixNano(), live, nil))
			for _, e := range w.table.Effects() {
				if r, ok := e.(*Record); ok && (r.End != old.UnixNano() || r.End-r.Start != int64(time.Second)) {
					t.Errorf("from %v to %v", time.Unix(0, r.Start).UTC(), time.Unix(0, r.End).UTC())
				}
			}
		})
	}
}

// A clock that was set while jobd was not running: the job is as old as it is.
func TestClockIsSetWhileDown(t *testing.T) {
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			in, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
			noError(t, err)
			saved, err := w.table.Saved(in.JID)
			noError(t, err)
			again := newWorld(t)
			again.now = w.now + int64(time.Hour)
			again.table.Sync(w.table.wall.Add(time.Hour+tt.by), again.now)
			noError(t, again.table.Restore(saved, watch.ID{}, []watch.ID{again.id(100)}, nil, nil))
			if age := again.table.wall.Sub(again.table.Jobs()[0].Started); age != time.Hour {
				t.Errorf("the job is %v old", age)
			}
		})
	}
}

// A clock that is a little off is no clock that was set: adjtime makes up for it.
func TestClockStep(t *testing.T) {
	for _, tt := range []struct {
		wall, elapsed, want time.Duration
	}{
		{time.Second, time.Second, 0},
		{time.Hour + time.Second, time.Hour, 0},
		{time.Hour - 2*time.Second, time.Hour, 0},
		{2 * time.Second, time.Second, time.Second},
		{time.Hour, 0, time.Hour},
		{-time.Hour, time.Minute, -time.Hour - time.Minute},
	} {
		if got := ClockStep(tt.wall, tt.elapsed); got != tt.want {
			t.Errorf("%v by the clock in %v: %v, want %v", tt.wall, tt.elapsed, got, tt.want)
		}
	}
}

// Processes that were alive when the power was cut, or that left while jobd was down, have been there.
func TestTotalAfterRestart(t *testing.T) {
	for _, boot := range []Text{"boot", "another"} {
		w := newWorld(t)
		in, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
		noError(t, err)
		noError(t, w.fork(100, 101, false))
		noError(t, w.fork(100, 102, false))
		noError(t, w.exit(102, 0, &watch.Usage{}, false))
		saved, err := w.table.Saved(in.JID)
		noError(t, err)
		saved.BootID = boot
		for _, tt := range []struct {
			since []*Record
			want  int
		}{{nil, 3}, {[]*Record{{PID: 101}}, 3}, {[]*Record{{PID: 101}, {PID: 103}, {PID: 104}}, 4}} {
			again := newWorld(t)
			noError(t, again.table.Restore(saved, watch.ID{}, nil, tt.since, nil))
			for _, e := range again.table.Effects() {
				if e, ok := e.(EndedJob); ok && e.Saved.TotalProcesses != tt.want {
					t.Errorf("boot %s, %d left since: %d processes, want %d", boot, len(tt.since), e.Saved.TotalProcesses, tt.want)
				}
			}
		}
	}
}

// What is in the sums of a job is not taken for something that came after them: an exit is read in the burst that began
// before it.
func TestSumsAreAsOfTheLastExit(t *testing.T) {
	w := newWorld(t)
	in, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
	noError(t, err)
	noError(t, w.fork(100, 101, false))
	w.now += int64(time.Millisecond) // after Sync
	noError(t, w.exit(101, 0, &watch.Usage{}, false))
	saved, err := w.table.Saved(in.JID)
	noError(t, err)
	for _, e := range w.table.Effects() {
		if r, ok := e.(*Record); ok && (r.End > saved.AsOf || saved.TotalProcesses != 2) {
			t.Errorf("a record of %d is in the sums as of %d", r.End, saved.AsOf)
		}
	}
}
