package kernel

import (
	"reflect"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// tells has the kernel tell of something, and gives the last that was emitted.
func (s *stage) tells(ev label.Event) (last watch.Event, used watch.Usage) {
	s.emits = func(e *watch.Event) error {
		last = *e
		if e.Usage != nil {
			used = *e.Usage
		}
		return nil
	}
	s.c.take(&ev, s.emit)
	return last, used
}

// everything is what a task has used of everything: that many of each.
func everything(n uint64) (u label.Used) {
	v := reflect.ValueOf(&u).Elem()
	for i := range v.NumField() {
		v.Field(i).SetUint(n)
	}
	u.Cancelled, u.RSSIntegral, u.VMIntegral = 0, n*1000*kib/4096, n*1000*kib/4096
	return u
}

// ends has process 10 with a thread exit, and gives what it used.
func (s *stage) ends() watch.Usage {
	s.play("c10<5 t10.11")
	start := s.starts[10]
	left := label.Left{MaxRSS: 3, VM: 5, Parent: 5, UID: 1000, GID: 100, Flags: 0x40 | 0x400, Policy: 3, Nice: -5, Comm: [16]byte{'a'}}
	s.c.clock = clocks{mono: start + 500, boot: start + 500}
	s.tells(label.Event{Kind: label.Exit, Time: start + 70, Job: 7, Start: start, PID: 10, TID: 11, Left: left})
	left.MaxRSS, left.VM, left.Comm, left.Flags = 2, 6, [16]byte{'b'}, 0x100
	s.tells(label.Event{Kind: label.Exit, Time: start + 90, Job: 7, Start: start, PID: 10, TID: 10, Real: 1, Left: left})
	s.tells(label.Event{Kind: label.Free, Job: 7, Start: start, PID: 10, TID: 11, Used: everything(3)})
	_, used := s.tells(label.Event{Kind: label.Free, Job: 7, Start: start, PID: 10, TID: 10, Used: everything(4)})
	return used
}

// TestBPFUsage: what tasks used is added up, and what a process had at most is kept.
func TestBPFUsage(t *testing.T) {
	used := newStage(t).ends()
	if age := time.Now().Unix() - used.BTime; age < 0 || age > 60 {
		t.Errorf("it began %d s ago", age)
	}
	want := watch.Usage{
		Groups: ^watch.Group(0), Comm: "b", UID: 1000, GID: 100, PPID: 5, BTime: used.BTime, Elapsed: 90, Nice: -5, Sched: 3, Flags: 1 | 2 | 16,
		CPU: 7, User: 7, System: 7, MinFault: 7, MajFault: 7, MaxRSS: 3 * 4096, MaxVM: 6 * 4096, CoreMem: 7, VirtMem: 7,
		ReadChars: 7, WriteChars: 7, ReadCalls: 7, WriteCalls: 7, ReadBytes: 7, WriteBytes: 7, VolSwitch: 7, InvSwitch: 7,
		CPUDelay: 7, BlkDelay: 7, SwapDelay: 7, ReclaimDelay: 7, Threads: 2,
	}
	if used != want {
		t.Errorf("it used %+v\nwant    %+v", used, want)
	}
}

// TestBPFUsageOfSomeGroups: what nobody wants to keep is not known.
func TestBPFUsageOfSomeGroups(t *testing.T) {
	all := newStage(t).ends()
	for _, c := range []struct {
		group watch.Group
		has   func(watch.Usage) int64
	}{
		{watch.GroupCPU, func(u watch.Usage) int64 { return u.CPU }},
		{watch.GroupMemory, func(u watch.Usage) int64 { return u.MaxRSS + u.MaxVM + u.CoreMem + u.VirtMem }},
		{watch.GroupIO, func(u watch.Usage) int64 {
			return u.ReadChars + u.WriteChars + u.ReadCalls + u.WriteCalls + u.ReadBytes + u.WriteBytes
		}},
		{watch.GroupSwitch, func(u watch.Usage) int64 { return u.VolSwitch + u.InvSwitch }},
		{watch.GroupDelay, func(u watch.Usage) int64 { return u.CPUDelay + u.BlkDelay + u.SwapDelay + u.ReclaimDelay }},
	} {
		s := newStage(t)
		s.c.groups &^= c.group
		used := s.ends()
		if c.has(used) != 0 || used.Groups != ^c.group || used.User != all.User {
			t.Errorf("without %b it used %+v", c.group, used)
		}
		s = newStage(t)
		s.c.groups = c.group | watch.GroupBasic
		if used := s.ends(); c.has(used) != c.has(all) || used.Groups != c.group|watch.GroupBasic {
			t.Errorf("with %b only it used %+v", c.group, used)
		}
	}
}

// TestBPFIDs: other ids are the member's that took them, and a while ago where the kernel says so.
func TestBPFIDs(t *testing.T) {
	s := newStage(t)
	s.play("c10<5")
	start := s.starts[10]
	e, _ := s.tells(label.Event{Kind: label.UID, Job: 7, Time: 77, Start: start, PID: 10, TID: 11, Real: 1000, Value: 1001, Other: 1})
	if e.Kind != watch.UID || e.Real != 1000 || e.Value != 1001 || !e.Valid || !e.Inferred || e.TID != 11 || e.Mono != 77 {
		t.Errorf("emitted is %+v", e)
	}
	e, _ = s.tells(label.Event{Kind: label.GID, Job: 7, Start: start, PID: 10, TID: 10, Real: 100, Value: 101})
	if e.Kind != watch.GID || e.Real != 100 || e.Value != 101 || e.Inferred {
		t.Errorf("emitted is %+v", e)
	}
}

// expires lets so much time go by since the last event, and gives what was emitted.
func (s *stage) expires(after time.Duration) string {
	s.told = nil
	s.c.clock = clocks{mono: s.now + int64(after), boot: s.now + int64(after)}
	s.c.expire(s.emit)
	if len(s.told) == 0 {
		return ""
	}
	return s.told[0]
}

// TestBPFExpires: what nobody waits for has its books closed after a while, with what it had used when it exited. So does what the end was
// lost of. Neither is told of again.
func TestBPFExpires(t *testing.T) {
	s := newStage(t)
	s.play("c10<5 t10.11 e10.11 f10.11 E10.10")
	if got := s.expires(9 * time.Second); got != "" {
		t.Errorf("after 9 s %s", got)
	}
	if got := s.expires(11 * time.Second); got != "u10=2?" {
		t.Errorf("after 11 s %s", got)
	}
	if got := s.play("f10.10"); got != "" || s.c.counts.RecordsStray != 1 {
		t.Errorf("then %s, %d strays", got, s.c.counts.RecordsStray)
	}
}

// TestBPFExpiresOfTheLast: a job does not stay open for long for one that nobody waits for.
func TestBPFExpiresOfTheLast(t *testing.T) {
	s := newStage(t)
	s.play("c10<5 E10.10 c20<5 E20.20 E5.5 f5.5")
	for _, p := range s.c.waiting {
		p.start = 500 * nsPerTick
	}
	comes(t, s.c.FS, 10, 5, "Z", 500)
	if got := s.expires(1500 * time.Millisecond); got != "u10=1?" || len(s.told) != 1 {
		t.Errorf("after 1.5 s %v", s.told)
	}
}
