package watch

// Group is a part of Usage that a kernel may or may not have given.
type Group uint16

// The groups, after the parts of struct taskstats (linux/taskstats.h). A group that is missing is unknown, not 0.
const (
	GroupBasic  Group = 1 << iota // comm, ids, times, faults
	GroupCPU                      // CPU: cpu_run_virtual_total
	GroupMemory                   // MaxRSS, MaxVM, CoreMem, VirtMem (CONFIG_TASK_XACCT)
	GroupIO                       // ReadChars … WriteBytes (CONFIG_TASK_IO_ACCOUNTING)
	GroupSwitch                   // voluntary and involuntary context switches
	GroupDelay                    // the delays (kernel.task_delayacct=1)
)

// Has reports whether every group of want is known.
func (g Group) Has(want Group) bool { return g&want == want }

// Usage is what the kernel accounted for a task, or for a process as the sum over its threads.
// Durations are nanoseconds, sizes bytes.
type Usage struct {
	Groups Group

	Comm    string // of the thread that exited last; 15 bytes, which anybody may forge
	UID     uint32 // real uid at exit
	GID     uint32
	PPID    int32
	BTime   int64 // start, Unix seconds
	Elapsed int64 // ns
	Nice    int8
	Sched   uint8
	Flags   uint8 // ac_flag: AFORK 1, ASU 2, ACORE 8, AXSIG 16 (linux/acct.h)

	CPU      int64 // what the scheduler had charged at the last tick before exit: too little, never too much
	User     int64 // in whole ticks
	System   int64 // in whole ticks
	MinFault int64
	MajFault int64

	MaxRSS  int64 // maximum over the threads
	MaxVM   int64 // maximum over the threads
	CoreMem int64 // integral, MiB·µs as the kernel counts it
	VirtMem int64 // integral, MiB·µs

	ReadChars, WriteChars int64 // through read(2), write(2) and their like
	ReadCalls, WriteCalls int64
	ReadBytes, WriteBytes int64 // to and from storage; WriteBytes less what was cancelled

	VolSwitch, InvSwitch int64

	CPUDelay, BlkDelay, SwapDelay, ReclaimDelay int64 // time spent waiting, ns

	Threads int32 // tasks that this adds up
}

// Add takes in what another thread of the same process used. The later exit names the process.
func (u *Usage) Add(v *Usage) {
	groups := u.Groups & v.Groups
	if u.Threads == 0 {
		groups = v.Groups
	}
	u.Comm, u.UID, u.GID, u.PPID = v.Comm, v.UID, v.GID, v.PPID
	u.Nice, u.Sched, u.Flags = v.Nice, v.Sched, u.Flags|v.Flags
	u.Groups = groups
	if u.BTime == 0 || v.BTime < u.BTime {
		u.BTime = v.BTime
	}
	u.Elapsed = max(u.Elapsed, v.Elapsed)
	u.CPU += v.CPU
	u.User += v.User
	u.System += v.System
	u.MinFault += v.MinFault
	u.MajFault += v.MajFault
	u.MaxRSS = max(u.MaxRSS, v.MaxRSS)
	u.MaxVM = max(u.MaxVM, v.MaxVM)
	u.CoreMem += v.CoreMem
	u.VirtMem += v.VirtMem
	u.ReadChars += v.ReadChars
	u.WriteChars += v.WriteChars
	u.ReadCalls += v.ReadCalls
	u.WriteCalls += v.WriteCalls
	u.ReadBytes += v.ReadBytes
	u.WriteBytes += v.WriteBytes
	u.VolSwitch += v.VolSwitch
	u.InvSwitch += v.InvSwitch
	u.CPUDelay += v.CPUDelay
	u.BlkDelay += v.BlkDelay
	u.SwapDelay += v.SwapDelay
	u.ReclaimDelay += v.ReclaimDelay
	u.Threads += max(v.Threads, 1)
}
