package kernel

import (
	"slices"
	"testing"
	"time"
)

// A process that ends while it is looked at is left out: nobody would tell of its end any more. Its first thread had exited,
// and the others have gone between one look and the next.
func TestScanLeavesOutWhoIsGoing(t *testing.T) {
	fs := fakeProc(t, map[string]string{
		"1/stat":       statLine(1, "init", "S", 0, 1, 0),
		"40/stat":      statLine(40, "jobd", "S", 1, 1, 10),
		"41/stat":      statLine(41, "gone", "Z", 1, 4, 20),
		"42/stat":      statLine(42, "going", "Z", 1, 4, 30),
		"42/task/42/x": "",
		"43/stat":      statLine(43, "goes on", "Z", 1, 2, 40),
		"43/task/43/x": "",
		"43/task/44/x": "",
		"45/stat":      statLine(45, "vanished", "S", 1, 3, 50),
		"46/stat":      statLine(46, "threads", "S", 1, 2, 60),
		"46/task/46/x": "",
		"46/task/47/x": "",
		"48/stat":      statLine(48, "zombie", "Z", 1, 1, 70),
		"48/task/48/x": "",
	})
	c := &engine{FS: fs, self: 40}
	list, err := c.scan()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[int32][]int32)
	for _, s := range list {
		slices.Sort(s.tids)
		got[s.PID] = s.tids
	}
	if len(got) != 4 || !slices.Equal(got[43], []int32{44}) || !slices.Equal(got[46], []int32{46, 47}) || got[1] != nil || got[40] != nil {
		t.Errorf("the scan found %v", got)
	}
}

// A start time in /proc may be well before the stamp of the fork event, on a busy host, but hardly after it.
func TestSameStart(t *testing.T) {
	const tick = 500
	at := int64(tick) * nsPerTick
	for _, c := range []struct {
		stamp int64
		same  bool
	}{
		{at, true}, {at + nsPerTick/2, true}, {at + int64(time.Second), true}, {at + int64(3*time.Second), false},
		{at - nsPerTick, true}, {at - 4*nsPerTick, false}, {at - int64(time.Second), false},
	} {
		if got := sameStart(c.stamp, tick); got != c.same {
			t.Errorf("stamped %s after its start: %v", time.Duration(c.stamp-at), got)
		}
	}
}

// TestClocksOfOneMoment: somebody else had the CPU between the readings of the two clocks.
func TestClocksOfOneMoment(t *testing.T) {
	const ms, asleep = 1_000_000, 5_000_000
	reads := [][3]int64{{100 * ms, 150*ms + asleep, 150 * ms}, {200 * ms, 200*ms + asleep, 280 * ms}, {300 * ms, 300*ms + asleep, 300*ms + 40}}
	at := 0
	got := together(func() (before, boot, after int64) {
		r := reads[at]
		at++
		return r[0], r[1], r[2]
	})
	if d := got.boot - got.mono - asleep; d < -ms || d > ms {
		t.Errorf("the clocks are %d ns off", d)
	}
}
