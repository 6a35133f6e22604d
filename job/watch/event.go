package watch

// Kind is a moment in a task's life.
type Kind uint8

// The moments. Init is for tasks that existed before a watcher was registered; Clone is a new task; Free comes when the
// whole process is gone, after the Exit of its last thread; Lost says that events went missing before this one; Used is what
// a process that is gone had used, all told: it comes once, after a Free that said Later; Refuse is a new process that was
// not to be.
const (
	Init Kind = iota
	Clone
	Exec
	UID
	GID
	Exit
	Free
	Lost
	Used
	Refuse
	kinds
)

var kindNames = [kinds]string{"init", "clone", "exec", "uid", "gid", "exit", "free", "lost", "used", "refuse"}

// String gives the name that the API and the metrics use.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Kinds lists every kind in order, for whoever keeps a counter for each.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// How a new process was refused: the Value of a Refuse.
const (
	RefusedFailed = iota // the fork failed, and there never was a process: Proc and TID are who called it
	RefusedKilled        // it was killed: Proc is the process itself, Parent who made it
)

// ID is a process for as long as it lives. A pid alone is not one, because pids are used again: the engine that saw the
// process first gives it a generation, which is never given twice for the same pid. The zero ID is no process.
type ID struct {
	PID int32  // thread group id in the initial pid namespace
	Gen uint32 // counts from 1; given by the engine
}

// Event is one moment in the life of one task. It carries its own time and identity, so that watchers need neither a
// clock nor a look at /proc. It is only valid during the dispatch.
type Event struct {
	Kind Kind
	Proc ID    // the process that the task belongs to
	TID  int32 // the task; Proc.PID for the first thread

	// Parent is whom a new process inherits from: its creator as far as the engine knows. Zero when nobody can say.
	Parent ID
	// Value is the clone flags of a Clone, the wait status of an Exit or Free (wait(2)), the new effective id of a UID or
	// GID, the number of events of a Lost (0: not known how many), how a Refuse was done. Valid says whether the engine knew it.
	Value int64
	Valid bool
	// Real is the new real id of a UID or GID.
	Real int64

	Mono     int64  // CLOCK_MONOTONIC in ns, as the kernel stamped it (cn_proc.h: timestamp_ns)
	Inferred bool   // not seen happening: found by a scan or settled by a witness; of a Used: its figures are estimated
	Thread   bool   // a Clone of a further thread of Proc, no new process
	Admitted bool   // of a Clone: not to be refused: it was there before anybody saw it, or the kernel has let it pass, which knows the limits
	Later    bool   // of a Free: what its process used is still to come, with a Used
	Usage    *Usage // of a Free or a Used: what the process used, all threads together; nil where the kernel's record was missed

	// Program is what an Exec is of; nil where programs are not followed. It outlives the dispatch: what was not read by
	// then the engine fills in later, before it dispatches anything else, from the same goroutine.
	Program *Program
}

// Program is what a process runs, as somebody found who looked. Looking is always late: the process may have run another
// by then, or have gone. So it counts only for moments from Read on.
type Program struct {
	Exe  string // path; "": not known
	Args string // arguments, each ended by a NUL, cut after some KiB; "": not kept, or not known
	Read int64  // CLOCK_MONOTONIC ns when they had been read; 0: they have not been
}
