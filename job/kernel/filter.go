package kernel

import (
	"math/bits"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// messageKey finds the same event where it is told of twice, as on two sockets of the proc connector: the stamp is the event's own.
type messageKey struct {
	pid  int32
	time int64
}

// hostOrder turns a constant round: classic BPF loads in network order, and the messages are in the host's.
func hostOrder(v uint32) uint32 { return bits.ReverseBytes32(v) }

// assemble makes a program of instructions that the kernel takes for a socket.
func assemble(prog []bpf.Instruction) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return nil, err
	}
	out := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}
