package kernel

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jobd-project/jobd/job"
)

// Place makes the kernel hold a new job's point of entry: in a cgroup of its own where nobody has placed the process
// before, else the place is only noted. It is done before the login is answered, so that whatever is forked afterwards
// carries the mark.
func (c *engine) Place(pid int32, jid job.JID) (job.Placement, error) {
	st, err := c.FS.statAnyway(pid)
	if err != nil {
		return job.Placement{}, fmt.Errorf("process %d: %w", pid, err)
	}
	p := job.Placement{POEStart: st.Start, Audit: c.OwnSession(pid), Before: c.FS.Spent(pid)}
	if c.Cgroups.Mount == "" {
		return p, nil
	}
	place, err := c.FS.CgroupOfAny(pid)
	if err != nil {
		return job.Placement{}, fmt.Errorf("process %d: %w", pid, err)
	}
	if !c.Cgroups.Mine(place) {
		return p, c.borrow(&p, pid, place)
	}
	if !c.Cgroups.CanMake() {
		return p, nil
	}
	return p, c.ownCgroup(&p, pid, jid)
}

// OwnSession gives a process's audit session, if that can be a witness: nil where others have it who are in no job that it
// speaks for, as with su in a session that is older than jobd. Everything in there would be taken for the job's. An engine that is partial
// has none.
func (c *engine) OwnSession(pid int32) *uint32 {
	session := c.FS.Session(pid)
	st, err := c.FS.Status(pid)
	if session == nil || err != nil {
		return session
	}
	above := c.FS.Session(st.PPID)
	switch p := c.lin.of(pid); {
	case above != nil && *above == *session:
		if !c.spokenFor(st.PPID, *session) {
			return nil
		}
	case c.partial:
		return nil // to tell takes a look at all processes, and the kernel's label says more
	case p == nil || p.scanned || p.parent.PID != st.PPID: // whoever it has the session from may have gone
		if c.strangersIn(*session, pid) {
			return nil
		}
	}
	return session
}

// spokenFor reports whether a process is in a job that a session is a witness of.
func (c *engine) spokenFor(pid int32, session uint32) bool {
	p := c.lin.of(pid)
	return p != nil && p.label != 0 && c.bench.heeds(p.label, session)
}

// strangersIn reports whether a session has a process that neither descends from one, nor is in its job, nor in one that the
// session is a witness of. It reads all of /proc.
func (c *engine) strangersIn(session uint32, pid int32) bool {
	pids, err := c.FS.PIDs()
	if err != nil {
		return true
	}
	own, label := make(map[int32]bool), Label(0)
	if id, ok := c.Identify(pid); ok {
		label = c.Label(id)
		for _, below := range c.Children(id) {
			own[below.PID] = true
		}
	}
	return slices.ContainsFunc(pids, func(other int32) bool {
		p := c.lin.of(other)
		if own[other] || p != nil && label != 0 && p.label == label || c.spokenFor(other, session) {
			return false
		}
		if has := c.FS.Session(other); has == nil || *has != session {
			return false
		}
		st, err := c.FS.Stat(other)
		return errors.Is(err, ErrBusy) || err == nil && !st.Dead() // who has exited, and may not have been waited for, makes nothing any more
	})
}

// borrow notes the cgroup that somebody else has put the process into, such as logind's scope for the session. It says
// something of this job only while nobody else is in there: the cgroup of a login daemon, or of the session that a nested
// one was opened in, is no witness and no measure.
func (c *engine) borrow(p *job.Placement, pid int32, place string) error {
	id, ok := c.Identify(pid)
	if !ok {
		return fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	inside, err := c.Cgroups.Members(place)
	if err != nil {
		return nil // it went, or cannot be read: then it is no witness
	}
	own := make(map[int32]bool)
	for _, id := range c.Children(id) {
		own[id.PID] = true
	}
	for _, other := range inside {
		if !own[other] {
			return nil
		}
	}
	p.Cgroup = place
	if cpu, err := c.Cgroups.CPU(place); err == nil {
		p.BaseCPU = &cpu.Total
	}
	return nil
}

// ownCgroup puts the process into a new cgroup. With --cgroup auto a failure is no reason to refuse a login.
func (c *engine) ownCgroup(p *job.Placement, pid int32, jid job.JID) error {
	place, err := c.Cgroups.Make(jid.Seq(), jid.String())
	if err == nil && pid != 0 {
		if err = c.Cgroups.Enter(place, pid); err != nil {
			_ = c.Cgroups.Remove(place) // empty: nothing else can have entered it
		}
	}
	switch {
	case err == nil:
		zero := int64(0)
		p.Cgroup, p.Own, p.BaseCPU = place, true, &zero
	case c.Cgroups.Mode == CgroupOwn:
		return err
	default:
		c.Log.Warn("a job goes without a cgroup of its own", "jid", jid, "error", err)
	}
	return nil
}

// PlaceHeld makes the cgroup of a job that has no process yet.
func (c *engine) PlaceHeld(jid job.JID) (job.Placement, error) {
	var p job.Placement
	if !c.Cgroups.CanMake() {
		return p, nil
	}
	return p, c.ownCgroup(&p, 0, jid)
}

// Join puts a further process where its job's kernel mark is, if it may be taken from where it is.
func (c *engine) Join(pid int32, p job.Placement) error {
	if !p.Own {
		return nil
	}
	place, err := c.FS.CgroupOfAny(pid)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	if place == p.Cgroup || !c.Cgroups.Mine(place) {
		return nil
	}
	return c.Cgroups.Enter(p.Cgroup, pid)
}

// Leave takes a process out of its job's own cgroup, back to the root: else the cgroup would go on witnessing for a job
// that it was taken out of.
func (c *engine) Leave(pid int32, p job.Placement) error {
	if !p.Own {
		return nil
	}
	place, err := c.FS.CgroupOfAny(pid)
	if err != nil || place != p.Cgroup {
		return nil // gone, or placed elsewhere by somebody else
	}
	return c.Cgroups.Enter("/", pid)
}

// Unplace takes a job's cgroup away when the job has ended. The cgroup of a zombie's last parent can still be busy for a
// moment: then it is to be tried again.
func (c *engine) Unplace(p job.Placement) error {
	if !p.Own {
		return nil
	}
	return c.Cgroups.Remove(p.Cgroup)
}

// CgroupCPU gives what the scheduler charged to a job since it was opened. ok is false where no cgroup can say.
func CgroupCPU(c *Cgroups, p job.Placement) (cpu CPU, ok bool) {
	if p.Cgroup == "" || p.BaseCPU == nil || c.Mount == "" {
		return CPU{}, false
	}
	cpu, err := c.CPU(p.Cgroup)
	if err != nil || cpu.Total < *p.BaseCPU {
		return CPU{}, false
	}
	if *p.BaseCPU > 0 { // user and system have no base line of their own
		return CPU{Total: cpu.Total - *p.BaseCPU, User: -1, System: -1}, true
	}
	return cpu, true
}

// PeakMemory gives the most memory that a job's cgroup ever held, bytes (cgroup-v2: memory.peak, 5.19). ok is false where
// there is no such file, or the cgroup is not this job's own: the peak of what others did cannot be taken off.
func PeakMemory(c *Cgroups, p job.Placement) (bytes int64, ok bool) {
	if p.Cgroup == "" || !p.Own || c.Mount == "" {
		return 0, false
	}
	b, err := os.ReadFile(path.Join(c.Mount, p.Cgroup, "memory.peak"))
	if err != nil {
		return 0, false
	}
	bytes, err = strconv.ParseInt(string(trimmed(b)), 10, 64)
	return bytes, err == nil
}

// LogindSession reads the session's id off the name of its scope (systemd's session-ID.scope), which logind gave it.
func LogindSession(cgroup string) string {
	for p := cgroup; len(p) > 1; p = path.Dir(p) {
		name, ok := strings.CutPrefix(path.Base(p), "session-")
		if id, scope := strings.CutSuffix(name, ".scope"); ok && scope {
			return id
		}
	}
	return ""
}
