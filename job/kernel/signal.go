package kernel

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/watch"
)

// Handle is a process that can be signalled without a doubt about which one it is: a pidfd (pidfd_open(2)).
type Handle struct {
	ID watch.ID
	fd int
}

// Open opens handles for processes. A pid may be used again between the last event that was read and the opening of
// its pidfd; so afterwards drain has to bring the table up to date, and the handles of those that are not alive by then
// are closed. What remains is what it was asked for.
func (c *Connector) Open(ids []watch.ID, drain func() error) ([]Handle, error) {
	return c.open(ids, drain, c.Behind)
}

// open is Open. behind says whether the last drain left something that is from before a moment.
func (c *engine) open(ids []watch.ID, drain func() error, behind func(moment int64) bool) ([]Handle, error) {
	var out []Handle
	for _, id := range ids {
		fd, err := unix.PidfdOpen(int(id.PID), 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("cannot open a handle of process %d: %w", id.PID, err)
		}
		out = append(out, Handle{ID: id, fd: fd})
	}
	now := readClocks().mono
	for again := true; again; again = behind(now) { // a storm may take more than one
		if err := drain(); err != nil {
			closeAll(out)
			return nil, err
		}
	}
	sure := out[:0]
	for _, h := range out {
		if c.Alive(h.ID) {
			sure = append(sure, h)
		} else {
			h.Close()
		}
	}
	return sure, nil
}

func closeAll(hs []Handle) {
	for _, h := range hs {
		h.Close()
	}
}

// Close gives the descriptor back.
func (h Handle) Close() { unix.Close(h.fd) }

// Signal sends a signal. A process that has gone meanwhile is ErrGone.
func (h Handle) Signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("cannot signal process %d: %w", h.ID.PID, err)
	}
	return nil
}

// Owns reports whether a process is all of one user's: its real, effective and saved uid are the same.
func (fs FS) Owns(uid uint32, pid int32) bool {
	has := fs.uidIs(uid, pid)
	return has[0] && has[1] && has[2]
}

// uidIs reports which of a process's uids are one: real, effective, saved, that of the file system. Of a process that is gone none is.
func (fs FS) uidIs(uid uint32, pid int32) (is [4]bool) {
	b, err := fs.read(pid, "status")
	if err != nil {
		return is
	}
	want := strconv.FormatUint(uint64(uid), 10)
	for i, has := range line(b, "Uid:") {
		if i < len(is) {
			is[i] = string(has) == want
		}
	}
	return is
}

// MaySignal reports whether kill(2) would let a process of uid signal pid: its real or saved uid has to be the same.
// Without CAP_KILL, and but for SIGCONT within a session, that is the whole rule.
func (fs FS) MaySignal(uid uint32, pid int32) bool {
	has := fs.uidIs(uid, pid)
	return has[0] || has[2]
}
