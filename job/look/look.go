// Package look looks at what somebody else can hold up, for no longer than it wants to. It never interrupts a look: one that does not
// end keeps a thread, and what it looks at is left alone until it has ended.
//
// While a process executes a program, some of its files in /proc make a reader wait until that is done (exec_update_lock,
// fs/exec.c: stat, exe, io, wchan, ns/* and others, which ones depends on the kernel). The process can make it last: exec closes
// descriptors meanwhile, and one of them may be a file of a FUSE server that never answers.
package look

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy is a process that cannot be looked at now. It is there.
var ErrBusy = errors.New("it is executing a program, and cannot be looked at until that is done")

// stuckMost is how many looks may wait at a time: each keeps a thread, of which Go has 10,000.
const stuckMost = 2000

// Whoever looks in vain for the tenth part of a second is in no mood to wait: one look takes no longer than hasty then. So those who
// have many processes execute programs for ever cannot keep others waiting for much more than that.
const (
	vainMost = 100 * time.Millisecond // in a …
	vainTime = time.Second
	hasty    = time.Millisecond
)

// Looks are what may be looked at in one place of a program. Any goroutine may use them.
type Looks struct {
	most time.Duration
	held func(tid int64) bool // but in tests that of this name

	mu    sync.Mutex
	stuck map[int32]int // processes, and how many looks at them took too long and have not ended
	vain  time.Duration // waited for looks that took too long, since …
	since time.Time
}

// New gives looks that take no longer than most.
func New(most time.Duration) *Looks {
	return &Looks{most: most, held: held, stuck: make(map[int32]int)}
}

// At looks at a process. ErrBusy: it takes too long, and not for want of a CPU; or a look at this process that did has not ended
// yet; or too many have not. What look writes to has to be its own: it may go on behind the caller's back.
func At[T any](l *Looks, pid int32, look func() (T, error)) (T, error) {
	type seen struct {
		it  T
		err error
	}
	var none T
	wait, ok := l.may(pid)
	if !ok {
		return none, ErrBusy
	}
	done, late := make(chan seen, 1), false
	var tid atomic.Int64
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid.Store(int64(unix.Gettid()))
		it, err := look()
		l.mu.Lock()
		defer l.mu.Unlock()
		done <- seen{it, err}
		if late {
			l.ended(pid)
		}
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for waiting := true; waiting; {
		select {
		case s := <-done:
			return s.it, s.err
		case <-timer.C:
			if waiting = !l.held(tid.Load()); waiting {
				timer.Reset(wait)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case s := <-done: // just now
		return s.it, s.err
	default:
		late = true
		l.stuck[pid]++
		l.vain += wait
		return none, ErrBusy
	}
}

// held reports whether a thread waits in the kernel where nothing interrupts it (D, proc_pid_status(5)). One that has had no CPU yet is
// held by nobody.
func held(tid int64) bool {
	if tid == 0 {
		return false
	}
	b, err := os.ReadFile("/proc/self/task/" + strconv.FormatInt(tid, 10) + "/status")
	return err != nil || bytes.Contains(b, []byte("\nState:\tD"))
}

func (l *Looks) ended(pid int32) {
	if l.stuck[pid]--; l.stuck[pid] == 0 {
		delete(l.stuck, pid)
	}
}

// may says for how long somebody may look at a process, if at all.
func (l *Looks) may(pid int32) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = l.most
	if l.vain >= vainMost {
		if time.Since(l.since) < vainTime {
			wait = min(wait, hasty)
		} else {
			l.vain = 0
		}
	}
	if l.vain == 0 {
		l.since = time.Now()
	}
	return wait, l.stuck[pid] == 0 && len(l.stuck) < stuckMost
}
