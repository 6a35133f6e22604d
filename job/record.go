package job

import (
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// Record is what is kept of a member that has gone: the effect that asks for it to be written down, and what the store
// holds. It is the compact form; Process is the one that people and programs read.
type Record struct {
	JID   JID
	PID   int32
	Start int64 // Unix ns; 0: not known
	End   int64 // Unix ns

	Status    int64 // wait(2) status
	Exited    bool  // Status is known
	Forked    bool  // never ran a program of its own
	Estimated bool  // not seen joining, or not seen leaving
	Used      bool  // Usage is known
	Usage     watch.Usage

	Exe   string // path of the program that it ran last, of its parent's where it ran none; "": not known
	Execs []Exec // programs that it ran as a member, in order; at most execsMost are kept

	// Partial: the process goes on, and Usage is what it used since the checkpoint before (or since its start), up to End.
	Partial bool
	// Earlier is what the partial records before this one hold of Usage, where there are any: sums only. A record that is
	// not partial has the whole use of the process in Usage.
	Earlier *watch.Usage
}

// Exec is a program that a process ran.
type Exec struct {
	At   int64  // Unix ns
	Exe  string // path; "": the process was gone, or had run another program, before it could be read
	Args string // arguments, each ended by a NUL, the first 4 KiB of them; "": not kept, or not known
}

// execsMost is how many programs of one process are kept: the first, and the last ones.
const execsMost = 16

func (*Record) effect() {}

// record is what is known of a member that has gone, but for what it used as one.
func (t *Table) record(m *member, e *watch.Event) *Record {
	r, end := t.newRecord(), t.At(e.Mono).UnixNano()
	if !t.beforeStep(e.Mono) {
		t.last = max(t.last, end)
	}
	*r = Record{
		JID: m.job.JID, PID: m.id.PID, End: end, Status: e.Value, Exited: e.Valid,
		Forked: m.born && m.execs == 0, Estimated: m.guessed || e.Inferred,
		Exe: m.exe(e.Mono), Execs: m.executed(e.Mono, end), Earlier: m.earlier,
	}
	if m.born { // the stamps of one clock: no step of the wall clock comes between
		r.Start = r.End - max(e.Mono-m.since, 0)
	}
	return r
}

// use puts in what the process used as a member; nil where nobody knows. One that was not seen being born began by that.
func (r *Record) use(used *watch.Usage) {
	if used == nil {
		return
	}
	r.Used, r.Usage = true, *used
	if r.Start == 0 && used.Groups.Has(watch.GroupBasic) {
		r.Start = r.End - used.Elapsed
	}
}

// newRecord gives one that holds something else still.
func (t *Table) newRecord() *Record {
	last := len(t.records) - 1
	if last < 0 {
		return new(Record)
	}
	r := t.records[last]
	t.records = t.records[:last]
	return r
}

// reuse takes back the records among effects that have been carried out.
func (t *Table) reuse(effects []Effect) {
	for _, e := range effects {
		if r, ok := e.(*Record); ok && len(t.records) < spareMost {
			r.Exe, r.Execs, r.Earlier, r.Usage.Comm = "", nil, nil, "" // lets go of what it points to
			t.records = append(t.records, r)
		}
	}
}

// Process is the record as the API gives it. What the kernel did not say is null.
func (r *Record) Process() Process {
	end := time.Unix(0, r.End).UTC()
	p := Process{JID: r.JID, Seq: r.JID.Seq(), PID: r.PID, TGID: r.PID, Ended: &end, Estimated: r.Estimated, Flags: []string{}}
	if r.Start != 0 {
		start, elapsed := time.Unix(0, r.Start).UTC(), max(r.End-r.Start, 0)
		p.Started, p.Elapsed = &start, &elapsed
	}
	if r.Exited {
		status := ExitStatus(r.Status)
		p.ExitStatus = &status
	}
	if r.Forked {
		p.Flags = append(p.Flags, "fork")
	}
	p.Exe, p.Execs = Text(r.Exe), r.execs()
	if r.Used {
		u := r.Usage
		p.SetUsage(&u)
	}
	return p
}

// execs gives what was run; none for a process that never ran a program of its own, nil where that is not known.
func (r *Record) execs() []ExecInfo {
	if len(r.Execs) == 0 && !r.Forked {
		return nil
	}
	out := make([]ExecInfo, len(r.Execs))
	for i, x := range r.Execs {
		out[i] = ExecInfo{Time: time.Unix(0, x.At).UTC(), Exe: Text(x.Exe)}
		if x.Args != "" {
			out[i].Argv = strings.Split(strings.TrimSuffix(x.Args, "\x00"), "\x00")
		}
	}
	return out
}

// Flags of accounting, linux/acct.h.
const (
	flagSuper  = 0x02
	flagCore   = 0x08
	flagSignal = 0x10
)

// SetUsage puts the groups of u that are known into p.
func (p *Process) SetUsage(u *watch.Usage) {
	p.Comm = Text(u.Comm)
	if u.Groups.Has(watch.GroupBasic) {
		p.UID, p.GID, p.PPID = &u.UID, &u.GID, &u.PPID
		p.Nice, p.Sched = &u.Nice, &u.Sched
		p.CPUUser, p.CPUSystem, p.MinFault, p.MajFault = &u.User, &u.System, &u.MinFault, &u.MajFault
		p.Threads = &u.Threads
		for _, f := range []struct {
			bit  uint8
			name string
		}{{flagSuper, "super"}, {flagCore, "core"}, {flagSignal, "signal"}} {
			if u.Flags&f.bit != 0 {
				p.Flags = append(p.Flags, f.name)
			}
		}
	}
	if u.Groups.Has(watch.GroupCPU) {
		p.CPU = &u.CPU
	}
	if u.Groups.Has(watch.GroupMemory) {
		p.MaxRSS, p.CoreMem, p.VirtMem = &u.MaxRSS, &u.CoreMem, &u.VirtMem
		if u.MaxVM > 0 { // every program has some: 0 is not known
			p.MaxVM = &u.MaxVM
		}
	}
	if u.Groups.Has(watch.GroupIO) {
		p.ReadChars, p.WriteChars, p.ReadCalls, p.WriteCalls = &u.ReadChars, &u.WriteChars, &u.ReadCalls, &u.WriteCalls
		p.ReadBytes, p.WriteBytes = &u.ReadBytes, &u.WriteBytes
	}
	if u.Groups.Has(watch.GroupSwitch) {
		p.VolSwitch, p.InvSwitch = &u.VolSwitch, &u.InvSwitch
	}
	if u.Groups.Has(watch.GroupDelay) {
		p.CPUDelay, p.BlkDelay, p.SwapDelay, p.Reclaim = &u.CPUDelay, &u.BlkDelay, &u.SwapDelay, &u.ReclaimDelay
	}
}
