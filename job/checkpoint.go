package job

import "github.com/jobd-project/jobd/job/watch"

// Checkpoint writes down what the living members of a job have used since the checkpoint before, each on a partial record,
// and the CPU that is on no record as a Part: so that a report can count use when it was used, although a process may live
// for months. live has what each member has used in all, as its exit record will have it, nil where that could not be
// read; at is when that was, Unix ns; cpu is what the scheduler charged to the job so far, nil where nobody knows.
func (t *Table) Checkpoint(jid JID, at int64, live map[watch.ID]*watch.Usage, cpu *int64) error {
	recs, part, err := t.Since(jid, at, live, cpu)
	if err != nil {
		return err
	}
	j := t.jobs[jid]
	for id, r := range recs {
		m := j.members.Get(id)
		earlier := watch.Usage{} // a new one: records that went out before point to the old
		if m.earlier != nil {
			earlier = *m.earlier
		}
		sum(&earlier, &r.Usage)
		m.earlier = &earlier
		t.emit(r)
	}
	if part.Unattributed > 0 {
		j.Parted += part.Unattributed
		t.emit(part)
		t.save(j)
	}
	return nil
}

// Since gives what a checkpoint would write down now: what was used since the one before. It changes nothing.
func (t *Table) Since(jid JID, at int64, live map[watch.ID]*watch.Usage, cpu *int64) (map[watch.ID]*Record, Part, error) {
	part := Part{JID: jid, At: at}
	j, err := t.entry(jid)
	if err != nil {
		return nil, part, err
	}
	recs := make(map[watch.ID]*Record, j.members.Len())
	seen := j.departed.CPU
	for id, m := range j.members.All() {
		if u := m.before.Off(live[id]); u != nil {
			seen += u.CPU
			recs[id] = t.partial(m, at, u)
		}
	}
	if cpu != nil && j.due == 0 { // what is due will be on records: it would be counted twice
		part.Unattributed = max(*cpu-seen-j.Parted, 0)
	}
	return recs, part, nil
}

// partial is the record of a member that used u so far.
func (t *Table) partial(m *member, at int64, u *watch.Usage) *Record {
	r := &Record{
		JID: m.job.JID, PID: m.id.PID, Start: t.start(m, u, at), End: at, Forked: m.born && m.execs == 0, Estimated: m.guessed,
		Partial: true, Used: true, Usage: *u, Exe: m.exe(t.mono),
	}
	if m.earlier != nil {
		less(&r.Usage, m.earlier)
	}
	return r
}

// start is when a living member was started, Unix ns; 0: not known.
func (t *Table) start(m *member, u *watch.Usage, at int64) int64 {
	switch {
	case m.born:
		start := t.now(m.since).UnixNano()
		if start > at || at > t.wall.UnixNano() { // at is of before the clock was set
			start = at - (t.mono - m.since)
		}
		return start
	case u.Elapsed > 0:
		return at - u.Elapsed
	}
	return 0
}

// sums lists the figures of a Usage that add up over time.
func sums(u *watch.Usage) [20]*int64 {
	return [...]*int64{
		&u.Elapsed, &u.CPU, &u.User, &u.System, &u.MinFault, &u.MajFault, &u.CoreMem, &u.VirtMem,
		&u.ReadChars, &u.WriteChars, &u.ReadCalls, &u.WriteCalls, &u.ReadBytes, &u.WriteBytes,
		&u.VolSwitch, &u.InvSwitch, &u.CPUDelay, &u.BlkDelay, &u.SwapDelay, &u.ReclaimDelay,
	}
}

// less takes v off u. Two readings are rounded differently: less than nothing is nothing.
func less(u, v *watch.Usage) {
	from := sums(v)
	for i, p := range sums(u) {
		*p = max(*p-*from[i], 0)
	}
}

func sum(u, v *watch.Usage) {
	from := sums(v)
	for i, p := range sums(u) {
		*p += *from[i]
	}
}

// Resume tells the table of partial records from before jobd was started: the sums of those of one process. The member
// is the one with that pid.
func (t *Table) Resume(id watch.ID, parts []*Record) {
	m := t.member(id)
	if m == nil || len(parts) == 0 {
		return
	}
	m.earlier = new(watch.Usage)
	for _, r := range parts {
		sum(m.earlier, &r.Usage)
	}
}

func (Part) effect() {}
