package kernel

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Hurry runs f before everything else that this CPU has to do (SCHED_RR, sched(7)): a thousand processes that want nothing
// but to fork would leave jobd a thousandth of it. f has to be short. Where that is not allowed, f runs as usual.
func Hurry(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const self = 0
	if before, err := unix.SchedGetAttr(self, 0); err == nil && before.Policy == schedOther {
		rr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}
		if unix.SchedSetAttr(self, &rr, 0) == nil {
			before.Flags |= unix.SCHED_FLAG_RESET_ON_FORK             // to take that back would need a right
			defer func() { _ = unix.SchedSetAttr(self, before, 0) }() // lowering is always allowed
		}
	}
	f()
}

const schedOther = 0 // SCHED_OTHER, linux/sched.h: SCHED_NORMAL
