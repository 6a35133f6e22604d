package e2e

import "testing"

// TestMovedWithoutItsFirstThread: what random operations found. The kernel goes on listing a first thread that has exited in the
// cgroup that its process was moved out of.
func TestMovedWithoutItsFirstThread(t *testing.T) {
	r := newRandom(t, "cgroup", nil)
	must(t, r.replay([]string{"spawn p1", "thread p1 t1", "hold j2", "login p1 j1", "leave p1 1", "move p1 j2 -", "kill p1"}))
}
