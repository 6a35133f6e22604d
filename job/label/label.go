// Package label keeps a label on every task of a job, in the kernel itself: in the tasks' storage for BPF programs, which one
// such program copies at each fork, from whoever really called clone, before the child does anything. On request the kernel also tells what
// happens to tasks that have a label of a job, or that somebody wants to hear of (Events, Hear), adds up what jobs use, and bounds how many processes they have. All of that outlives the
// program that asked for it. The package never says whose a process ought to be, and never changes a label but by Set.
package label

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go@v0.22.0 -go-package label -output-stem object -target bpfel -cc clang-14 -strip llvm-strip-14 -type label -type order -type total -type limit -type hearing object bpf/jobd.c -- -O2 -mcpu=v3 -g -Wall -Wextra -Wno-unused-parameter -Werror -I/usr/include/x86_64-linux-gnu

// Label is what a process carries. The zero value is that of a process that nobody has labelled, nor any that it descends from.
type Label struct {
	In  uint64 // the job that it is in
	Out uint64 // else, the one that it was taken out of
}

// ErrGone is a process that does not exist any more.
var ErrGone = errors.New("no such process")

// Labels are those of one place under bpffs. Any goroutine may use them.
type Labels struct {
	objects objects
	links   []link.Link
	found   bool
	follow  *Events // nil: nothing is told

	mu sync.Mutex // one order at a time, and one writer of slotMended
}

// objects are what is loaded, of what there is of it in bpf/.
type objects struct {
	objectMaps
	Copy    *ebpf.Program `ebpf:"copy"`
	SetAll  *ebpf.Program `ebpf:"set_all"`
	SetBits *ebpf.Program `ebpf:"set_bits"`
	List    *ebpf.Program `ebpf:"list"`
}

// Open takes up the labels that were kept in dir, or begins to keep some there; bpffs is mounted where it is missing. From then on
// they are kept until Unload, whether somebody has them open or not. key says whose labels are meant, and not 0: those that were begun
// with another are forgotten, because somebody else may not have kept them true. Events that were told are told no more.
func Open(dir string, key uint64) (*Labels, error) { return open(dir, key, 0) }

// Follow is Open, and has the kernel tell of the tasks that are in a job, from then on until Unload, too.
func Follow(dir string, key uint64) (*Labels, error) { return FollowIn(dir, key, Room) }

// FollowIn is Follow with so much room for events, bytes: a power of two, and at least a page.
func FollowIn(dir string, key uint64, room uint32) (*Labels, error) { return open(dir, key, room) }

// open is FollowIn, or Open where there is no room.
func open(dir string, key uint64, room uint32) (*Labels, error) {
	l, err := openKept(dir, key, room)
	if errors.Is(err, errOthers) || errors.Is(err, ebpf.ErrMapIncompatible) {
		if err = Unload(dir); err == nil {
			l, err = openKept(dir, key, room)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot keep labels in the kernel: %w", err)
	}
	return l, nil
}

// errOthers are labels that were begun with another key, or by a jobd that had them otherwise.
var errOthers = errors.New("these are somebody else's labels")

// layout goes up when what the kernel keeps or tells has another form than before, and the same size.
const layout = 2

func openKept(dir string, key uint64, room uint32) (*Labels, error) {
	if err := mount(dir); err != nil {
		return nil, err
	}
	l := &Labels{found: Kept(dir)}
	if err := l.open(dir, key, room); err != nil {
		l.Close()
		return nil, short(err)
	}
	return l, nil
}

func (l *Labels) open(dir string, key uint64, room uint32) error {
	follow := room > 0
	spec, err := l.spec(room)
	if err != nil {
		return err
	}
	if !follow {
		if err := unpin(dir, told...); err != nil {
			return err
		}
	}
	if err := l.load(spec, dir); err != nil {
		return err
	}
	for slot, want := range map[uint32]uint64{slotKey: key, slotLayout: layout} {
		has, err := l.slot(slot)
		if err == nil && l.found && has != want {
			err = errOthers
		}
		if err == nil {
			err = l.objects.Missed.Put(slot, want)
		}
		if err != nil {
			return err
		}
	}
	if follow {
		if err := l.openEvents(spec, dir); err != nil {
			return err
		}
	}
	if err := l.Unhear(^uint32(0)); err != nil { // whoever wanted to is gone
		return err
	}
	return l.attach(l.objects.Copy, linkCopy, dir) // last: who has a label is told of
}

// spec gives the programs and maps as they are to be loaded.
func (l *Labels) spec(room uint32) (*ebpf.CollectionSpec, error) {
	spec, err := loadObject()
	if err != nil {
		return nil, err
	}
	for _, name := range pinned {
		spec.Maps[name].Pinning = ebpf.PinByName
	}
	if room > 0 {
		for _, name := range pinnedTold {
			spec.Maps[name].Pinning = ebpf.PinByName
		}
		spec.Maps[objectMapEvents].MaxEntries, spec.Maps[objectMapExecs].MaxEntries = room, execsSize
	}
	return spec, errors.Join(spec.Variables[objectVarLooksFail].Set(looksFail()), spec.Variables[objectVarFollows].Set(room > 0),
		spec.Variables[objectVarLabelsEarly].Set(freesFailed()))
}

// load makes the maps that are not there yet, and the programs anew: those may be another version's.
func (l *Labels) load(spec *ebpf.CollectionSpec, dir string) error {
	return spec.LoadAndAssign(&l.objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: dir}})
}

// attach has the kernel run a program, and go on with it.
func (l *Labels) attach(p *ebpf.Program, name, dir string) error {
	return l.keep(name, dir, func() (link.Link, error) { return link.AttachTracing(link.TracingOptions{Program: p}) })
}

// keep is attach for any kind of program.
func (l *Labels) keep(name, dir string, attach func() (link.Link, error)) error {
	at, err := attach()
	if err != nil {
		return err
	}
	l.links = append(l.links, at)
	return pinLink(at, dir, name)
}

// looksFail reports whether the kernel is older than 6.2, in which bpf_task_storage_get stopped to fail where it only looks
// (kernel/bpf/bpf_task_storage.c).
func looksFail() bool { return olderThan(6, 2) }

// ReadingTakesRights reports whether whoever has labels open needs CAP_BPF to read and to set them, as before Linux 5.19
// (kernel/bpf/syscall.c, __sys_bpf, with kernel.unprivileged_bpf_disabled).
func ReadingTakesRights() bool { return olderThan(5, 19) }

// olderThan compares the kernel's version; what cannot be read is old.
func olderThan(major, minor int) bool {
	var u unix.Utsname
	var its [2]int
	if err := unix.Uname(&u); err != nil {
		return true
	}
	n, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &its[0], &its[1])
	return err != nil || n != 2 || its[0] < major || its[0] == major && its[1] < minor
}

// short leaves all but the reason out of the verifier's log, which is many lines long: it stands before the counts of its work.
func short(err error) error {
	var rejected *ebpf.VerifierError
	if !errors.As(err, &rejected) {
		return err
	}
	for _, line := range slices.Backward(rejected.Log) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "processed ") {
			return fmt.Errorf("%w: the verifier says: %s", rejected.Cause, line)
		}
	}
	return rejected.Cause
}

// Found reports whether the labels were there before Open: then what was forked meanwhile has them too.
func (l *Labels) Found() bool { return l.found }

// Events are what the kernel tells; nil after Open.
func (l *Labels) Events() *Events { return l.follow }

// Close lets go of the labels. They are kept on.
func (l *Labels) Close() {
	for _, at := range l.links {
		at.Close()
	}
	if l.follow != nil {
		l.follow.close()
	}
	l.objects.objectMaps.Close()
	for _, p := range []*ebpf.Program{l.objects.Copy, l.objects.SetAll, l.objects.SetBits, l.objects.List} {
		p.Close()
	}
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
	if err == unix.ESRCH || err == unix.EINVAL || err == unix.ENOENT { // a thread's number by now: the latter two, by kernel
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

// What the map of that name has beside the number of children that the kernel missed.
const slotMissed, slotMended, slotKey, slotLayout = uint32(0), uint32(1), uint32(2), uint32(3)

// Missed counts the children that may have no label and should, and the doubts; not those that Mended was told of.
func (l *Labels) Missed() (uint64, error) {
	missed, err := l.slot(slotMissed)
	if err != nil {
		return 0, err
	}
	mended, err := l.slot(slotMended)
	return missed - mended, err
}

// Mended says that as many have their label by now as Missed gave.
func (l *Labels) Mended(n uint64) error { return l.mend(n) }

// Doubt notes that somebody may have another label than they should, which is one more that Missed counts: whoever opens the labels
// next is to know.
func (l *Labels) Doubt() error { return l.mend(^uint64(0)) }

func (l *Labels) mend(n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	mended, err := l.slot(slotMended)
	if err != nil || n == 0 {
		return err
	}
	return l.objects.Missed.Put(slotMended, mended+n)
}

func (l *Labels) slot(key uint32) (n uint64, err error) {
	if err := l.objects.Missed.Lookup(key, &n); err != nil {
		return 0, fmt.Errorf("cannot tell how many labels are missing: %w", err)
	}
	return n, nil
}
