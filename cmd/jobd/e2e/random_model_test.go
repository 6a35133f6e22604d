package e2e

import (
	"cmp"
	"slices"
	"time"
)

// The reference model: what docs/design.md says of membership, slow and obvious. It shares nothing with the product.

type reference struct {
	witness string // what the kernel can testify: "label", "cgroup", "audit" or "none"
	procs   map[string]*refProc
	jobs    map[string]*refJob
	kept    bool   // the kernel keeps who is in which job, and what happens while jobd is not running
	blind   string // "": jobd sees; "down": it is not running; "paused": the same, and it will be told; "deaf": it is stopped, and its buffers overflow

	attached, came, departed uint64 // since jobd was started
}

type refProc struct {
	name    string
	pid     int32
	job     *refJob
	parent  *refProc // who its fork named; it says what a tree is
	threads map[string]*puppet

	out     bool    // root took it out of a job, or whom it descends from
	outOf   *refJob // of which job that was
	listed  *refJob // the job that remembers that it took out this very process
	entrant bool    // root put it in
	cgroup  *refJob // whose cgroup it is in
	session int     // audit session, by the serial number of the login; 0: none
	meets   bool    // processes of different jobs are, or have been, below it
	unseen  bool    // born while jobd was blind
	asked   bool    // a witness has to be asked whose it is
	born    time.Time
	dead    bool
}

type refJob struct {
	name, jid string
	up        *refJob // it was opened in
	poe       *refProc
	poeGone   bool
	closed    bool
	held      bool
	killed    bool
	members   map[*refProc]bool
	session   int // that is a witness of it; 0: none
	heard     int // that its point of entry had when it opened the job
	tag       string

	total int
	left  []refExit
	ended string // why; "": it is open
	vague bool   // jobd was blind for some of its life
}

// refExit is a process that ended in a job.
type refExit struct {
	pid    int32
	status int // as a shell says it; -1: not known
	at     time.Time
	sure   bool // there has to be a record
	quick  bool // gone before anybody could ask its witness, where one had to be asked
}

func (m *reference) living() []*refProc {
	var out []*refProc
	for _, p := range m.procs {
		if !p.dead && p.name != "first" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *refProc) int {
		return cmp.Or(cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	return out
}

func (m *reference) open() []*refJob {
	var out []*refJob
	for _, j := range m.jobs {
		if j.ended == "" {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *refJob) int {
		return cmp.Or(cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	return out
}

func (m *reference) byPID(pid int32) *refProc {
	for _, p := range m.procs {
		if p.pid == pid && !p.dead {
			return p
		}
	}
	return nil
}

// testifies says whose a process is by the kernel's mark; nil: nobody's.
func (m *reference) testifies(p *refProc) *refJob {
	switch m.witness {
	case "label":
		return p.job // jobd writes down what it does there, and a fork copies it
	case "cgroup":
		if p.cgroup != nil && p.cgroup.ended == "" {
			return p.cgroup
		}
	case "audit":
		var found *refJob
		for _, j := range m.open() {
			if p.session == 0 || j.heard != p.session {
				continue
			}
			if found != nil {
				return nil // what two jobs share decides nothing
			}
			found = j
		}
		if found != nil && found.session != 0 {
			return found
		}
	}
	return nil
}

// reliable reports whether the kernel's mark can tell a job's processes from others'.
func (m *reference) reliable(j *refJob) bool {
	switch {
	case j == nil || m.witness == "cgroup" || m.witness == "label":
		return true
	case m.witness == "none" || j.session == 0:
		return false
	}
	for _, other := range m.open() {
		if other != j && other.heard == j.session {
			return false
		}
	}
	return true
}

// speaksFor reports whether an audit session can be a witness of the job that p is to open: not where its parent, or anybody but
// those of the job in that it is in and who descends from it, has the session without being in a job that it is a witness of.
func (m *reference) speaksFor(session int, p *refProc, in *refJob) bool {
	stranger := func(other *refProc) bool {
		return other.session == session && (other.job == nil || other.job.session != session)
	}
	if up := m.byPID(parentOf(p.pid)); up != nil && stranger(up) {
		return false
	}
	own := m.tree(p)
	return !slices.ContainsFunc(m.living(), func(other *refProc) bool {
		return stranger(other) && !slices.Contains(own, other) && (in == nil || other.job != in)
	})
}

// decidable reports whether the kernel tells that a child of caller is caller's, where its fork names somebody else.
func (m *reference) decidable(caller, named *refProc) bool {
	if named != nil && named.job == caller.job && named.out == caller.out && (m.witness == "none" || m.testifies(caller) == caller.job) {
		return true
	}
	for _, j := range m.open() {
		if !m.reliable(j) {
			return false
		}
	}
	if caller.out && m.witness == "audit" {
		return false // its session still speaks
	}
	if named != nil && named.job != caller.job && m.testifies(named) == m.testifies(caller) {
		return false // root put one of them where the kernel's mark does not say, and a child of either has the same mark
	}
	return m.testifies(caller) == caller.job
}

// birth: a child has its creator's job, whatever its parent is said to be. named is nil for one that is no puppet.
func (m *reference) birth(name string, pid int32, creator, named *refProc) *refProc {
	p := &refProc{name: name, pid: pid, parent: named, threads: make(map[string]*puppet)}
	p.out, p.outOf, p.cgroup, p.session = creator.out, creator.outOf, creator.cgroup, creator.session
	p.unseen, p.born = !m.sees(), time.Now()
	p.asked = named == nil || named.meets || named.job != creator.job
	m.procs[name] = p
	if creator.job != nil {
		m.join(p, creator.job)
	}
	m.meet(p)
	return p
}

func (m *reference) join(p *refProc, j *refJob) {
	p.job = j
	j.members[p] = true
	if !p.unseen {
		j.total++
		m.came++
	}
}

// put: root, or a login, put a process in.
func (m *reference) put(p *refProc, j *refJob) {
	if p.job != j {
		m.join(p, j)
		m.came--
		m.attached++
	}
	p.out, p.listed = false, nil
	if m.witness == "cgroup" {
		p.cgroup = j
	}
	m.meet(p)
}

// leave: p is a member no more, for another reason than its end.
func (m *reference) leave(p *refProc) {
	j := p.job
	delete(j.members, p)
	j.poeGone = j.poeGone || j.poe == p
	p.job, p.entrant = nil, false
	m.departed++
}

// emptied ends a job that nobody is in any more.
func (m *reference) emptied(j *refJob, why string) {
	if j == nil || j.ended != "" || len(j.members) > 0 || j.held || !m.sees() {
		return
	}
	if j.killed && why == "exit" {
		why = "killed"
	}
	j.ended = why
}

// sees reports whether jobd hears of what happens now, be it later.
func (m *reference) sees() bool { return m.blind == "" || m.blind == "paused" }

// recounted: jobd will begin to count anew with those who are members now.
func (m *reference) recounted() {
	m.attached, m.came, m.departed = 0, 0, 0
	for _, j := range m.open() {
		j.vague = true
		if j.poe != nil && j.poe.job != j {
			j.poe = nil
		}
		j.poeGone = j.poe == nil || j.poeGone
		m.came += uint64(len(j.members))
	}
}

// askedMost is how long it takes at most until a witness is asked, on a busy host.
const askedMost = 200 * time.Millisecond

// death: a process has ended, with what a shell would say.
func (m *reference) death(p *refProc, status int, quick bool) {
	p.dead = true
	m.leaveBehind(p)
	j := p.job
	if j == nil {
		return
	}
	quick = quick || p.asked && time.Since(p.born) < askedMost
	x := refExit{pid: p.pid, status: status, at: time.Now(), sure: !p.unseen && m.blind != "down", quick: quick}
	if !m.sees() {
		x.status = -1
	}
	j.left = append(j.left, x)
	delete(j.members, p)
	j.poeGone = j.poeGone || j.poe == p
	if !p.unseen {
		m.departed++
	}
	m.emptied(j, "exit")
}

// leaveBehind: once one that is out has gone, nothing but the books tells that its children are.
func (m *reference) leaveBehind(p *refProc) {
	if !p.out || m.blind == "down" || p.outOf.ended != "" {
		return
	}
	for _, c := range m.living() {
		if c.parent == p && c.out && c.outOf == p.outOf {
			c.listed = c.outOf
		}
	}
}

// meet notes where processes of different jobs meet: above p, and at p.
func (m *reference) meet(p *refProc) {
	for up := m.byPID(parentOf(p.pid)); up != nil; up = m.byPID(parentOf(up.pid)) {
		up.meets = up.meets || up.job != p.job
	}
	if p.parent != nil && p.parent.job != p.job {
		p.parent.meets = true
	}
	for _, c := range m.procs {
		if c.parent == p && !c.dead && c.job != p.job {
			p.meets = true
		}
	}
}

// tree is a process and what descends from it without a gap: those whose parent is gone are nobody's children.
func (m *reference) tree(p *refProc) []*refProc {
	return m.below(p, func(c *refProc) *refProc {
		if m.kept && c.job == nil { // nobody was told of its fork
			return m.byPID(parentOf(c.pid))
		}
		return c.parent
	})
}

func (m *reference) below(p *refProc, parent func(*refProc) *refProc) []*refProc {
	out := []*refProc{p}
	for i := 0; i < len(out); i++ {
		for _, c := range m.living() {
			if parent(c) == out[i] {
				out = append(out, c)
			}
		}
	}
	return out
}

// adopts reports whether an orphan was given to somebody in a process's tree. Where the kernel keeps membership a jobd that was started since
// has read there that it is that one's child; one that was told of its birth has not.
func (m *reference) adopts(p *refProc) bool {
	now := m.below(p, func(c *refProc) *refProc { return m.byPID(parentOf(c.pid)) })
	return m.kept && len(now) != len(m.tree(p))
}

func (m *reference) byJID(jid string) *refJob {
	for _, j := range m.jobs {
		if j.jid == jid {
			return j
		}
	}
	return nil
}

// family is a job and those whose chain of parents leads to it.
func (m *reference) family(j *refJob) []*refJob {
	var out []*refJob
	for _, other := range m.open() {
		for up := other; up != nil; up = up.up {
			if up == j {
				out = append(out, other)
				break
			}
		}
	}
	return out
}

// restarted: jobd is there again, and finds the members by what is on file of them, by witness or by descent.
func (m *reference) restarted() {
	m.blind = ""
	m.attached, m.came, m.departed = 0, 0, 0
	list := m.living()
	slices.SortFunc(list, func(a, b *refProc) int {
		return cmp.Or(cmp.Compare(startOf(a.pid), startOf(b.pid)), cmp.Compare(a.pid, b.pid))
	})
	for _, j := range m.open() {
		j.vague = true
		clear(j.members)
	}
	before := make(map[*refProc]*refJob)
	for _, p := range list {
		before[p], p.job = p.job, nil // a parent may be younger: it got an orphan
	}
	for _, p := range append([]*refProc{m.procs["first"]}, list...) {
		was := before[p]
		up := m.byPID(parentOf(p.pid))
		p.unseen, p.parent = false, up
		if m.witness == "label" { // nothing has to be found out
			if was != nil {
				m.join(p, was)
			}
			continue
		}
		filed := was != nil && (p.entrant || was.poe == p)
		inside := m.witness == "cgroup" && p.cgroup != nil && p.cgroup.ended == ""
		listed := p.listed != nil && p.listed.ended == ""
		if p.out = listed || up != nil && up.out && !filed && !inside; p.out {
			if !listed {
				p.outOf = up.outOf
			}
			continue
		}
		if j := m.whose(p, up, was, filed); j != nil {
			m.join(p, j)
		}
	}
	for _, j := range m.open() {
		if j.poe != nil && j.poe.job != j {
			j.poe = nil // who comes back later is one of many
		}
		j.poeGone = j.poe == nil || j.poe.dead || j.poeGone
		m.emptied(j, "lost")
	}
	for _, p := range list {
		m.meet(p)
	}
}

// whose says whose a process is that jobd has not seen being forked: root's word goes before the kernel's, that before what is on
// file of a login, and that before descent. A child that was left behind when its parent was put in is nowhere on file: where
// that job has no witness, it is taken for its parent's.
func (m *reference) whose(p, up *refProc, was *refJob, filed bool) *refJob {
	says := m.testifies(p)
	below := up != nil && up.job != nil
	switch {
	case filed && p.entrant:
		return was
	case !filed && below && m.testifies(up) != up.job && (says == nil || says == m.testifies(up)):
		return up.job
	case says != nil:
		return says
	case filed:
		return was
	case below && !m.reliable(up.job):
		return up.job
	}
	return m.oldest(p.session)
}

// oldest is who gets a process with an audit session that jobs share, and of which nothing else is known.
func (m *reference) oldest(session int) (found *refJob) {
	for _, j := range m.open() {
		if m.witness == "audit" && session != 0 && j.session == session && (found == nil || jidOf(j) < jidOf(found)) {
			found = j
		}
	}
	return found
}

// healed: jobd hears again, and has compared its table with /proc.
func (m *reference) healed() {
	m.blind = ""
	for _, p := range m.living() {
		if p.unseen && p.job != nil {
			p.job.total++
			m.came++
		}
		p.unseen = false
	}
	for _, j := range m.open() {
		j.vague = true
		m.emptied(j, "lost")
	}
}

// killedNow: what jobd had read in its last second or two may not be on disk.
func (m *reference) killedNow() {
	unsure := 3 * time.Second
	if m.kept {
		unsure += 11 * time.Second // for which a record may wait
	}
	for _, j := range m.jobs {
		for i := range j.left {
			if time.Since(j.left[i].at) < unsure {
				j.left[i].sure = false
			}
		}
		j.vague = j.vague || j.ended != ""
	}
}
