package kernel

import (
	"encoding/binary"
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

func TestDecodeCapturedRecords(t *testing.T) {
	got := datagrams(t, "taskstats.hex")
	multi, ok := findExitRecord(got["multi"])
	if !ok || multi.tid != 19401 {
		t.Fatalf("found %v, tid %d", ok, multi.tid)
	}
	u := decoded(multi.stats, false)
	if u.UID != 65534 || u.GID != 65533 || u.PPID != 19360 || u.Comm != "sh" || u.CPU <= 0 || u.MaxRSS < 4096 {
		t.Errorf("got %+v", u)
	}
	const all = watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch
	if u.Groups != all {
		t.Errorf("groups %b, want %b: without delay accounting delays are not known", u.Groups, all)
	}
	if d := decoded(multi.stats, true); !d.Groups.Has(watch.GroupDelay) {
		t.Error("with delay accounting, delays are not known")
	}
	single, ok := findExitRecord(got["single"])
	if u := decoded(single.stats, false); !ok || u.Comm != "python3" || u.UID != 0 || u.User == 0 {
		t.Errorf("got %+v", u)
	}
}

// TestOlderRecordsLackGroups cuts a record to the sizes that other kernels send: what is missing is unknown, not 0.
func TestOlderRecordsLackGroups(t *testing.T) {
	r, _ := findExitRecord(datagrams(t, "taskstats.hex")["single"])
	for _, c := range []struct {
		size int
		want watch.Group
	}{
		{tsMin - 1, 0},
		{tsMin, watch.GroupBasic | watch.GroupCPU},
		{tsReadBytes, watch.GroupBasic | watch.GroupCPU | watch.GroupMemory},
		{tsNVCSW, watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO},
		{328, watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch},
		{416, watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch},
	} {
		if u := decoded(r.stats[:c.size], false); u.Groups != c.want {
			t.Errorf("%d bytes: groups %b, want %b", c.size, u.Groups, c.want)
		}
	}
}

// TestGroupsSwitchedOff: what nobody wants is not known, and nothing of it is left in the figures.
func TestGroupsSwitchedOff(t *testing.T) {
	r, _ := findExitRecord(datagrams(t, "taskstats.hex")["multi"])
	const all = watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch | watch.GroupDelay
	var full watch.Usage
	decodeTaskstats(&full, r.stats, all)
	for off, left := range map[watch.Group]func(*watch.Usage) *int64{
		watch.GroupCPU:    func(u *watch.Usage) *int64 { return &u.CPU },
		watch.GroupMemory: func(u *watch.Usage) *int64 { return &u.MaxRSS },
		watch.GroupIO:     func(u *watch.Usage) *int64 { return &u.ReadChars },
		watch.GroupSwitch: func(u *watch.Usage) *int64 { return &u.VolSwitch },
		watch.GroupDelay:  func(u *watch.Usage) *int64 { return &u.CPUDelay },
	} {
		var u watch.Usage
		decodeTaskstats(&u, r.stats, all&^off)
		if u.Groups != all&^off || *left(&u) != 0 || *left(&full) == 0 && off != watch.GroupDelay {
			t.Errorf("without %b: groups %b, %d left of %d", off, u.Groups, *left(&u), *left(&full))
		}
	}
	if decodeTaskstats(&full, r.stats, 0); full.Groups != watch.GroupBasic || full.UID != 65534 {
		t.Errorf("without all that can be switched off: %+v", full)
	}
}

// TestShiftedRecordIsRefused: the first kernels with version 15 had fields in the middle, so that ac_pid is not where it
// was. Nothing of such a record is believed.
func TestShiftedRecordIsRefused(t *testing.T) {
	b := datagrams(t, "taskstats.hex")["single"]
	r, _ := findExitRecord(b)
	binary.LittleEndian.PutUint32(r.stats[tsPID:], 1)
	if _, ok := findExitRecord(b); ok {
		t.Error("a record whose ac_pid is another was taken")
	}
}

func FuzzExitRecord(f *testing.F) {
	for _, b := range datagrams(f, "taskstats.hex") {
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, delays bool) {
		r, ok := findExitRecord(b)
		if !ok {
			return
		}
		u := decoded(r.stats, delays)
		if len(u.Comm) > tsCommLen || u.WriteBytes < 0 && u.Groups.Has(watch.GroupIO) {
			t.Errorf("got %+v", u)
		}
	})
}

func decoded(b []byte, delays bool) watch.Usage {
	u := watch.Usage{Comm: "before", ReclaimDelay: 5}
	wanted := ^watch.Group(0)
	if !delays {
		wanted &^= watch.GroupDelay
	}
	decodeTaskstats(&u, b, wanted)
	return u
}
