package kernel

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What is lost is counted exactly: the socket's own counter of drops and the gaps in each CPU's numbers agree, once every
// CPU has sent something again.
func TestLossIsExact(t *testing.T) {
	c := realEngine(t)
	everywhere(t, 1) // so that each CPU's number is known
	until(t, c, ignore, func() bool { return c.Counts().QueuedEvents == 0 })
	const noise = 250_000 // the buffer holds some 160,000
	everywhere(t, noise)
	until(t, c, ignore, func() bool { return c.Counts().Resyncs > 0 })
	everywhere(t, 1)
	until(t, c, ignore, func() bool { return c.gaps.lost == c.counts.EventsDropped })
	if n := c.Counts(); n.Lost != n.EventsDropped || n.Lost == 0 || n.Lost > noise {
		t.Errorf("lost %d, dropped %d, gaps of %d", n.Lost, n.EventsDropped, c.gaps.lost)
	}
}

// everywhere makes events that mean nothing, on every CPU that this process may use: so many in all, and at least one on each.
func everywhere(t *testing.T, n int) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &all) }()
	for cpu := range 8192 {
		if !all.IsSet(cpu) {
			continue
		}
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		for range max(n/all.Count(), 1) {
			if err := Knock(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
