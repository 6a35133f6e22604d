package job

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/watch"
)

// grown is a process that uses CPU: what the scheduler charged, and the part of it that records will see.
type grown struct{ charged, seen int64 }

func (g grown) usage() *watch.Usage {
	return &watch.Usage{Groups: watch.GroupBasic | watch.GroupCPU, CPU: g.seen, User: g.seen, Threads: 1}
}

// TestUseIsCountedOnce: whatever happens between checkpoints, partial records, final ones less what came earlier, and parts
// add up to what the job is said to have used.
func TestUseIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.tick()
		in, err := w.table.Create(Request{Proc: w.id(100), Info: Info{User: "alice"}})
		check(rt, err)
		procs := map[int32]*grown{100: {}}
		due := map[int32]*grown{} // have gone, and are still to be told of
		var charged, records, parts int64
		var end *Saved
		var parted int64
		take := func() {
			for _, e := range w.table.Effects() {
				switch e := e.(type) {
				case *Record:
					net := e.Net()
					records += net.CPU
					if e.Partial && net.Usage != e.Usage {
						rt.Fatalf("a partial record has something off: %+v", e)
					}
				case Part:
					parts += e.Unattributed
				case EndedJob:
					end, parted = &e.Saved, e.Saved.Parted
				}
			}
		}
		next := int32(101)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			w.tick()
			pids := make([]int32, 0, len(procs))
			for pid := int32(100); pid < next; pid++ {
				if procs[pid] != nil {
					pids = append(pids, pid)
				}
			}
			pid := rapid.SampledFrom(pids).Draw(rt, "pid")
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				check(rt, w.fork(pid, next, false))
				procs[next] = &grown{}
				next++
			case 1:
				seen := rapid.Int64Range(0, 1000).Draw(rt, "seen")
				unseen := rapid.Int64Range(0, 1000).Draw(rt, "unseen")
				procs[pid].seen += seen
				procs[pid].charged += seen + unseen
				charged += seen + unseen
			case 2:
				live := make(map[watch.ID]*watch.Usage)
				for _, pid := range pids {
					live[w.id(pid)] = procs[pid].usage()
				}
				check(rt, w.table.Checkpoint(in.JID, w.now, live, &charged))
			case 3:
				if len(pids) > 1 {
					check(rt, w.exit(pid, 0, procs[pid].usage(), false))
					delete(procs, pid)
				}
			case 4:
				if len(pids) > 1 {
					check(rt, w.exitLater(pid, 0, false))
					due[pid] = procs[pid]
					delete(procs, pid)
				}
			case 5:
				for pid, g := range due {
					check(rt, w.used(pid, g.usage(), false))
				}
				clear(due)
			}
			take()
		}
		for pid, g := range procs {
			check(rt, w.exit(pid, 0, g.usage(), false))
		}
		for pid, g := range due {
			check(rt, w.used(pid, g.usage(), false))
		}
		take()
		if end == nil {
			rt.Fatal("the job did not end")
		}
		end.SetCPU(charged, SourceCgroup)
		if parted > *end.CPUUnattributed {
			rt.Fatalf("parts hold %d, and in the end records hold all but %d", parted, *end.CPUUnattributed)
		}
		if got := records + parts + *end.CPUUnattributed - parted; got != charged || *end.CPU != charged {
			rt.Fatalf("records %d + parts %d + the rest %d - %d = %d, the job %d, charged %d", records, parts, *end.CPUUnattributed,
				parted, got, *end.CPU, charged)
		}
	})
}
