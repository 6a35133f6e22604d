package kernel

import (
	"errors"
	"fmt"
)

// Survey is what /proc and every process's witnesses said at one moment.
type Survey struct {
	list  []seen
	heard []testimony

	listed map[known]listed // in place of both, where the kernel itself says who is in a job
}

// Survey reads all of /proc. It looks at nothing of the engine's, so it may run beside the loop, and it is slow: 20 µs a
// process.
func (c *engine) Survey() (Survey, error) {
	list, err := c.scan()
	if err != nil {
		return Survey{}, err
	}
	s := Survey{list: list, heard: make([]testimony, len(list))}
	for i := range list {
		s.heard[i], _ = c.hear(list[i].PID, startedAt(list[i].Start))
	}
	return s, nil
}

// Suspects compares a survey with the table, and gives the pids where they differ. Processes come and go meanwhile:
// Differs says, after a Drain, which of them still do.
func (c *Connector) Suspects(s Survey) []int32 {
	var out []int32
	there := make(map[int32]bool, len(s.list))
	for i := range s.list {
		pid := s.list[i].PID
		there[pid] = true
		p := c.lin.of(pid)
		if p == nil || !p.seenAs(&s.list[i]) || c.contradicts(p, s.heard[i]) || c.lacksLabel(p, s.heard[i].label) != "" || c.unlisted(p, s.list[i].PPID) != 0 {
			out = append(out, pid)
		}
	}
	for id := range c.lin.live.All() {
		if !there[id.PID] {
			out = append(out, id.PID)
		}
	}
	return out
}

// contradicts reports whether a process's witnesses speak for another job than the one it is in.
func (c *engine) contradicts(p *proc, t testimony) bool {
	label := c.bench.judge(t)
	return label != 0 && label != p.label && !p.out && !p.overruled(label)
}

// Claimed gives the job that a process's witnesses speak for while it is in another, or in none, and root has said nothing
// about it; 0: there is no such job. A cgroup that is not jobd's own is not enough: root may have put somebody into it. Drain
// before.
func (c *engine) Claimed(pid int32) Label {
	p := c.lin.of(pid)
	if p == nil || pid == c.self {
		return 0
	}
	heard, ok := c.hear(pid, func(st Stat) bool { return !st.Dead() && p.began(st.Start) })
	if !ok || !c.contradicts(p, heard) {
		return 0
	}
	return c.bench.claim(heard)
}

// unlisted gives the job that a process's parent is in while it is in none itself, although all that this parent can have made
// are in there; 0: there is no such job. Where labels meet, at a parent that was put in without its children or that got
// orphans, only witnesses can say.
func (c *Connector) unlisted(p *proc, ppid int32) Label {
	parent := c.lin.of(ppid)
	if p.label != 0 || p.out || parent == nil || c.lin.ambiguous(parent) {
		return 0
	}
	return parent.label
}

// Differs says in what the table and the kernel disagree about one process; empty: in nothing.
func (c *Connector) Differs(pid int32) string {
	p := c.lin.of(pid)
	st, err := c.FS.Stat(pid)
	alive := err == nil && !st.Dead()
	switch {
	case errors.Is(err, ErrBusy):
		return "" // it is there, and nobody can say more
	case p == nil && !alive:
		return ""
	case p == nil:
		return fmt.Sprintf("process %d (%s) is alive and not on the books", pid, st.Comm)
	case !alive:
		return fmt.Sprintf("process %d is on the books and not alive", pid)
	case !p.began(st.Start):
		return fmt.Sprintf("process %d is on the books with another start", pid)
	}
	heard, ok := c.hear(pid, startedAt(st.Start))
	if ok && c.contradicts(p, heard) {
		return fmt.Sprintf("process %d (%s) has a witness for job %d and is in %d", pid, st.Comm, uint32(c.bench.judge(heard)), uint32(p.label))
	}
	if lacks := c.lacksLabel(p, heard.label); ok && lacks != "" {
		return lacks
	}
	if label := c.unlisted(p, st.PPID); label != 0 {
		return fmt.Sprintf("process %d (%s) descends from process %d of job %d and is in none", pid, st.Comm, st.PPID, uint32(label))
	}
	return ""
}
