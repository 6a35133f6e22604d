package kernel

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// TestIntegrationNewborn: a fork is told of before its child is in the cgroup that it will be born in (kernel/fork.c: first
// proc_fork_connector, then cgroup_post_fork), and reads as one of the root's until then. Whoever looks at once is told the truth
// nevertheless.
func TestIntegrationNewborn(t *testing.T) {
	c := realEngine(t)
	cg, err := FindCgroups(Proc, CgroupAuto)
	if err != nil || !cg.CanMake() {
		t.Skipf("no cgroups can be made here: %v, %v", cg, err)
	}
	const forks = 10000
	id, begin := shell(t, c, "i=0; while [ $i -lt 10000 ]; do (:); i=$((i+1)); done; sleep 60")
	p, err := (&engine{FS: Proc, Cgroups: cg, lin: c.lin, bench: c.bench}).Place(id.PID, job.NewJID(uint32(os.Getpid()), uint32(time.Now().UnixNano())|1))
	if err != nil || !p.Own {
		t.Fatalf("placement %+v, %v", p, err)
	}
	t.Cleanup(func() {
		if err := cg.Kill(p.Cgroup); err != nil {
			t.Error(err)
		}
		until(t, c, ignore, func() bool { return cg.Remove(p.Cgroup) == nil })
	})
	var raw, wrong, heard, all atomic.Int64
	s, err := newSentinel(func(pid int32, at int64) (testimony, bool) {
		all.Add(1)
		if place, err := Proc.Cgroup(pid); err == nil && place == "/" {
			raw.Add(1)
		}
		said, ok := (&engine{FS: Proc, Cgroups: cg, bench: newBench()}).hear(pid, bornAt(at, readClocks()))
		if ok {
			heard.Add(1)
		}
		if ok && said.cgroup != p.Cgroup {
			wrong.Add(1)
		}
		return said, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if err := s.watch([]int32{id.PID}); err != nil {
		t.Fatal(err)
	}
	begin()
	for end := time.Now().Add(time.Minute); all.Load() < forks && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	t.Logf("of %d children %d were heard, %d of them read as the root's, and %d were taken for that", all.Load(), heard.Load(), raw.Load(), wrong.Load())
	if wrong.Load() > 0 || heard.Load() == 0 || all.Load() < forks {
		t.Errorf("%d of %d were not found where they are, %d of %d were told of", wrong.Load(), heard.Load(), all.Load(), forks)
	}
}

func TestNewborn(t *testing.T) {
	for _, c := range []struct {
		name, schedstat, listed string
		want                    string // "": it cannot be told
	}{
		{"has run", "5 6 1\n", "1\n", "/"},
		{"listed", "0 0 0\n", "1\n7\n", "/"},
		{"neither", "0 0 0\n", "1\n", ""},
		{"no schedstat, listed", "", "7\n", "/"},
		{"no schedstat", "", "1\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := fakeProc(t, map[string]string{"7/cgroup": "0::/\n", "mount/cgroup.procs": c.listed})
			if c.schedstat != "" {
				fs = fakeProc(t, map[string]string{"7/cgroup": "0::/\n", "7/schedstat": c.schedstat, "mount/cgroup.procs": c.listed})
			}
			if got, err := bornIn(fs, &Cgroups{Mount: string(fs) + "/mount"}, 7); got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("it is in %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
