package label

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Hear has the kernel tell of a process as well, and of what descends from it from now on, whether it is in a job or not: it and they
// have these bits, until Unhear. It gives the process's start, CLOCK_BOOTTIME ns. meant and ErrGone are as with Set.
func (l *Labels) Hear(pid int32, bits uint32, meant func() bool) (start int64, err error) {
	fd, err := handle(pid)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if !meant() {
		return 0, ErrGone
	}
	if start, err = l.setBits(objectHearing{Tgid: pid, Add: bits}); err != nil {
		return 0, fmt.Errorf("cannot hear of process %d: %w", pid, err)
	}
	if start == 0 {
		return 0, ErrGone
	}
	return start, alive(fd)
}

// HearAll is Hear for all processes that there are.
func (l *Labels) HearAll(bits uint32) error {
	if _, err := l.setBits(objectHearing{Add: bits}); err != nil {
		return fmt.Errorf("cannot hear of all processes: %w", err)
	}
	return nil
}

// Unhear takes bits off all processes. Who has none any more, and is in no job, is told of no longer.
func (l *Labels) Unhear(bits uint32) error {
	if _, err := l.setBits(objectHearing{Take: bits}); err != nil {
		return fmt.Errorf("cannot stop hearing of processes: %w", err)
	}
	return nil
}

// threadsOf has set_bits called for each thread of a process, or of the host where that list may have ended early (see pass).
func (l *Labels) threadsOf(pid int32, whole bool) (io.ReadCloser, error) {
	if !whole {
		r, err := threads(l.objects.SetBits, pid)
		if !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.EINVAL) { // before Linux 6.1
			return r, err
		}
	}
	return tasks(l.objects.SetBits)
}

// setBits goes through all tasks until there are none left to change: a task that has its bits passes them on to what it makes.
func (l *Labels) setBits(h objectHearing) (start int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := h.Tgid == 0
	for range passesMost {
		if err := l.objects.Hearings.Put(uint32(0), &h); err != nil {
			return 0, err
		}
		r, err := l.threadsOf(h.Tgid, whole)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return 0, err
		}
		did := h
		if err := l.objects.Hearings.Lookup(uint32(0), &did); err != nil {
			return 0, err
		}
		switch {
		case did.Failed > 0:
			return 0, errors.New("the kernel has no memory for it")
		case did.Changed == 0 && whole, h.Tgid != 0 && did.Threads == 1:
			return int64(did.Start), nil
		}
		whole = whole || did.Changed == 0
	}
	return 0, errors.New("tasks are made faster than they can be gone through")
}
