package kernel

import (
	"bytes"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// LiveUsage reads what a living process has used so far: CPU in ticks of 10 ms from /proc/PID/stat, which counts every
// thread, those that exited too; bytes from io; the peak from status. With root's eyes; it never touches the process.
func (fs FS) LiveUsage(pid int32) (*watch.Usage, Stat, error) {
	st, err := fs.Stat(pid)
	if err != nil {
		return nil, Stat{}, err
	}
	u := &watch.Usage{
		Groups: watch.GroupBasic | watch.GroupCPU, Comm: st.Comm, PPID: st.PPID,
		User: int64(st.Utime) * nsPerTick, System: int64(st.Stime) * nsPerTick, Threads: int32(st.Threads),
	}
	u.CPU = u.User + u.System
	if b, err := fs.hold(pid, "io"); err == nil {
		u.Groups |= watch.GroupIO
		u.ReadBytes, u.WriteBytes = field(b, "read_bytes:"), field(b, "write_bytes:")-field(b, "cancelled_write_bytes:")
		u.ReadChars, u.WriteChars = field(b, "rchar:"), field(b, "wchar:")
		u.ReadCalls, u.WriteCalls = field(b, "syscr:"), field(b, "syscw:")
	}
	if b, err := fs.read(pid, "status"); err == nil {
		u.UID, u.GID = uint32(field(b, "Uid:")), uint32(field(b, "Gid:"))
		if v := field(b, "VmHWM:"); v > 0 {
			u.Groups |= watch.GroupMemory
			u.MaxRSS, u.MaxVM = v*kib, field(b, "VmPeak:")*kib
		}
	}
	return u, st, nil
}

// LiveCPU is LiveUsage for the CPU alone, one file instead of three.
func (fs FS) LiveCPU(pid int32) (*watch.Usage, error) {
	st, err := fs.Stat(pid)
	if err != nil {
		return nil, err
	}
	u := &watch.Usage{
		Groups: watch.GroupBasic | watch.GroupCPU, Comm: st.Comm,
		User: int64(st.Utime) * nsPerTick, System: int64(st.Stime) * nsPerTick,
	}
	u.CPU = u.User + u.System
	return u, nil
}

// Spent reads what a process has used so far, to be taken off what it will have used in the end: its tasks' CPU as their
// exit records will have it (sum_exec_runtime, the first field of /proc/PID/task/TID/schedstat), the rest as LiveUsage.
func (fs FS) Spent(pid int32) job.Spent {
	u, _, err := fs.LiveUsage(pid)
	if err != nil {
		return job.Spent{} // gone: there is nothing to take it off
	}
	s := job.Spent{CPU: u.CPU, User: u.User, System: u.System, ReadBytes: u.ReadBytes, WriteBytes: u.WriteBytes}
	if ns, ok := fs.Runtime(pid); ok {
		s.CPU = ns
	}
	return s
}

// Runtime adds up the living tasks' run time, ns. Those that have exited are on nobody's account any more.
func (fs FS) Runtime(pid int32) (ns int64, ok bool) {
	tids, err := fs.Tasks(pid)
	if err != nil {
		return 0, false
	}
	for _, tid := range tids {
		b, err := fs.read(pid, "task/"+strconv.Itoa(int(tid))+"/schedstat")
		if err != nil {
			continue
		}
		first, _, _ := bytes.Cut(b, []byte(" "))
		if v, err := strconv.ParseInt(string(first), 10, 64); err == nil {
			ns += v
			ok = true
		}
	}
	return ns, ok
}

// field finds the first number after a name at the beginning of a line; 0 when there is none.
func field(b []byte, name string) int64 {
	f := line(b, name)
	if len(f) == 0 {
		return 0
	}
	v, _ := strconv.ParseInt(string(f[0]), 10, 64)
	return v
}

// line gives the words behind a name at the beginning of a line.
func line(b []byte, name string) [][]byte {
	for l := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(l, []byte(name)); ok {
			return bytes.Fields(rest)
		}
	}
	return nil
}

// Comm reads a process's name, 15 bytes that it may have chosen itself.
func (fs FS) Comm(pid int32) string {
	b, err := fs.read(pid, "comm")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(b, []byte("\n")))
}

// Exe reads which program a process runs. Empty when it has gone, is a kernel thread, or cannot be looked at now.
func (fs FS) Exe(pid int32) string {
	s, err := fs.link(pid, "exe")
	if err != nil {
		return ""
	}
	return s
}

// Wchan reads which function of the kernel a process sleeps in, /proc/PID/wchan. Empty when it does not.
func (fs FS) Wchan(pid int32) string {
	b, err := fs.hold(pid, "wchan")
	if err != nil || string(b) == "0" {
		return ""
	}
	return string(b)
}

// StartTime gives when a process was started, and how long ago that was, to a tick.
func StartTime(st Stat) (start time.Time, age time.Duration) {
	age = time.Duration(max(readClocks().boot-int64(st.Start)*nsPerTick, 0))
	return time.Now().Add(-age).UTC(), age
}
