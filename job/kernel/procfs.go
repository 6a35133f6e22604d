package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/look"
)

// FS is a mounted procfs. Each method names the file that it reads (proc(5)).
type FS string

// Proc is where procfs is mounted.
const Proc FS = "/proc"

// ErrGone is a process that is not there any more.
var ErrGone = errors.New("no such process")

// ticksPerSecond is USER_HZ: what /proc counts in is 100 a second on every architecture that Go runs on, whatever HZ is.
const ticksPerSecond = 100

// noSession is what an audit session or login uid reads while it is not set (linux/audit.h).
const noSession = 1<<32 - 1

// Stat is the part of /proc/PID/stat that is used.
type Stat struct {
	PID, PPID int32
	Comm      string
	State     byte
	Utime     uint64 // clock ticks, of every thread, those that exited too
	Stime     uint64
	Threads   int
	Start     uint64 // clock ticks since boot
}

// read reads a small file whole. A process that has gone is ErrGone, whichever way the kernel says it. For files that a process can
// hold up there is hold.
func (fs FS) read(pid int32, name string) ([]byte, error) {
	b, err := readWhole(fs.path(pid, name))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	return b, err
}

// ErrBusy is a process in the middle of an exec, of which not all can be read: it is there, and may stay like that for as long as
// it wants to.
var ErrBusy = look.ErrBusy

// looks are the one state of this package: what waits in them is threads of the whole program, whoever asked.
var looks = look.New(holdMost)

const holdMost = 20 * time.Millisecond

// hold reads what a process can hold up: stat, io, wchan. It may give ErrBusy.
func (fs FS) hold(pid int32, name string) ([]byte, error) {
	return look.At(looks, pid, func() ([]byte, error) { return fs.read(pid, name) })
}

// link reads a link of a process, which it can hold up: exe, ns/user. It may give ErrBusy.
func (fs FS) link(pid int32, name string) (string, error) {
	return look.At(looks, pid, func() (string, error) { return os.Readlink(fs.path(pid, name)) })
}

func (fs FS) path(pid int32, name string) string {
	return string(fs) + "/" + strconv.Itoa(int(pid)) + "/" + name
}

// Stat reads /proc/PID/stat. It may give ErrBusy. While another thread than the first calls exec there is a moment in which a living
// process reads as dead, and without threads (fs/exec.c, de_thread): so that is looked at again.
func (fs FS) Stat(pid int32) (Stat, error) { return statBy(pid, fs.hold) }

// statNow is Stat for whom it does not matter how long that takes.
func (fs FS) statNow(pid int32) (Stat, error) { return statBy(pid, fs.read) }

func statBy(pid int32, read func(pid int32, name string) ([]byte, error)) (s Stat, err error) {
	for range 3 {
		b, err := read(pid, "stat")
		if err != nil {
			return Stat{}, err
		}
		if s, err = parseStat(b); err != nil || s.Threads > 0 {
			return s, err
		}
	}
	return s, nil
}

// statAnyway is Stat for whom it is worth waiting ten times as long: on a host without a CPU to spare any look may take its time.
func (fs FS) statAnyway(pid int32) (st Stat, err error) {
	for end := time.Now().Add(10 * holdMost); ; time.Sleep(holdMost / 10) {
		if st, err = fs.Stat(pid); !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return st, err
		}
	}
}

// parseStat takes /proc/PID/stat apart. The name may hold spaces and brackets: the last bracket ends it.
func parseStat(b []byte) (Stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 2 || end < open {
		return Stat{}, errors.New("cannot read stat: no name in brackets")
	}
	f := strings.Fields(string(b[end+1:]))
	const need = 20 // through starttime, field 22 of the file
	if len(f) < need || len(f[0]) != 1 {
		return Stat{}, fmt.Errorf("cannot read stat: %d fields", len(f))
	}
	pid, err := strconv.ParseInt(strings.TrimSpace(string(b[:open])), 10, 32)
	s := Stat{PID: int32(pid), Comm: string(b[open+1 : end]), State: f[0][0]}
	number := func(i int) (v uint64) {
		if err == nil {
			v, err = strconv.ParseUint(f[i-3], 10, 64) // i as proc(5) counts fields
		}
		return v
	}
	s.PPID, s.Utime, s.Stime = int32(number(4)), number(14), number(15)
	s.Threads, s.Start = int(number(20)), number(22)
	if err != nil {
		return Stat{}, fmt.Errorf("cannot read stat: %w", err)
	}
	return s, nil
}

// Status reads of /proc/PID/status, which nobody can hold up, what it has of Stat: not the name, the start, nor the times.
func (fs FS) Status(pid int32) (Stat, error) {
	b, err := fs.read(pid, "status")
	if err != nil {
		return Stat{}, err
	}
	return parseStatus(b), nil
}

func parseStatus(b []byte) Stat {
	s := Stat{PID: int32(field(b, "Tgid:")), PPID: int32(field(b, "PPid:")), Threads: int(field(b, "Threads:"))}
	if f := line(b, "State:"); len(f) > 0 {
		s.State = f[0][0]
	}
	return s
}

// Dead reports a process whose last task has exited: a zombie, unless threads live on behind a first one that exited.
func (s Stat) Dead() bool { return (s.State == 'Z' || s.State == 'X') && s.Threads <= 1 }

// PIDs lists the processes.
func (fs FS) PIDs() ([]int32, error) { return numbers(string(fs)) }

// Tasks lists the threads of a process, /proc/PID/task.
func (fs FS) Tasks(pid int32) ([]int32, error) {
	tids, err := numbers(string(fs) + "/" + strconv.Itoa(int(pid)) + "/task")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	return tids, err
}

// Children lists the children of a process's threads, /proc/PID/task/TID/children. Empty where it has gone, or there is no such
// file.
func (fs FS) Children(pid int32) (out []int32) {
	tids, err := fs.Tasks(pid)
	if err != nil {
		return nil
	}
	for _, tid := range tids {
		b, err := fs.read(pid, "task/"+strconv.Itoa(int(tid))+"/children")
		if err != nil {
			continue
		}
		for _, f := range bytes.Fields(b) {
			if v, err := strconv.ParseInt(string(f), 10, 32); err == nil {
				out = append(out, int32(v))
			}
		}
	}
	return out
}

// listsChildren reports whether the kernel lists children at all. pid is somebody who is there.
func (fs FS) listsChildren(pid int32) bool {
	n := strconv.Itoa(int(pid))
	_, err := os.Stat(string(fs) + "/" + n + "/task/" + n + "/children")
	return err == nil
}

func numbers(dir string) ([]int32, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := make([]int32, 0, len(names))
	for _, n := range names {
		if v, err := strconv.ParseInt(n, 10, 32); err == nil {
			out = append(out, int32(v))
		}
	}
	return out, nil
}

// Cgroup reads the process's place in the v2 hierarchy from /proc/PID/cgroup: the line 0::/path.
func (fs FS) Cgroup(pid int32) (string, error) {
	b, err := fs.read(pid, "cgroup")
	if err != nil {
		return "", err
	}
	return parseCgroup(b), nil
}

// CgroupOfAny is Cgroup for a process whose first thread may have exited: a move takes only living threads along.
func (fs FS) CgroupOfAny(pid int32) (string, error) {
	tids, err := fs.Tasks(pid)
	if err != nil || len(tids) < 2 {
		return fs.Cgroup(pid)
	}
	for _, tid := range tids {
		st, err := fs.read(pid, "task/"+strconv.Itoa(int(tid))+"/status") // nobody holds it up
		if err != nil {
			continue
		}
		if s := parseStatus(st); s.State == 'Z' || s.State == 'X' {
			continue
		}
		if b, err := fs.read(pid, "task/"+strconv.Itoa(int(tid))+"/cgroup"); err == nil {
			return parseCgroup(b), nil
		}
	}
	return fs.Cgroup(pid)
}

func parseCgroup(b []byte) string {
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(strings.TrimSuffix(path, "\n"), " (deleted)")
		}
	}
	return ""
}

// Session reads the audit session id, /proc/PID/sessionid; nil while it is not set or the kernel keeps none.
func (fs FS) Session(pid int32) *uint32 { return fs.auditNumber(pid, "sessionid") }

// LoginUID reads /proc/PID/loginuid; nil while it is not set.
func (fs FS) LoginUID(pid int32) *uint32 { return fs.auditNumber(pid, "loginuid") }

func (fs FS) auditNumber(pid int32, name string) *uint32 {
	b, err := fs.read(pid, name)
	if err != nil {
		return nil
	}
	v, err := strconv.ParseUint(string(trimmed(b)), 10, 32)
	if err != nil || v == noSession || name == "sessionid" && v == 0 {
		return nil
	}
	n := uint32(v)
	return &n
}

func trimmed(b []byte) []byte { return bytes.TrimSpace(b) }

// Ancestors gives the parents of a process, nearest first, through pid 1. It stops where one is gone.
func (fs FS) Ancestors(pid int32) []int32 {
	var out []int32
	for range 4096 {
		s, err := fs.Status(pid)
		if err != nil || s.PPID == 0 {
			break
		}
		out = append(out, s.PPID)
		pid = s.PPID
	}
	if len(out) == 0 || out[len(out)-1] != 1 {
		out = append(out, 1)
	}
	return out
}

// BootID reads the id of this boot.
func (fs FS) BootID() (string, error) {
	b, err := os.ReadFile(string(fs) + "/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot tell the boot: %w", err)
	}
	return string(trimmed(b)), nil
}

// HasAudit reports whether this kernel keeps audit sessions (CONFIG_AUDITSYSCALL).
func (fs FS) HasAudit() bool {
	_, err := os.Stat(string(fs) + "/self/sessionid")
	return err == nil
}
