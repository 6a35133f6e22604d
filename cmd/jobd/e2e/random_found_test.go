package e2e

import "testing"

// TestMovedWithoutItsFirstThread: what random operations found. The kernel goes on listing a first thread that has exited in the
// cgroup that its process was moved out of.
func TestMovedWithoutItsFirstThread(t *testing.T) {
	r := newRandom(t, "cgroup", nil)
	must(t, r.replay([]string{"spawn p1", "thread p1 t1", "hold j2", "login p1 j1", "leave p1 1", "move p1 j2 -", "kill p1"}))
}

// TestOutcastOfANestedJob: what random operations found. Who was taken out of a job that ended with that makes a process in the name of its
// parent, which is in the job around it; a member of that makes one in the name of who was taken out.
func TestOutcastOfANestedJob(t *testing.T) {
	r := newRandom(t, "cgroup", nil)
	must(t, r.replay([]string{
		"spawn p1", "login p1 j1", "fork p1 p2 -", "fork p2 p3 -", "login p2 j2", "detach p2 -", "fork p2 p4 P", "fork p3 p5 P",
	}))
}
