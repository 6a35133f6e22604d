package kernel

import (
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// passes runs a datagram through a filter as the kernel would.
func passes(t *testing.T, raw []unix.SockFilter, datagram []byte) bool {
	t.Helper()
	asm := make([]bpf.RawInstruction, len(raw))
	for i, r := range raw {
		asm[i] = bpf.RawInstruction{Op: r.Code, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog, ok := bpf.Disassemble(asm)
	if !ok {
		t.Fatal("the filter cannot be read back")
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(datagram)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestForkFilter(t *testing.T) {
	got := datagrams(t, "connector.hex")
	const parent = 19360
	many := make([]int32, filterMost)
	for i := range many {
		many[i] = int32(100_000 + i)
	}
	last := append(many[:filterMost-1:filterMost-1], parent)
	for _, c := range []struct {
		name     string
		parents  []int32
		datagram string
		want     bool
	}{
		{"acknowledgement", nil, "ack", true},
		{"nobody is marked", nil, "fork", false},
		{"the parent is marked", []int32{1, parent, 5}, "fork", true},
		{"another is", []int32{1, 19401}, "fork", false},
		{"a thread", []int32{parent}, "thread", false},
		{"an exit", []int32{parent, 19401}, "exit", false},
		{"an exec", []int32{parent, 19401}, "exec", false},
		{"the last of as many as fit", last, "fork", true},
		{"none of as many as fit", many, "fork", false},
		{"more than fit", append(many, 1), "fork", true},
		{"more than fit, a thread", append(many, 1), "thread", false},
	} {
		filter, err := forkFilter(c.parents)
		if err != nil {
			t.Fatal(err)
		}
		if passes(t, filter, got[c.datagram]) != c.want {
			t.Errorf("%s: passes %v", c.name, !c.want)
		}
	}
}

func TestSentinelRemembersOnce(t *testing.T) {
	one := uint32(1)
	s := &sentinel{heard: make(map[messageKey]testimony), hear: func(pid int32, _ int64) (testimony, bool) {
		return testimony{cgroup: "/jobd/7", audit: &one}, pid != 99
	}}
	s.ask(10, 5)
	s.ask(99, 6) // gone before it could be asked
	if _, ok := s.take(10, 6); ok {
		t.Error("another fork of the same pid was answered")
	}
	if got, ok := s.take(10, 5); !ok || got.cgroup != "/jobd/7" {
		t.Errorf("got %+v, %v", got, ok)
	}
	if _, ok := s.take(10, 5); ok {
		t.Error("a testimony was given twice")
	}
	if _, ok := s.take(99, 6); ok {
		t.Error("a process that was gone has testified")
	}
}
