package kernel

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// execEars is a further socket of the proc connector, on which only execs are heard.
type execEars struct{ src *source }

func newExecEars() (*execEars, error) {
	filter, err := execFilter()
	if err != nil {
		return nil, err
	}
	src, err := dialConnector(filter)
	if err != nil {
		return nil, err
	}
	return &execEars{src}, nil
}

func (e *execEars) fd() int { return e.src.fd }

func (e *execEars) each(heard func(pid int32, at int64)) error {
	return e.src.each(func(b []byte) bool {
		if ev, err := decodeProcEvent(b); err == nil && ev.what == procEventExec {
			heard(ev.b, ev.time)
		}
		return true
	})
}

func (e *execEars) close() { e.src.close() }

// execFilter passes acknowledgements and execs.
func execFilter() ([]unix.SockFilter, error) {
	const whole, none = 1 << 16, 0
	return assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offWhat, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: hostOrder(procEventExec), SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: procEventNone, SkipTrue: 1},
		bpf.RetConstant{Val: none},
		bpf.RetConstant{Val: whole},
	})
}
