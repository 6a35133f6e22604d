package kernel

import (
	"sync"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// ExecMode is what is kept of the programs that members run.
type ExecMode string

// The modes. Arguments can hold passwords: they are kept only where that is asked for.
const (
	ExecOff  ExecMode = "off"
	ExecExe  ExecMode = "exe"  // the path of each
	ExecArgv ExecMode = "argv" // and its arguments, the first 4 KiB of them
)

// execSource tells of every exec. Its descriptor can be read while there is one to tell of.
type execSource interface {
	fd() int
	each(heard func(pid int32, at int64)) error // those that wait; at is the event's own stamp
	close()
}

// programs looks what processes run. It hears every exec from a source of its own, since what lives for a millisecond is gone
// when a burst is drained. It only looks and remembers, by the event's own stamp; the engine takes that up when it comes
// to the same exec. Where it lags behind, or loses messages, names are missing and nothing else.
type programs struct {
	src  execSource
	end  *stopper
	look *looker
	own  *looker // the engine's

	mu    sync.Mutex
	found map[messageKey]watch.Program // with Read 0: it was gone
	names names
	err   error // why it looks no more
}

// foundMost is how much may wait to be taken up; should the engine be that far behind, names are not what it lacks most.
const foundMost = 1 << 14

// newPrograms begins to look. The source is closed by stop. Without one it only looks when it is asked.
func newPrograms(fs FS, mode ExecMode, src execSource) (p *programs, err error) {
	p = &programs{
		src: src, look: newLooker(fs, mode), own: newLooker(fs, ExecExe),
		found: make(map[messageKey]watch.Program), names: make(names),
	}
	if src == nil {
		return p, nil
	}
	if p.end, err = newStopper(); err != nil {
		return nil, err
	}
	go p.run()
	return p, nil
}

// stop returns when nobody looks any more.
func (p *programs) stop() {
	if p.src != nil {
		p.end.stop()
		p.src.close()
	}
}

// run looks as soon as it hears of an exec, or in a storm of them now and then.
func (p *programs) run() {
	defer close(p.end.done)
	var pace pace
	for rest := time.Duration(0); !p.wait(rest); {
		n := 0
		err := p.src.each(func(pid int32, at int64) { n++; p.hear(pid, at) })
		if err != nil {
			p.fail(err)
			return
		}
		if rest = 0; n > 0 {
			rest = pace.rest(readClocks().mono)
		}
	}
}

// wait waits for an exec, or, with a rest, lets them gather for that long. It reports whether this is the end. A thread that
// sleeps in a system call has Go's watchman look after it every 20 µs, for up to 10 ms; so the rest is not slept in one.
func (p *programs) wait(rest time.Duration) (stop bool) {
	if rest > 0 {
		select {
		case <-time.After(rest):
			return false
		case <-p.end.told:
			return true
		}
	}
	ready, err := poll(-1, p.end.fd, p.src.fd())
	if err != nil {
		p.fail(err)
		return true
	}
	return ready[0]
}

func (p *programs) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// failed says why nobody looks any more; nil: somebody does.
func (p *programs) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *programs) hear(pid int32, at int64) {
	exe, args := p.look.at(pid)
	p.keep(messageKey{pid, at}, exe, args, readClocks().mono)
}

// keep remembers what was read at a moment; no path is a process that was gone.
func (p *programs) keep(k messageKey, exe, args []byte, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.found) >= foundMost {
		clear(p.found)
	}
	var what watch.Program
	if len(exe) > 0 {
		what = watch.Program{Exe: p.names.of(exe), Args: string(args), Read: now}
	}
	p.found[k] = what
}

// take gives what was found of an exec, once. ok is false where nobody has looked yet.
func (p *programs) take(k messageKey) (what watch.Program, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what, ok = p.found[k]
	delete(p.found, k)
	return what, ok
}

// now looks what a process runs now; nil when it is gone.
func (p *programs) now(pid int32) *watch.Program {
	exe, _ := p.own.at(pid)
	if len(exe) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &watch.Program{Exe: p.names.of(exe), Read: readClocks().mono}
}

// told is a program of which the kernel said the path when it was run.
func (p *programs) told(path []byte, at int64) *watch.Program {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &watch.Program{Exe: p.names.of(path), Read: at}
}

// names keeps one copy of each path: many processes run few programs.
type names map[string]string

const namesMost = 4096

func (n names) of(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	if len(n) >= namesMost {
		clear(n)
	}
	s := string(b)
	n[s] = s
	return s
}

// pace bounds what a storm of execs can cost. A waking takes some 100 µs of CPU, most of it for Go's scheduler, and a look
// 4; so after some wakings in a row there is one in a while, and the execs of that while are let gather. What lives for
// less is then gone when it is looked at.
type pace struct {
	due int64 // CLOCK_MONOTONIC ns: when as many wakings as there were would have been one in a while
}

const (
	paceWhile = 10 * time.Millisecond
	paceRow   = 32
)

// rest says how long to sleep after a waking.
func (p *pace) rest(now int64) time.Duration {
	p.due = max(p.due, now) + int64(paceWhile)
	return max(time.Duration(p.due-now)-paceRow*paceWhile, 0)
}
