package confine

import (
	"encoding/binary"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// judge runs the filter as the kernel does, on a struct seccomp_data. The machine of package bpf reads numbers as they stand on
// a wire, so they are put in like that.
func judge(t *testing.T, arch, call uint32, arg uint64) uint32 {
	t.Helper()
	raw, err := callFilter()
	if err != nil {
		t.Skip(err)
	}
	prog := make([]bpf.Instruction, len(raw))
	for i, r := range raw {
		prog[i] = bpf.RawInstruction{Op: r.Code, Jt: r.Jt, Jf: r.Jf, K: r.K}.Disassemble()
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[offCall:], call)
	binary.BigEndian.PutUint32(data[offArch:], arch)
	binary.BigEndian.PutUint32(data[offFirstArg:], uint32(arg))
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func TestCallFilter(t *testing.T) {
	for _, call := range denied() {
		if got := judge(t, auditArch, call, 0); got != refuse {
			t.Errorf("call %d gives %#x", call, got)
		}
	}
	const thread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD // as Go makes them
	for _, tt := range []struct {
		arch, call uint32
		arg        uint64
		want       uint32
	}{
		{auditArch, unix.SYS_CLONE, thread, allow}, {auditArch, unix.SYS_CLONE, uint64(unix.SIGCHLD), refuse},
		{auditArch, unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_VFORK, refuse}, {auditArch, unix.SYS_CLONE3, 0, unknown},
		{auditArch, unix.SYS_READ, 0, allow}, {auditArch, unix.SYS_RECVFROM, 0, allow}, {auditArch, unix.SYS_BPF, 0, allow},
		{auditArch, unix.SYS_PIDFD_SEND_SIGNAL, 0, allow}, {auditArch, unix.SYS_SOCKET, 0, allow},
		{auditArch + 1, unix.SYS_READ, 0, refuse}, {auditArch, otherCalls, 0, refuse}, {auditArch, otherCalls | unix.SYS_EXECVE, 0, refuse},
	} {
		if got := judge(t, tt.arch, tt.call, tt.arg); got != tt.want {
			t.Errorf("architecture %#x, call %d with %#x gives %#x, want %#x", tt.arch, tt.call, tt.arg, got, tt.want)
		}
	}
}

// Nothing in jobd runs a program, which it could not any more when it serves.
func TestRunsNoPrograms(t *testing.T) {
	for _, dir := range []string{".", "../../job", "../../job/kernel", "../../job/control", "../../store", "../../metrics"} {
		eachImport(t, dir, func(file, path string) {
			if path == "os/exec" || path == "plugin" {
				t.Errorf("%s imports %s", file, path)
			}
		})
	}
}

func eachImport(t *testing.T, dir string, f func(file, path string)) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range tree.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			f(file, path)
		}
	}
}
