package kernel

import (
	"runtime"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// sentinel hears the forks that are ambiguous, on a socket of its own, and nothing else: a filter in the kernel passes
// only forks that name a marked parent. So it can read the child's witnesses at once, while everything else is still
// read in bursts. It only reads and remembers; the engine's drain decides.
type sentinel struct {
	src  *source
	end  *stopper
	hear func(pid int32, at int64) (testimony, bool)

	mu    sync.Mutex
	heard map[messageKey]testimony
	err   error // why it stopped by itself
}

// sentinelKeep is how many testimonies may wait for the drain before the oldest are of no use any more.
const sentinelKeep = 1 << 16

func newSentinel(hear func(int32, int64) (testimony, bool)) (*sentinel, error) {
	filter, err := forkFilter(nil)
	if err != nil {
		return nil, err
	}
	src, err := dialConnector(filter)
	if err != nil {
		return nil, err
	}
	end, err := newStopper()
	if err != nil {
		src.close()
		return nil, err
	}
	s := &sentinel{src: src, end: end, hear: hear, heard: make(map[messageKey]testimony)}
	go s.run()
	return s, nil
}

// stop returns when nobody is asked any more.
func (s *sentinel) stop() {
	s.end.stop()
	s.src.close()
}

// watch tells the kernel which parents' forks to pass.
func (s *sentinel) watch(parents []int32) error {
	filter, err := forkFilter(parents)
	if err != nil {
		return err
	}
	return s.src.setFilter(filter)
}

// run asks each child as soon as its fork is heard of, on a thread of its own that nothing else can keep.
func (s *sentinel) run() {
	defer close(s.end.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		ready, err := poll(-1, s.src.fd, s.end.fd)
		if err == nil && ready[1] {
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		err = s.src.each(func(b []byte) bool {
			if ev, err := decodeProcEvent(b); err == nil && ev.what == procEventFork {
				s.ask(ev.c, ev.time)
			}
			return true
		})
		if err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *sentinel) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// failed says why it does not ask any more; nil: it does.
func (s *sentinel) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sentinel) ask(pid int32, at int64) {
	t, ok := s.hear(pid, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		return
	}
	if len(s.heard) >= sentinelKeep {
		clear(s.heard)
	}
	s.heard[messageKey{pid, at}] = t
}

// take gives what was heard of a fork, once.
func (s *sentinel) take(pid int32, at int64) (testimony, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := messageKey{pid, at}
	t, ok := s.heard[k]
	delete(s.heard, k)
	return t, ok
}

// filterMost is how many parents a filter has room for: two instructions of 8 bytes each, within the 20 KiB that
// net.core.optmem_max allowed before Linux 6.9. With more
// than that every fork of a new process passes.
const filterMost = 1000

// forkFilter passes acknowledgements and the forks of new processes whose parent_tgid is one of parents.
func forkFilter(parents []int32) ([]unix.SockFilter, error) {
	const whole, none = 1 << 16, 0
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offWhat, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: procEventNone, SkipTrue: 1},
		bpf.RetConstant{Val: whole},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: hostOrder(procEventFork), SkipTrue: 1},
		bpf.RetConstant{Val: none},
		bpf.LoadAbsolute{Off: offData + 8, Size: 4}, // child_pid
		bpf.TAX{},
		bpf.LoadAbsolute{Off: offData + 12, Size: 4}, // child_tgid
		bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: 1},
		bpf.RetConstant{Val: none},                  // a thread
		bpf.LoadAbsolute{Off: offData + 4, Size: 4}, // parent_tgid
	}
	last := uint32(none)
	if len(parents) > filterMost {
		parents, last = nil, whole
	}
	for _, pid := range parents {
		prog = append(prog,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: hostOrder(uint32(pid)), SkipTrue: 1},
			bpf.RetConstant{Val: whole})
	}
	return assemble(append(prog, bpf.RetConstant{Val: last}))
}
