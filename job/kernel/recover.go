package kernel

import (
	"cmp"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Found is what is left of a job that was open when jobd last wrote it down.
type Found struct {
	POE     watch.ID // zero: it has gone
	Members []watch.ID
}

// Recover finds the members of jobs that were open before jobd was started: its point of entry and those that were put into
// it by pid and start time, the others by their witnesses, and whatever descends from those. Nothing older than this jobd can have been read by
// then; forks that wait in the queue inherit what is found here.
func (c *Connector) Recover(open []job.Saved) (map[job.JID]Found, error) {
	poes, entries := make(map[job.Known]job.JID), make(map[job.Known]job.JID)
	out := make(map[job.Known]job.JID)
	for _, s := range open {
		c.Testify(Label(s.JID), s.Placement, s.AuditSession)
		poes[job.Known{PID: s.POE, Start: s.Placement.POEStart}] = s.JID
		for _, e := range s.Entrants { // of another's POE too: it has been moved here
			entries[e.Known] = s.JID
		}
		for _, k := range s.Placement.Detached {
			out[k] = s.JID
		}
	}
	list, err := c.there()
	if err != nil {
		return nil, err
	}
	heard := c.hearAll(list)
	found := make(map[job.JID]Found)
	for i, s := range list {
		p := c.lin.of(s.PID)
		if p == nil || !p.seenAs(&s) || s.PID == c.self {
			continue
		}
		parent := c.lin.of(s.PPID)
		known := s.known(poes, entries, out)
		label := Label(cmp.Or(entries[known], poes[known])) // what is on file goes before any witness: that may be another's too
		told := false
		if label == 0 && out[known] == 0 {
			if label, told = c.remembered(p, parent, heard[i]); told && label == 0 {
				continue
			}
		}
		if !told && entries[known] == 0 && c.isOut(p, parent, Label(out[known]), poes[known] != 0) {
			continue
		}
		if label == 0 {
			label = p.label // an impostor's
		}
		if label == 0 {
			label = c.whose(s, heard[i].testimony, heard[i].ok)
		}
		if label == 0 {
			continue
		}
		p.label, p.since = label, 0
		c.weigh(p, heard[i].testimony, heard[i].ok)
		f := found[job.JID(label)]
		f.Members = append(f.Members, p.id)
		if poes[known] == job.JID(label) {
			f.POE = p.id
		}
		found[job.JID(label)] = f
	}
	if c.replays {
		c.fromFile(poes, entries, found)
	}
	c.markAll(found, list)
	if c.labels != nil {
		c.doubtLabels() // until all that were found have one
		c.labels.looked = time.Time{}
	}
	c.runs = c.findExempt()
	return found, c.sentinel.watch(c.lin.markedPIDs())
}

// said is a testimony, if there was one.
type said struct {
	testimony
	ok bool
}

// hearAll asks everybody whom a scan found and who is in the table. Those whose label decides are not asked one by one, and of those in a job's
// own cgroup nobody is asked where it is.
func (c *Connector) hearAll(list []seen) []said {
	out, kept, lodged := make([]said, len(list)), c.keptLabels(), c.lodged()
	var asked []int // of those that were not in the middle of an exec: of them the start is known
	for i := range list {
		s := &list[i]
		l, has := kept[s.PID]
		_, told := c.bench.read(l.label)
		switch p := c.lin.of(s.PID); {
		case p == nil:
		case s.vague:
			out[i].testimony, out[i].ok = c.hear(s.PID, func(st Stat) bool { return p.began(st.Start) })
		case has && l.start == s.Start && told:
			out[i] = said{testimony{label: l.label}, true}
		default:
			asked = append(asked, i)
		}
	}
	by := func(stat func(int32) (Stat, error)) func(int) said {
		return func(i int) (h said) {
			s := &list[asked[i]]
			h.testimony, h.ok = c.hearIn(lodged[s.PID], s.PID, startedAt(s.Start), stat)
			return h
		}
	}
	for i, h := range inBatches(len(asked), by(c.FS.statNow), by(c.FS.Stat)) {
		out[asked[i]] = h
	}
	return out
}

// lodged says of those in cgroups that jobd made for open jobs in which they are. Of one that cannot be listed they are asked.
func (c *engine) lodged() map[int32]string {
	places := c.bench.own()
	pids := make([][]int32, len(places))
	sideBySide(len(places), func(i int) { pids[i], _ = c.Cgroups.Members(places[i]) })
	out := make(map[int32]string)
	for i, in := range pids {
		for _, pid := range in {
			out[pid] = places[i]
		}
	}
	return out
}

// known is a process as it is on file. Of one whose start cannot be read now the pid has to do: it would be a rare chance that it
// is another's.
func (s *seen) known(filed ...map[job.Known]job.JID) job.Known {
	if s.vague {
		for _, list := range filed {
			for k := range list {
				if k.PID == s.PID {
					return k
				}
			}
		}
	}
	return job.Known{PID: s.PID, Start: s.Start}
}

// isOut tells of a process that nobody put into a job since: it, or what it descends from, was taken out of the job of.
// A login of what is out is a job of its own, and who is in a job's own cgroup was left inside: from there people are taken.
func (c *Connector) isOut(p, parent *proc, of Label, poe bool) bool {
	switch {
	case of != 0:
		p.out, p.prev, p.roots = true, of, c.FS.RootsOwn(p.id.PID)
		if parent != nil && parent.out {
			p.counted = true
			parent.kids++
		}
	case !poe && parent != nil && parent.out && !c.held(p):
		p.descend(parent)
		_, _ = c.impostor(p, parent, true, func(st Stat) bool { return p.began(st.Start) })
	}
	return p.out
}

// held reports whether a process is in a cgroup that jobd made for an open job.
func (c *engine) held(p *proc) bool {
	place, err := c.FS.CgroupOfAny(p.id.PID)
	return err == nil && c.holds(testimony{cgroup: place})
}

func (c *engine) holds(t testimony) bool {
	return c.Cgroups.Mine(t.cgroup) && c.bench.judge(testimony{cgroup: t.cgroup}) != 0
}

// fromFile takes in who is on file and was gone when /proc was looked at: the queue may tell of its exit, else the comparison
// that follows it does.
func (c *Connector) fromFile(poes, entries map[job.Known]job.JID, found map[job.JID]Found) {
	for _, filed := range []map[job.Known]job.JID{entries, poes} {
		for known, jid := range filed {
			if known.Start == 0 || c.lin.of(known.PID) != nil {
				continue
			}
			p := c.lin.add(known.PID, int64(known.Start)*nsPerTick)
			p.label = Label(jid)
			f := found[jid]
			f.Members = append(f.Members, p.id)
			if poes[known] == jid {
				f.POE = p.id
			}
			found[jid] = f
		}
	}
}

// whose says whose a process is that was there before jobd: by its witnesses, where they could be heard, and by its parent.
func (c *engine) whose(s seen, heard testimony, ok bool) Label {
	parent := c.lin.of(s.PPID)
	if !ok {
		heard = testimony{}
	}
	switch label := c.bench.judge(heard); {
	case ok && parent != nil && parent.overruled(label):
		return parent.label
	case label != 0:
		return label
	case parent != nil && parent.label != 0 && (heard.label.In != 0 || !c.bench.reliable(map[Label]int{parent.label: 1})):
		return parent.label
	}
	return c.bench.verdict(heard, 0)
}
