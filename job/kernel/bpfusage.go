package kernel

import (
	"os"
	"time"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// The kernel's flags of a task (include/linux/sched.h), and those of accounting that follow from them (linux/acct.h), as
// bacct_add_tsk has it (kernel/tsacct.c).
var taskFlags = []struct {
	task uint32
	acct uint8
}{{0x40, 0x01}, {0x100, 0x02}, {0x200, 0x08}, {0x400, 0x10}}

// note takes down what is known of a process while a task of it exits. The later exit names the process.
func (c *BPF) note(p *proc, ev *label.Event) {
	u, left := c.usage(p), &ev.Left
	c.comm = commText(left.Comm[:], c.comm)
	u.Comm, u.PPID, u.UID, u.GID = c.comm, left.Parent, left.UID, left.GID
	u.Nice, u.Sched = int8(left.Nice), uint8(left.Policy)
	for _, f := range taskFlags {
		if left.Flags&f.task != 0 {
			u.Flags |= f.acct
		}
	}
	u.Elapsed = max(c.clock.bootTime(ev.Time)-p.start, 0)
	u.BTime = time.Now().Add(-time.Duration(c.clock.boot - p.start)).Unix()
	if u.Groups.Has(watch.GroupMemory) {
		page := int64(os.Getpagesize())
		u.MaxRSS, u.MaxVM = max(u.MaxRSS, int64(left.MaxRSS)*page), max(u.MaxVM, int64(left.VM)*page)
	}
}

// usage gives what is known of a process's use so far.
func (c *BPF) usage(p *proc) *watch.Usage {
	if p.usage == nil {
		p.usage = c.lin.takeUsage()
		*p.usage = watch.Usage{Groups: c.groups}
	}
	return p.usage
}

// leaves notes what a task had used when it exited: that is what is known of it until it is gone.
func (c *BPF) leaves(p *proc, t *label.Used) {
	if p.leaving == nil {
		if n := len(c.spareUsed); n > 0 {
			p.leaving, c.spareUsed = c.spareUsed[n-1], c.spareUsed[:n-1]
			*p.leaving = label.Used{}
		} else {
			p.leaving = new(label.Used)
		}
	}
	p.leaving.Add(t)
}

// Exited gives the CPU of a living process's threads that have exited, ns, also of those that the kernel has not freed yet.
func (c *BPF) Exited(id watch.ID) int64 {
	ns := c.engine.Exited(id)
	if p := c.lin.of(id.PID); p != nil && p.id == id && p.leaving != nil {
		ns += int64(p.leaving.CPU)
	}
	return ns
}

// chargeZombie adds what the last task of a process has used that nobody waits for: it stays listed, and nothing is charged to it any more. It
// reports whether that is sure.
func (c *BPF) chargeZombie(p *proc) bool {
	if p.leaving == nil {
		return false
	}
	ns, ok := c.FS.Runtime(p.id.PID)
	sure := ok && len(p.tids) <= 1
	if sure {
		p.leaving.CPU = uint64(ns)
	}
	c.charge(p, p.leaving)
	return sure
}

// charge adds what a task had used in the end.
func (c *BPF) charge(p *proc, t *label.Used) {
	u := c.usage(p)
	u.Threads++
	u.User += int64(t.User)
	u.System += int64(t.System)
	u.MinFault += int64(t.MinFault)
	u.MajFault += int64(t.MajFault)
	if u.Groups.Has(watch.GroupCPU) {
		u.CPU += int64(t.CPU)
	}
	if u.Groups.Has(watch.GroupMemory) {
		u.CoreMem += mibUsec(t.RSSIntegral)
		u.VirtMem += mibUsec(t.VMIntegral)
	}
	if u.Groups.Has(watch.GroupIO) {
		u.ReadChars += int64(t.ReadChars)
		u.WriteChars += int64(t.WriteChars)
		u.ReadCalls += int64(t.ReadCalls)
		u.WriteCalls += int64(t.WriteCalls)
		u.ReadBytes += int64(t.ReadBytes)
		u.WriteBytes += max(int64(t.WriteBytes-t.Cancelled), 0)
	}
	if u.Groups.Has(watch.GroupSwitch) {
		u.VolSwitch += int64(t.VolSwitch)
		u.InvSwitch += int64(t.InvSwitch)
	}
	if u.Groups.Has(watch.GroupDelay) {
		u.CPUDelay += int64(t.CPUDelay)
		u.BlkDelay += int64(t.BlkDelay)
		u.SwapDelay += int64(t.SwapDelay)
		u.ReclaimDelay += int64(t.ReclaimDelay)
	}
}

// mibUsec turns an integral of memory, pages and ns by 1024 (kernel/tsacct.c, __acct_update_integrals), to MiB·µs, as xacct_add_tsk does.
func mibUsec(integral uint64) int64 {
	return int64(integral * uint64(os.Getpagesize()) / (1000 * kib))
}
