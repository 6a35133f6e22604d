package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
)

// wallClock is what the wall clock said when it was looked at last, and CLOCK_BOOTTIME, which nobody sets.
type wallClock struct {
	wall time.Time
	boot int64
}

// look says by how much the wall clock has been set since the look before; 0: it was not.
func (c *wallClock) look(wall time.Time, boot int64) (by time.Duration) {
	if !c.wall.IsZero() {
		by = job.ClockStep(wall.Sub(c.wall), time.Duration(boot-c.boot))
	}
	c.wall, c.boot = wall, boot
	return by
}

// readClocks reads the three clocks at one moment, as near as can be: whoever is kept waiting between two of them would take that for
// a clock that was set.
func readClocks() (wall time.Time, mono, boot int64, ok bool) {
	for range 10 {
		before := monotonic()
		wall, boot = time.Now().Round(0), sinceBoot() // without the runtime's own reading of a clock that is never set
		if mono = monotonic(); mono-before < clockTogether.Nanoseconds() {
			return wall, mono, boot, true
		}
	}
	return wall, mono, boot, false
}

// clockTogether is how far apart readings of one moment may be.
const clockTogether = 5 * time.Millisecond

// syncClock tells the table what time it is, and the books when somebody has set the clock.
func (d *jobd) syncClock() {
	wall, mono, boot, ok := readClocks()
	d.table.Sync(wall, mono)
	d.table.Slept(boot - mono)
	if !ok {
		return // this host is too busy to tell; it will be asked again
	}
	by := d.clock.look(wall, boot)
	if by == 0 {
		return
	}
	d.table.Stepped(by)
	old := wall.Add(-by)
	d.log.Warn("the clock was set", "by", by.Round(time.Millisecond), "was", old)
	d.markStep(old, wall, "the clock was set")
	select {
	case d.clockSet <- old:
	default: // one is waiting already, of before this
	}
}

func (d *jobd) markStep(old, now time.Time, what string) {
	by, way := now.Sub(old).Round(time.Millisecond), "forward"
	if by < 0 {
		by, way = -by, "back"
	}
	old = old.UTC()
	d.mark(job.Moment{Time: now, Since: &old, Kind: job.MomentClock, Text: job.Text(fmt.Sprintf("%s %s by %s", what, way, by))})
}

func sinceBoot() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail for this clock
	return ts.Nano()
}

// farAway is when the timer runs out that the kernel cancels when the clock is set: never.
const farAway = 1 << 33

// watchClock has the loop look at the clock as soon as it is set, which costs nothing until then. Where that cannot be had the
// clock is looked at when something happens.
func (d *jobd) watchClock(ctx context.Context) error {
	if err := d.awaitSteps(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("cannot watch the clock: that it was set is noticed when something happens", "error", err)
	}
	return nil
}

// awaitSteps waits for the clock to be set: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
func (d *jobd) awaitSteps(ctx context.Context) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	defer context.AfterFunc(ctx, func() { f.Close() })()
	defer f.Close()
	at := unix.ItimerSpec{Value: unix.Timespec{Sec: farAway}}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &at, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	for b := make([]byte, 8); ; {
		_, err := f.Read(b)
		if !errors.Is(err, unix.ECANCELED) { // it was set, or the host has slept
			return err
		}
		_ = d.do(ctx, func() error { return nil }) // fails only when jobd stops; the loop looks at the clock before
	}
}
