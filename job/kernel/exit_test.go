package kernel

import (
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// exits has tasks of process 10 exit, each with a status of its own, and gives that of the process; -1: it lives.
func (k *court) exits(at int64, tasks ...[2]int32) int64 {
	status := int64(-1)
	k.c.stash = make(stash)
	for _, task := range tasks {
		k.c.stash.put(task[0], watch.Usage{}, at)
		k.c.exit(&procEvent{a: task[0], b: 10, c: task[1], time: at}, func(e *watch.Event) error {
			if e.Kind == watch.Free {
				status = e.Value
			}
			return nil
		})
	}
	return status
}

// TestLastThreadSaysTheStatus: a process whose threads leave one by one ends with what the last of them said (kernel/exit.c,
// synchronize_group_exit).
func TestLastThreadSaysTheStatus(t *testing.T) {
	for _, c := range []struct {
		name  string
		tasks [][2]int32
		want  int64
	}{
		{"the first before", [][2]int32{{10, 0}, {11, 3 << 8}}, 3 << 8},
		{"the first before, the last with 0", [][2]int32{{10, 3 << 8}, {11, 0}}, 0},
		{"the first last", [][2]int32{{11, 3 << 8}, {10, 0}}, 0},
		{"not the last", [][2]int32{{10, 3 << 8}}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCourt(t)
			k.c.lin.thread(10, 11, true)
			if got := k.exits(1, c.tasks...); got != c.want {
				t.Errorf("status %#x, want %#x", got, c.want)
			}
		})
	}
}

// TestExitFromBeforeTheScan: a first thread that an exec took the place of sent its EXIT, in the process's name, before the scan
// found that process alive with one task.
func TestExitFromBeforeTheScan(t *testing.T) {
	k := newCourt(t)
	k.c.scanned = 1_000
	k.shows(t, 10, 5, "/", nil)
	p := k.c.lin.of(10)
	for _, found := range []bool{true, false} { // by the first scan, and by one after a loss
		p.scanned = found
		if k.exits(900, [2]int32{10, 0}); k.c.lin.of(10) != p {
			t.Fatalf("found by the first scan: %v: a living process was freed", found)
		}
	}
	if status := k.exits(2_000, [2]int32{10, 5 << 8}); status != 5<<8 || k.c.lin.of(10) != nil {
		t.Errorf("its own exit gives %#x", status)
	}
}

// TestThreadFromBeforeTheScan: a comparison with /proc found a thread whose event was in the queue. It is one thread still, and
// the process is gone with it.
func TestThreadFromBeforeTheScan(t *testing.T) {
	k := newCourt(t)
	k.c.scanned = 1_000
	k.c.lin.of(10).tids = []int32{10, 11}
	k.c.fork(&procEvent{a: 5, b: 5, c: 11, d: 10, time: 900}, ignore)
	if status := k.exits(2_000, [2]int32{11, 0}, [2]int32{10, 0}); status != 0 {
		t.Errorf("with its threads gone it goes on with %v", k.c.lin.of(10).tids)
	}
}

// TestMissedOnce: a member whose threads all went without a record is one, when it is gone; who is in no job is none.
func TestMissedOnce(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{})
	k.c.stats, k.c.stash = &source{fd: -1, buf: make([]byte, 64)}, make(stash) // nothing is queued
	for tid := int32(11); tid < 14; tid++ {
		k.c.lin.thread(10, tid, true)
		k.c.exit(&procEvent{a: tid, b: 10, time: 3}, ignore)
	}
	if n := k.c.counts; n.RecordsMissed != 0 || n.TasksMissed != 3 {
		t.Errorf("while it lives %d members are missed, %d tasks", n.RecordsMissed, n.TasksMissed)
	}
	k.c.exit(&procEvent{a: 10, b: 10, time: 4}, ignore)
	k.c.exit(&procEvent{a: 20, b: 20, time: 5}, ignore)
	if n := k.c.counts; n.RecordsMissed != 1 || n.TasksMissed != 4 {
		t.Errorf("when it is gone %d members are missed, %d tasks", n.RecordsMissed, n.TasksMissed)
	}
}

// TestExitUnderTheNumberOfWhoCalledExec: where a thread calls exec, the first thread sends its record, and then its EXIT with the
// number that the other one had (fs/exec.c, exchange_tids).
func TestExitUnderTheNumberOfWhoCalledExec(t *testing.T) {
	for _, after := range []bool{false, true} { // the EXEC
		k := newCourt(t)
		k.login(10, 7, job.Placement{})
		k.c.lin.thread(10, 11, true)
		k.c.stats, k.c.stash = &source{fd: -1, buf: make([]byte, 64)}, make(stash) // nothing is queued
		k.c.stash.put(10, watch.Usage{CPU: 5, Groups: watch.GroupCPU}, 1)
		if after {
			k.c.lin.exec(10, 2)
		}
		k.c.exit(&procEvent{a: 11, b: 10, time: 3}, ignore)
		if k.c.lin.exec(10, 4); k.c.counts.RecordsMissed != 0 || k.c.lin.of(10).missed || k.c.Exited(k.c.lin.of(10).id) != 5 {
			t.Errorf("after the exec: %v: %d records are missed, %d ns of 5 are counted", after, k.c.counts.RecordsMissed, k.c.Exited(k.c.lin.of(10).id))
		}
	}
}
