package kernel

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/look"
)

// looker reads what processes run.
type looker struct {
	fs   FS
	args bool // arguments too
}

const argvMost = 4096

func newLooker(fs FS, mode ExecMode) *looker { return &looker{fs: fs, args: mode == ExecArgv} }

// at reads /proc/PID/exe and, where they are wanted, the arguments from /proc/PID/cmdline. No path: it has gone, there is none, or
// it cannot be looked at now. A path whose file was removed since ends in " (deleted)", as the kernel has it.
func (l *looker) at(pid int32) (exe, args []byte) {
	path, err := l.fs.link(pid, "exe")
	if err != nil || path == "" {
		return nil, nil
	}
	if l.args { // its own memory: it can keep a reader waiting for that, too
		file := string(l.fs) + "/" + strconv.Itoa(int(pid)) + "/cmdline"
		args, _ = look.At(looks, pid, func() ([]byte, error) { return readFirst(file, make([]byte, argvMost)), nil })
	}
	return []byte(path), args
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
