package confine

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied is what jobd never calls and what somebody who had taken it over would: programs, other processes' memory, mounts,
// namespaces, modules, keys, clocks. bpf(2) is not on the list: where programs in the kernel do a part of jobd's work, their
// maps are read through it for as long as jobd runs.
func denied() []uint32 {
	return append([]uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_GETFD,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
		unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
		unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_PERSONALITY,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
		unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
		unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_FANOTIFY_INIT, unix.SYS_IO_URING_SETUP,
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_QUOTACTL, unix.SYS_ACCT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
		unix.SYS_SYSLOG, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
	}, deniedHere...)
}

var errNoFilter = errors.New("no filter of system calls is written for this architecture")

// Where things are in struct seccomp_data (linux/seccomp.h), and what its filter answers.
const (
	offCall, offArch, offFirstArg = 0, 4, 16 // the lower half of an argument: what Go runs on here is little-endian
	allow                         = unix.SECCOMP_RET_ALLOW
	refuse                        = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknown                       = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// callFilter writes the filter: other architectures' calls, those on the list, and clone for anything but a thread get EPERM.
// clone3 keeps its flags in memory, where a filter cannot look: it is said not to be there, and whoever needs it uses clone.
func callFilter() ([]unix.SockFilter, error) {
	if auditArch == 0 {
		return nil, errNoFilter
	}
	list := denied()
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: auditArch}, // to refuse
		bpf.LoadAbsolute{Off: offCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: otherCalls}, // to refuse
	}
	for _, call := range list {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpEqual, Val: call}) // to refuse
	}
	at := len(prog)
	prog = append(prog,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE3, SkipTrue: 5},        // to unknown
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE, SkipTrue: 2},      // to allow
		bpf.LoadAbsolute{Off: offFirstArg, Size: 4},                               //
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.CLONE_THREAD, SkipTrue: 1}, // to refuse
		bpf.RetConstant{Val: allow}, bpf.RetConstant{Val: refuse}, bpf.RetConstant{Val: unknown},
	)
	refusal := at + 5
	for i := range prog[:at] {
		if jump, ok := prog[i].(bpf.JumpIf); ok {
			jump.SkipTrue = uint8(refusal - i - 1)
			prog[i] = jump
		}
	}
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return nil, fmt.Errorf("cannot assemble the filter of system calls: %w", err)
	}
	out := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}
