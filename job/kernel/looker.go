package kernel

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// looker reads what processes run, into buffers of its own: it is used for every exec of the host.
type looker struct {
	root string
	args bool // arguments too
	path []byte
	exe  [pathMost]byte
	argv [argvMost]byte
}

const (
	pathMost = 4096 // PATH_MAX, limits.h: the kernel gives no longer one
	argvMost = 4096
)

func newLooker(fs FS, mode ExecMode) *looker {
	return &looker{root: string(fs) + "/", args: mode == ExecArgv}
}

// at reads /proc/PID/exe and, where they are wanted, the arguments from /proc/PID/cmdline. No path: it has gone, or there
// is none. A path whose file was removed since ends in " (deleted)", as the kernel has it. Both are valid until the next call.
func (l *looker) at(pid int32) (exe, args []byte) {
	l.path = strconv.AppendInt(append(l.path[:0], l.root...), int64(pid), 10)
	process := len(l.path)
	l.path = append(l.path, "/exe\x00"...)
	n, errno := readlink(l.path, l.exe[:])
	if errno != 0 || n <= 0 {
		return nil, nil
	}
	if l.args {
		l.path = append(l.path[:process], "/cmdline"...)
		args = readFirst(string(l.path), l.argv[:])
	}
	return l.exe[:n], args
}

// readlink reads a link by its path, which ends in a NUL. procfs answers it without waiting, so Go's scheduler need not
// hear of it.
func readlink(path, buf []byte) (int, unix.Errno) {
	at := unix.AT_FDCWD
	n, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(at), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), errno
}

// readFirst reads the beginning of a file, as much as the buffer holds; nothing where it cannot.
func readFirst(path string, buf []byte) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n := 0
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR {
			continue
		}
		if m <= 0 {
			break
		}
		n += m
	}
	return buf[:n]
}
