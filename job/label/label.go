// Package label keeps a label on every task of a job, in the kernel itself: in the tasks' storage for BPF programs, which one
// such program copies at each fork, from whoever really called clone, before the child does anything. The labels outlive the
// program that gave them. It never says whose a process ought to be, and never changes a label but by Set.
package label

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go@v0.22.0 -go-package label -output-stem object -target bpfel -cc clang-14 -strip llvm-strip-14 -type label -type order object bpf/label.c -- -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -I/usr/include/x86_64-linux-gnu

// Label is what a process carries. The zero value is that of a process that nobody has labelled, nor any that it descends from.
type Label struct {
	In  uint64 // the job that it is in
	Out uint64 // else, the one that it was taken out of
}

// ErrGone is a process that does not exist any more.
var ErrGone = errors.New("no such process")

// Labels are those of one place under bpffs. Any goroutine may use them.
type Labels struct {
	objects objectObjects
	copies  link.Link
	found   bool

	mu sync.Mutex // one order at a time
}

// Open takes up the labels that were kept in dir, or begins to keep some there; bpffs is mounted where it is missing. From then on
// they are kept until Unload, whether somebody has them open or not.
func Open(dir string) (*Labels, error) {
	if err := mount(dir); err != nil {
		return nil, fmt.Errorf("cannot keep labels in the kernel: %w", err)
	}
	l, err := open(dir)
	if errors.Is(err, ebpf.ErrMapIncompatible) { // another jobd's, who kept them otherwise
		if err = Unload(dir); err == nil {
			l, err = open(dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot keep labels in the kernel: %w", err)
	}
	return l, nil
}

func open(dir string) (l *Labels, err error) {
	l = &Labels{}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	spec, err := loadObject()
	if err != nil {
		return nil, err
	}
	for _, name := range pinned {
		spec.Maps[name].Pinning = ebpf.PinByName
	}
	_, missing := os.Stat(pinPath(dir, objectMapLabels))
	l.found = missing == nil
	if err := spec.LoadAndAssign(&l.objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: dir}}); err != nil {
		return nil, short(err)
	}
	if l.copies, err = link.AttachTracing(link.TracingOptions{Program: l.objects.Copy}); err != nil {
		return nil, err
	}
	return l, pinLink(l.copies, dir)
}

// short leaves out the verifier's log, which is many lines long.
func short(err error) error {
	var rejected *ebpf.VerifierError
	if errors.As(err, &rejected) {
		return rejected.Cause
	}
	return err
}

// Found reports whether the labels were there before Open: then what was forked meanwhile has them too.
func (l *Labels) Found() bool { return l.found }

// Close lets go of the labels. They are kept on.
func (l *Labels) Close() {
	if l.copies != nil {
		l.copies.Close()
	}
	l.objects.Close()
}

// Get reads a process's label, as its first thread has it.
func (l *Labels) Get(pid int32) (Label, error) {
	fd, err := handle(pid)
	if err != nil {
		return Label{}, err
	}
	defer unix.Close(fd)
	var v objectLabel
	switch err := l.objects.Labels.Lookup(uint32(fd), &v); {
	case errors.Is(err, ebpf.ErrKeyNotExist): // or the process does not: its descriptor is no key then
		return Label{}, alive(fd)
	case err != nil:
		return Label{}, fmt.Errorf("cannot read the label of process %d: %w", pid, err)
	}
	return Label{In: v.In, Out: v.Out}, nil
}

func handle(pid int32) (fd int, err error) {
	fd, err = unix.PidfdOpen(int(pid), 0)
	if err == unix.ESRCH || err == unix.EINVAL { // EINVAL: a thread's number by now
		return -1, ErrGone
	}
	return fd, os.NewSyscallError("pidfd_open", err)
}

func alive(fd int) error {
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err == unix.ESRCH {
		return ErrGone
	}
	return nil
}

// Missed counts the children that may have no label and should, but for those that Mended was told of.
func (l *Labels) Missed() (n uint64, err error) {
	all, mended := n, n
	if err = l.objects.Missed.Lookup(slotMissed, &all); err == nil {
		err = l.objects.Missed.Lookup(slotMended, &mended)
	}
	return all - mended, err
}

// Mended says that as many children have their label by now as Missed gave.
func (l *Labels) Mended(n uint64) error {
	if n == 0 {
		return nil
	}
	var mended uint64
	if err := l.objects.Missed.Lookup(slotMended, &mended); err != nil {
		return err
	}
	return l.objects.Missed.Put(slotMended, mended+n)
}

const slotMissed, slotMended = uint32(0), uint32(1) // of the map that counts them
