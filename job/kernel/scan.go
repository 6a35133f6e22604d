package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// clocks is what the two clocks said at one moment. Events are stamped with CLOCK_MONOTONIC, start times in /proc with
// CLOCK_BOOTTIME, which goes on while the host sleeps.
type clocks struct {
	mono, boot int64
}

func readClocks() clocks {
	return together(func() (before, boot, after int64) {
		var m, b, n unix.Timespec
		// None of the calls can fail for these clocks (clock_gettime(2)).
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &m)
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &b)
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &n)
		return m.Nano(), b.Nano(), n.Nano()
	})
}

// together reads both clocks until they are of one moment: another may get the CPU between one and the other, and a difference
// that is off by more than startSlack would make strangers of processes and their events.
func together(read func() (before, boot, after int64)) (best clocks) {
	const tries, close = 5, nsPerTick / 10
	for i, least := 0, int64(0); i < tries; i++ {
		before, boot, after := read()
		if i == 0 || after-before < least {
			best, least = clocks{after, boot}, after-before
		}
		if least < close {
			break
		}
	}
	return best
}

// bootTime turns an event's stamp into time since boot.
func (c clocks) bootTime(mono int64) int64 { return mono + c.boot - c.mono }

// nsPerTick is what field 22 of /proc/PID/stat counts in.
const nsPerTick = int64(time.Second) / ticksPerSecond

// How far a start time read from /proc may be from the stamp of the fork event. It may be later by the tick that it is cut
// to, and as much again for the clocks. It may be earlier by as long as the CPU was kept on its way through copy_process, in
// which it is taken before the event is sent: whoever has a pid and began before the event is whom that tells of.
const (
	startSlack  = 3 * nsPerTick
	startBehind = int64(2 * time.Second)
)

// sameStart reports whether a process of the table can be the one that /proc shows under its pid.
func sameStart(bootNS int64, ticks uint64) bool {
	d := bootNS - int64(ticks)*nsPerTick
	return -startSlack < d && d < startBehind
}

// seen is a process as a scan found it.
type seen struct {
	Stat
	tids  []int32 // only when it has several
	vague bool    // it was in the middle of an exec: Start is not known
}

// age sorts by start, what is not known last.
func (s *seen) age() uint64 {
	if s.vague {
		return math.MaxUint64
	}
	return s.Start
}

// scan reads every process in /proc, oldest first, so that a parent comes before its children. Those that exit meanwhile
// are left out: their events tell.
func (c *engine) scan() ([]seen, error) {
	pids, err := c.FS.PIDs()
	if err != nil {
		return nil, fmt.Errorf("cannot scan %s: %w", c.FS, err)
	}
	if !slices.Contains(pids, c.self) || !slices.Contains(pids, 1) {
		return nil, fmt.Errorf("cannot scan %s: the list lacks jobd itself or pid 1", c.FS)
	}
	type sight struct {
		seen
		err error
	}
	at := func(stat func(int32) (Stat, error)) func(int) sight {
		return func(i int) (s sight) {
			s.seen, s.err = c.see(pids[i], stat)
			return s
		}
	}
	out := make([]seen, 0, len(pids))
	for i, s := range inBatches(len(pids), at(c.FS.statNow), at(c.FS.Stat)) {
		switch {
		case s.err == nil:
			out = append(out, s.seen)
		case !errors.Is(s.err, ErrGone):
			return nil, fmt.Errorf("cannot scan process %d: %w", pids[i], s.err)
		}
	}
	oldestFirst(out)
	return out, nil
}

// see looks at one process. ErrGone: it has exited.
func (c *engine) see(pid int32, stat func(int32) (Stat, error)) (s seen, err error) {
	s.Stat, err = stat(pid)
	if s.vague = errors.Is(err, ErrBusy); s.vague {
		s.Stat, err = c.FS.Status(pid)
	}
	if err == nil && s.Dead() {
		err = ErrGone
	}
	if err == nil {
		s.tids, err = c.tasks(s.Stat)
	}
	return s, err
}

// tasks lists a process's threads where it has several. ErrGone: the last have exited since st was read. The first may have
// exited long ago, so that no event would tell of the end.
func (c *engine) tasks(st Stat) ([]int32, error) {
	if st.Threads <= 1 {
		return nil, nil
	}
	tids, err := c.FS.Tasks(st.PID)
	if st.State == 'Z' { // the first thread is only listed
		tids = slices.DeleteFunc(tids, func(tid int32) bool { return tid == st.PID })
	}
	if err == nil && len(tids) == 0 {
		err = ErrGone
	}
	return tids, err
}

// scanFirst fills the table with what lives already.
func (c *engine) scanFirst() error {
	list, err := c.scan()
	if err != nil {
		return err
	}
	for _, s := range list {
		c.found(s)
	}
	c.first, c.scanned = list, readClocks().mono
	return nil
}

// scanOlder fills the table with what is older than the first event in the queue: of the others the queue tells. What it
// cannot tell, because nobody knows whose the dead were, is found by the comparison that follows it.
func (c *Connector) scanOlder() error {
	c.clock = readClocks()
	from := c.clock.mono
	if b, ok, err := c.events.peek(); err != nil {
		return fmt.Errorf("cannot read the queue of process events: %w", err)
	} else if ok {
		if ev, err := decodeProcEvent(b); err == nil {
			from = ev.time
		}
	}
	list, err := c.scan()
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.vague || int64(s.Start)*nsPerTick <= c.clock.bootTime(from)+startSlack {
			c.found(s)
		}
	}
	c.first, c.scanned = list, readClocks().mono
	c.replays, c.lost = true, true
	return nil
}

// there is a scan of those who are in the table. It takes what the first scan found, once, and looks again at who has come since, at
// who could not be looked at, and at whose parent has gone: they were left to another.
func (c *engine) there() ([]seen, error) {
	list := c.first
	if c.first = nil; list == nil {
		return c.scan()
	}
	stays := make(map[int32]bool, len(list))
	for i := range list {
		p := c.lin.of(list[i].PID)
		stays[list[i].PID] = p != nil && !list[i].vague && p.seenAs(&list[i])
	}
	holds := make(map[int32]bool, len(list))
	list = slices.DeleteFunc(list, func(s seen) bool {
		holds[s.PID] = stays[s.PID] && (s.PPID == 0 || stays[s.PPID])
		return !holds[s.PID]
	})
	for id := range c.lin.live.All() {
		if holds[id.PID] {
			continue
		}
		switch s, err := c.see(id.PID, c.FS.Stat); {
		case err == nil:
			list = append(list, s)
		case !errors.Is(err, ErrGone):
			return nil, fmt.Errorf("cannot look at process %d: %w", id.PID, err)
		}
	}
	oldestFirst(list)
	return list, nil
}

func oldestFirst(list []seen) {
	slices.SortFunc(list, func(a, b seen) int { return cmp.Or(cmp.Compare(a.age(), b.age()), cmp.Compare(a.PID, b.PID)) })
}

// seenAs reports whether a process of the table can be the one that a scan found under its pid. Of one that was in the middle of an
// exec when it was found first the start is not known before it is found again.
func (p *proc) seenAs(s *seen) bool { return s.vague || p.began(s.Start) }

func (p *proc) began(ticks uint64) bool {
	if p.scanned && p.start == 0 {
		p.start = int64(ticks) * nsPerTick
	}
	return sameStart(p.start, ticks)
}

// found adds a process that a scan found. Its fork event may still be in the queue.
func (c *engine) found(s seen) *proc {
	p := c.lin.add(s.PID, int64(s.Start)*nsPerTick)
	p.scanned, p.tids = true, s.tids
	if parent := c.lin.of(s.PPID); parent != nil {
		p.parent = parent.id
	}
	return p
}
