package label

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// passesMost is how often the threads of a process are gone through until all have a new label. Each time there are only those that
// were made meanwhile, by threads that did not have it yet.
const passesMost = 100

// Marked is a process that was given a label.
type Marked struct {
	Tasks int   // threads that are in a job now and were in none
	Start int64 // CLOCK_BOOTTIME ns; 0: not known, it has no label
}

// Set gives a process another label: all its threads, and so whatever they fork from now on. meant is asked whether the pid is still
// that of the process that is meant, when it cannot be another's any more without an error. ErrGone: or none of its threads will be told
// to exit any more.
func (l *Labels) Set(pid int32, to Label, meant func() bool) (m Marked, err error) {
	if to.In != 0 && to.Out != 0 {
		return m, errors.New("cannot be in a job and out of one")
	}
	fd, err := handle(pid)
	if err != nil {
		return m, err
	}
	defer unix.Close(fd)
	if !meant() {
		return m, ErrGone
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := false // the last pass left nobody out for sure
	var changed, live uint32
	for range passesMost {
		o, err := l.pass(pid, to, whole)
		changed, live = changed+o.Changed, live+o.Live
		m = Marked{m.Tasks + int(o.Tasks), max(m.Start, int64(o.Start))}
		switch {
		case err != nil:
			return m, fmt.Errorf("cannot label process %d: %w", pid, err)
		case o.Failed > 0:
			return m, fmt.Errorf("cannot label process %d: the kernel has no memory for it", pid)
		case o.Changed > 0 && o.Threads != 1:
		case whole || o.Threads == 1: // the one that there is has it, and passes it on
			if changed > 0 && live == 0 {
				return m, ErrGone
			}
			return m, alive(fd)
		default:
			whole = true
		}
	}
	return m, fmt.Errorf("cannot label process %d: it makes threads faster than they can be labelled", pid)
}

// pass goes through all threads once. The kernel's list of one process's threads ends early where the thread at which it stands has been
// reaped (kernel/bpf/task_iter.c, task_group_seq_get_next), that of the whole host does not.
func (l *Labels) pass(pid int32, to Label, whole bool) (o objectOrder, err error) {
	o = objectOrder{Tgid: pid, Label: objectLabel{In: to.In, Out: to.Out}}
	if err := l.objects.Orders.Put(uint32(0), &o); err != nil {
		return o, err
	}
	var r io.ReadCloser
	if !whole {
		r, err = threads(l.objects.SetAll, pid)
	}
	if whole || errors.Is(err, unix.E2BIG) || errors.Is(err, unix.EINVAL) { // the latter two: before Linux 6.1
		r, err = tasks(l.objects.SetAll)
	}
	if err != nil {
		return o, err
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return o, err
	}
	return o, l.objects.Orders.Lookup(uint32(0), &o)
}

func tasks(prog *ebpf.Program) (io.ReadCloser, error) {
	all, err := link.AttachIter(link.IterOptions{Program: prog})
	if err != nil {
		return nil, err
	}
	defer all.Close()
	return all.Open()
}

// threads has a program called for each thread of one process, when what it gives is read. The library has no call for it.
func threads(prog *ebpf.Program, pid int32) (io.ReadCloser, error) {
	info := struct{ tid, pid, pidfd uint32 }{pid: uint32(pid)} // union bpf_iter_link_info (linux/bpf.h)
	attr := struct {
		prog, target, kind, flags uint32
		info                      unsafe.Pointer // not its number: the stack that it is on may move
		size                      uint32
	}{prog: uint32(prog.FD()), kind: uint32(ebpf.AttachTraceIter), info: unsafe.Pointer(&info), size: uint32(unsafe.Sizeof(info))}
	l, err := bpf(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), unsafe.Offsetof(attr.size)+unsafe.Sizeof(attr.size)) // what is behind it has to be 0
	runtime.KeepAlive(prog)
	if err != nil {
		return nil, err
	}
	defer unix.Close(l)
	fd, err := bpf(unix.BPF_ITER_CREATE, unsafe.Pointer(&[2]uint32{uint32(l)}), 8)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "iter"), nil
}

// bpf is bpf(2).
func bpf(cmd int, attr unsafe.Pointer, size uintptr) (fd int, err error) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
	if errno != 0 {
		return -1, os.NewSyscallError("bpf", errno)
	}
	return int(r), nil
}
