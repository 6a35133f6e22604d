// Package confine gives away what a daemon needed to start and will not need again, so that a fault of its own is worth less
// to whoever finds it. docs/threat-model.md says what is left. It never decides what is needed, and never takes anything back.
package confine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights gives away everything but the capabilities in keep, in all threads: first what a program's file could give, then the
// bounding set, the other capabilities, and the system calls that denied lists. It names what was done, and what could not be
// had, and why: no reason to stop, the program is no less right without it.
func Rights(keep []int) (done, missing []string) {
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"no_new_privs", noNewPrivs},
		{"bounding_set", emptyBoundingSet},
		{"capabilities", func() error { return keepCapabilities(keep) }},
		{"seccomp", filterCalls},
	} {
		if err := s.do(); err != nil {
			missing = append(missing, s.name+": "+err.Error())
		} else {
			done = append(done, s.name)
		}
	}
	return done, missing
}

// errCgo is a jobd that was built with cgo: then Go cannot reach all threads (syscall.AllThreadsSyscall).
var errCgo = errors.New("jobd has to be built with CGO_ENABLED=0 for that")

// everywhere makes a system call in every thread. What an argument points to stays where it is for as long.
//
//go:uintptrescapes
func everywhere(call, a, b, c uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(call, a, b, c, 0, 0, 0)
	switch errno {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return errCgo
	}
	return errno
}

// noNewPrivs: no file that jobd might run gives it anything (Documentation/userspace-api/no_new_privs.rst).
func noNewPrivs() error { return everywhere(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0) }

// emptyBoundingSet: nothing that is given away comes back (capabilities(7)). It takes CAP_SETPCAP.
func emptyBoundingSet() error {
	for c := uintptr(0); ; c++ {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil {
			return nil // behind the last that this kernel has
		}
		if err := everywhere(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); err != nil {
			return err
		}
	}
}

// keepCapabilities gives all capabilities away but these, those of them that jobd has.
func keepCapabilities(keep []int) error {
	var have, want [2]unix.CapUserData // 32 capabilities each
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &have[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	for _, c := range keep {
		want[c/32].Permitted |= have[c/32].Permitted & (1 << (c % 32))
		want[c/32].Effective = want[c/32].Permitted
	}
	return everywhere(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&want[0])), 0)
}

// filterCalls has the kernel refuse what jobd never calls. The filter goes to all threads at once (seccomp(2), TSYNC).
func filterCalls() error {
	prog, err := callFilter()
	if err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// Spectre is no matter here, jobd runs nobody else's code; before 5.16 a filter makes every load wait otherwise.
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags,
		uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	if tid != 0 {
		return fmt.Errorf("cannot filter the calls of thread %s", strconv.Itoa(int(tid)))
	}
	return nil
}
