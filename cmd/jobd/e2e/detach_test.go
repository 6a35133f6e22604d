package e2e

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// A tree that was taken out stays out: what it forks later, what that leaves behind, while jobd is there and while it is not,
// whatever the witnesses say, and when the job is killed.
func TestDetachedTreeStaysOut(t *testing.T) {
	for _, tt := range restartStacks {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.args...)
			h.newWorld(map[string]string{"svc": tt.stack})
			s := h.newSurvivor("out")
			s.grow(t)
			top := s.pids[1]
			all := s.pids
			fork := func(pid int32) int32 {
				t.Helper()
				must(t, signal(pid, unix.SIGUSR1))
				all = pidsIn(t, s.out, len(all)+1)
				return all[len(all)-1]
			}
			out := []int32{top, fork(top)}
			ans, err := h.client.Detach(h.soon(), control.Request{PID: top, Tree: true})
			if err != nil || len(ans.Processes) != 2 {
				t.Fatalf("detach: %+v, %v", ans, err)
			}
			check := func(when string) {
				t.Helper()
				for _, pid := range out {
					if jid := h.jobOf(pid); jid != 0 {
						t.Errorf("%s: process %d is in job %s again", when, pid, jid)
					}
					if tt.args == nil && cgroupOf(pid) == cgroupOf(s.pids[0]) {
						t.Errorf("%s: process %d is in the job's cgroup", when, pid)
					}
				}
				if h.jobOf(s.pids[0]) != s.jid {
					t.Errorf("%s: the other is not in the job", when)
				}
			}
			restart := func() {
				h.stop(unix.SIGKILL)
				out = append(out, fork(out[len(out)-1]))
				h.start()
			}
			out = append(out, fork(top), fork(out[1]))
			check("before a restart")
			restart()
			check("after a restart")
			// What is left of those that were named has only a witness for its job.
			orphan := fork(out[len(out)-1])
			for _, pid := range out {
				kill(t, pid)
			}
			out = []int32{orphan, fork(orphan)}
			check("as an orphan")
			restart()
			check("as an orphan, after a restart")
			kill(t, orphan)
			out = out[1:]
			check("as an orphan's orphan")
			restart()
			check("as an orphan's orphan, after a restart")
			_, err = h.client.Kill(h.soon(), control.Request{Job: ref(s.jid), Now: true})
			must(t, err)
			h.ended(s.jid)
			for _, pid := range out {
				if !alive(pid) {
					t.Errorf("process %d died with the job that it was taken out of", pid)
				}
			}
		})
	}
}
