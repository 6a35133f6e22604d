package kernel

import (
	"iter"
	"slices"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// Label is the membership that an engine carries along for each process: the JID, 0 for none.
type Label uint64

// lineage is the connector engine's picture of every process: who is alive, which tasks make it up, whom it descends
// from, and which label it inherited. It is what the bpf engine has in the kernel. Pure: it sees decoded events only.
type lineage struct {
	live   watch.Index[*proc] // by pid alone
	ghosts map[int32][]*proc  // pid used again before the EXIT of its former owner was read, oldest first
	gen    uint32

	strangers int // among the living

	marks  map[watch.ID]map[Label]int // parents of which a fork is ambiguous, and the labels that make it so
	bounds map[Label][]watch.ID       // the marks that stand for a label

	spare  []*proc
	usages []*watch.Usage
}

// proc is one process. There is one for each of the host's, so it is kept small.
type proc struct {
	id     watch.ID
	parent watch.ID // real_parent when it was forked
	start  int64    // ns since boot (CLOCK_BOOTTIME), of its fork event, or from /proc

	label Label
	since int64 // forks stamped before this are judged by …
	prev  Label // … the label before

	tids   []int32 // its tasks, of the bpf engine those that may still be charged with something; nil while there is only the first
	usage  *watch.Usage
	execAt int64 // stamp of its last exec: exits from before are of tasks that went with it
	missed bool  // an exit record of one of its threads never came

	scanned bool // found by a scan: its fork event may still come
	// undecided: the witness was gone before it could be read. It is in no job as far as anybody can say, and its
	// children have to be asked one by one.
	undecided bool
	// out: root took it, or what it descends from, out of a job, which is prev. No witness brings it back.
	out     bool
	kids    int32 // of one that is out: its children that are …
	counted bool  // … of which this is one
	roots   bool  // of one that is out: it was root's own when that was looked at
	// doubtful: it was gone before anybody saw whether it was root's own or a member's that was made in the name of one.
	doubtful bool
	// against: it, or what it descends from, was put where it is against its witnesses, which say claim. They go on saying so.
	against bool
	claim   Label
	wrote   int64 // stamp: what it forked until then may have another label in the kernel
	// suspect: nobody saw which program it ran, which may have been an exempt one.
	suspect bool
	leaving *label.Used // what its tasks had used at their exits that have exited, and may yet be charged with more; nil: nothing
	// stranger: it is known from /proc only, by an engine that is partial.
	stranger bool
	bits     uint32 // of those who hear of it, whether it is in a job or not, from an engine that is partial
	// adrift: it is in a job, and nobody was told so yet, because it inherits from nobody in there.
	adrift bool
}

func newLineage() *lineage {
	return &lineage{
		ghosts: make(map[int32][]*proc),
		marks:  make(map[watch.ID]map[Label]int), bounds: make(map[Label][]watch.ID),
	}
}

// of gives the living process that has a pid; nil when there is none.
func (l *lineage) of(pid int32) *proc { return l.live.Get(watch.ID{PID: pid}) }

// add makes a process. One of the same pid that is still on the books becomes a ghost: EXIT is sent after exit_notify
// (kernel/exit.c), so the pid may be used again before the EXIT arrives. Of a stranger none will come.
func (l *lineage) add(pid int32, start int64) *proc {
	switch old := l.of(pid); {
	case old == nil:
	case old.stranger:
		l.remove(old)
	default:
		l.ghosts[pid] = append(l.ghosts[pid], old)
	}
	l.gen++
	p := l.take()
	p.id, p.start = watch.ID{PID: pid, Gen: l.gen}, start
	l.live.Set(watch.ID{PID: pid}, p)
	return p
}

func (l *lineage) take() *proc {
	if n := len(l.spare); n > 0 {
		p := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return p
	}
	return new(proc)
}

// spareMost is how many processes that are gone are kept for reuse.
const spareMost = 1024

func (l *lineage) takeUsage() *watch.Usage {
	if n := len(l.usages); n > 0 {
		u := l.usages[n-1]
		l.usages = l.usages[:n-1]
		return u
	}
	return new(watch.Usage)
}

// release gives a process that is gone back for reuse.
func (l *lineage) release(p *proc) {
	if p.usage != nil && len(l.usages) < spareMost {
		l.usages = append(l.usages, p.usage)
	}
	*p = proc{}
	if len(l.spare) < spareMost {
		l.spare = append(l.spare, p)
	}
}

// fork makes the child process of the parent named by a fork event. The parent may be unknown (nil).
// start is its start since boot, at the event's stamp.
func (l *lineage) fork(parentPID, childPID int32, start, at int64) (child, parent *proc) {
	parent = l.of(parentPID)
	child = l.add(childPID, start)
	if parent != nil {
		child.parent = parent.id
		child.label = parent.labelAt(at)
		if at >= parent.since { // else it was forked before its parent was taken out
			child.descend(parent)
		}
		child.against, child.claim = parent.against, parent.claim
	}
	return child, parent
}

// thread adds a task to its process. fresh says that it cannot be known already: one of the same tid that is still on the
// list has exited, and its EXIT is to come.
func (l *lineage) thread(tgid, tid int32, fresh bool) *proc {
	p := l.of(tgid)
	if p == nil {
		return nil
	}
	if p.tids == nil {
		p.tids = append(p.tids, tgid)
	}
	if fresh || !slices.Contains(p.tids, tid) {
		p.tids = append(p.tids, tid)
	}
	return p
}

// exec leaves a process with one task, which has its pid, whichever task called exec (fs/exec.c, de_thread). Exits of the
// others may still come, after the end of the process even: each is sent by the task itself, when it next gets a CPU.
func (l *lineage) exec(tgid int32, at int64) *proc {
	p := l.of(tgid)
	if p == nil {
		return nil
	}
	p.execAt, p.tids = at, nil
	return p
}

// exit takes one task off the books of the process that owner gives. gone: that was its last; a first thread's exit is not
// the process's. One that an exec took the place of either exits under its pid, stamped before the exec, or under another's
// number (exchange_tids), which is no task's of the process any more.
func (l *lineage) exit(p *proc, tid int32, at int64) (gone bool) {
	i, first := slices.Index(p.tids, tid), tid == p.id.PID
	switch {
	case i < 0 && !first, at < p.execAt:
		return false
	case p.tids == nil:
		return true
	case i >= 0:
		p.tids = slices.Delete(p.tids, i, i+1)
	}
	return len(p.tids) == 0
}

// owner finds whose task exits: the oldest ghost of the pid that has it, else the living process.
func (l *lineage) owner(tgid, tid int32) *proc {
	for _, g := range l.ghosts[tgid] { // hardly ever any
		if g.tids == nil && tid == tgid || slices.Contains(g.tids, tid) {
			return g
		}
	}
	return l.of(tgid)
}

// remove takes a process that is gone off the books. The caller releases it when it is done with it.
func (l *lineage) remove(p *proc) {
	pid := p.id.PID
	delete(l.marks, p.id)
	if p.stranger {
		l.strangers--
	}
	if parent := l.of(p.parent.PID); p.counted && parent != nil && parent.id == p.parent {
		parent.kids = max(parent.kids-1, 0)
	}
	if l.of(pid) == p {
		l.live.Delete(watch.ID{PID: pid})
		return
	}
	rest := slices.DeleteFunc(l.ghosts[pid], func(g *proc) bool { return g == p })
	if len(rest) == 0 {
		delete(l.ghosts, pid)
	} else {
		l.ghosts[pid] = rest
	}
}

// all yields the living processes.
func (l *lineage) all() iter.Seq[*proc] {
	return func(yield func(*proc) bool) {
		for _, p := range l.live.All() {
			if !yield(p) {
				return
			}
		}
	}
}

// descend makes what descends from a process that was taken out one that is out too.
func (p *proc) descend(parent *proc) {
	if parent.out {
		p.out, p.prev, p.counted = true, parent.prev, true
		parent.kids++
	}
}

// labelAt is the label that a fork stamped at mono goes by.
func (p *proc) labelAt(mono int64) Label {
	if mono < p.since {
		return p.prev
	}
	return p.label
}

// setLabel changes what the process's forks from now on inherit.
func (p *proc) setLabel(to Label, now int64) {
	p.prev, p.label, p.since, p.undecided, p.doubtful = p.label, to, now, false, false
}
