package label

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
)

// Events are what the kernel tells of the tasks that have a label of a job. What is told while nobody reads waits, as far as there is room.
type Events struct {
	ring, execs *ring
	lost        *ebpf.Map
	totals      *ebpf.Map
	limits      *ebpf.Map
	programs    programs
	found       bool
	late        error
	refusal     Refusal
	noRefusal   error // why not a better one
	event       Event
}

// programs are those that tell.
type programs struct {
	Executes *ebpf.Program `ebpf:"executes"`
	Exits    *ebpf.Program `ebpf:"exits"`
	Frees    *ebpf.Program `ebpf:"frees"`
}

// Room is how many bytes of events may wait to be read, where nobody says otherwise: some 15,000 processes' lives.
const Room = 8 << 20

// execsSize is how many bytes of execs may: some 4,000.
const execsSize = 64 << 10

// openEvents has the kernel tell. A task may be told to exit of which the fork was not: it had its label before.
func (l *Labels) openEvents(spec *ebpf.CollectionSpec, dir string) (err error) {
	e := &Events{lost: l.objects.Lost, totals: l.objects.Totals, limits: l.objects.Limits, found: pinnedAt(dir, linkExits)}
	l.follow = e
	if e.ring, err = openRing(l.objects.Events); err != nil {
		return err
	}
	if e.execs, err = openRing(l.objects.Execs); err != nil {
		return err
	}
	with := &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		objectMapLabels: l.objects.Labels, objectMapMissed: l.objects.Missed, objectMapEvents: l.objects.Events, objectMapExecs: l.objects.Execs,
		objectMapLost: l.objects.Lost, objectMapTotals: l.objects.Totals, objectMapLimits: l.objects.Limits,
	}}
	if err := spec.LoadAndAssign(&e.programs, with); err != nil {
		return err
	}
	e.late = l.followIDs(spec, with, dir)
	if e.refusal, e.noRefusal, err = l.refuseForks(spec, with, dir); err != nil {
		return err
	}
	return errors.Join(l.attach(e.programs.Frees, linkFrees, dir), l.attach(e.programs.Exits, linkExits, dir),
		l.attach(e.programs.Executes, linkExecutes, dir))
}

// followIDs has a change of ids told at once, where programs can be put before functions of the kernel.
func (l *Labels) followIDs(spec *ebpf.CollectionSpec, with *ebpf.CollectionOptions, dir string) error {
	var p struct {
		Changes *ebpf.Program `ebpf:"changes"`
	}
	if err := spec.LoadAndAssign(&p, with); err != nil {
		return plain(err)
	}
	defer p.Changes.Close()
	return l.attach(p.Changes, linkChanges, dir)
}

func (e *Events) close() {
	for _, r := range []*ring{e.ring, e.execs} {
		if r != nil {
			r.close()
		}
	}
	for _, p := range []*ebpf.Program{e.programs.Executes, e.programs.Exits, e.programs.Frees} {
		p.Close()
	}
}

// Found reports whether events were told before Follow: then what is to be read first is from before.
func (e *Events) Found() bool { return e.found }

// Late says why changes of ids are told of late; nil: they are not.
func (e *Events) Late() error { return e.late }

// FD is readable, poll(2), when there is something to read; the reader is woken only for what comes after it had read all.
func (e *Events) FD() int { return e.ring.buffer.FD() }

// Each takes the events that are there, in the order in which they were begun, until f says no. An event is valid during the call only.
// Malformed counts records that are none. An error means that the ring cannot be read any further.
func (e *Events) Each(f func(*Event) bool) (malformed int, err error) {
	err = e.ring.each(func(b []byte) bool {
		if decode(&e.event, b) != nil {
			malformed++
			return true
		}
		return f(&e.event)
	})
	return malformed, err
}

// Peek is Each without taking anything.
func (e *Events) Peek(f func(*Event)) error {
	return e.ring.peek(func(b []byte) bool {
		if decode(&e.event, b) == nil {
			f(&e.event)
		}
		return true
	})
}

// Position is how much was read since there are events, and Waiting what was not, bytes.
func (e *Events) Position() uint64 { return e.ring.position() }

// Waiting is how much is there to be read, bytes.
func (e *Events) Waiting() uint64 { return e.ring.waiting() }

// ExecsFD is readable when EachExec has something.
func (e *Events) ExecsFD() int { return e.execs.buffer.FD() }

// EachExec takes the execs that are there. They are told here as well as among the events, for whoever looks at once what is run. Another
// goroutine than that of Each may call it.
func (e *Events) EachExec(f func(Executed)) error {
	return e.execs.each(func(b []byte) bool {
		if x, err := decodeExecuted(b); err == nil {
			f(x)
		}
		return true
	})
}

// Lost counts the events of each kind that there was no room for, since there are events.
func (e *Events) Lost() (n [Kinds]uint64, err error) {
	for k := range n {
		if err := e.lost.Lookup(uint32(k), &n[k]); err != nil {
			return n, fmt.Errorf("cannot tell how many events were lost: %w", err)
		}
	}
	return n, nil
}

// Total is what the tasks of a job have used that are gone, or that have left it. CPU, User and System are ns, the latter two in ticks; Read
// and Written are bytes. Processes is those that were born into the job less those that exited in it. Leaving is the CPU that those had used who have exited and are not gone yet, when they did.
type Total struct{ CPU, User, System, Read, Written, Tasks, Processes, Leaving uint64 }

// Account begins to add up what a job uses, if that was not begun before.
func (e *Events) Account(job uint64) error {
	if err := e.totals.Update(job, &objectTotal{}, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("cannot have the kernel add up what job %d uses: %w", uint32(job), err)
	}
	return nil
}

// Total gives what a job's tasks have used. ok is false where it is not added up.
func (e *Events) Total(job uint64) (t Total, ok bool, err error) {
	var v objectTotal
	switch err := e.totals.Lookup(job, &v); {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return t, false, nil
	case err != nil:
		return t, false, fmt.Errorf("cannot read what job %d has used: %w", uint32(job), err)
	}
	return v.total(), true, nil
}

// Totals gives what the tasks of all jobs have used.
func (e *Events) Totals() (map[uint64]Total, error) {
	out := make(map[uint64]Total)
	var of uint64
	var v objectTotal
	all := e.totals.Iterate()
	for all.Next(&of, &v) {
		out[of] = v.total()
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("cannot read what jobs have used: %w", err)
	}
	return out, nil
}

func (v *objectTotal) total() Total {
	return Total{v.Cpu, v.User, v.System, v.Read, v.Written, v.Tasks, v.Processes, v.Leaving}
}

// Forget ends the adding up for a job, and its limit.
func (e *Events) Forget(job uint64) error {
	if err := e.Unlimit(job); err != nil {
		return err
	}
	if err := e.totals.Delete(job); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("cannot have the kernel forget job %d: %w", uint32(job), err)
	}
	return nil
}

// Listed is a task that has a label.
type Listed struct {
	Label    Label
	Bits     uint32 // of those who want to hear of it
	Base     uint64 // CPU that it had used when it came to its job, ns
	Start    int64  // of its process, CLOCK_BOOTTIME ns
	CPU      uint64 // so far, ns, as of the last tick
	PID, TID int32
	Parent   int32
	Exiting  bool // that was told
	Gone     Used // what its process's threads have used that are gone: without integrals and delays
}

const (
	listedTask = 88 + 8 + 4*4
	listedSize = listedTask + sumsCount*8
)

// List gives all tasks of the host that have a label.
func (l *Labels) List() ([]Listed, error) {
	r, err := tasks(l.objects.List)
	if err != nil {
		return nil, fmt.Errorf("cannot list who has a label: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || len(b)%listedSize != 0 {
		return nil, errors.Join(fmt.Errorf("cannot list who has a label: %d bytes", len(b)), err)
	}
	out := make([]Listed, 0, len(b)/listedSize)
	le := binary.LittleEndian
	for ; len(b) > 0; b = b[listedSize:] {
		one := Listed{
			Label: Label{In: le.Uint64(b), Out: le.Uint64(b[8:])}, Bits: le.Uint32(b[84:]), Base: le.Uint64(b[16:]), Start: int64(le.Uint64(b[32:])),
			CPU: le.Uint64(b[88:]), PID: int32(le.Uint32(b[96:])), TID: int32(le.Uint32(b[100:])), Parent: int32(le.Uint32(b[104:])),
			Exiting: le.Uint32(b[108:]) != 0,
		}
		one.Gone.decode(b[listedTask:listedSize])
		out = append(out, one)
	}
	return out, nil
}
