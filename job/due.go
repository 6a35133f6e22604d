package job

import "github.com/jobd-project/jobd/job/watch"

// due is what waits for the use of a member that has gone: its record, which holds all the rest.
type due struct {
	job    *entry // nil: nothing waits
	record *Record
	before Spent // used before it became a member
}

// ending is an end that waits for records: the moment at which the job was left by everybody, and why it ended.
type ending struct {
	Mono   int64 // CLOCK_MONOTONIC ns
	Reason Text
}

// Used puts into the books what a process used whose Free said that this would come later. It is to be registered with the
// watchers. A process that nothing waits for was no member of a job when it went.
func (t *Table) Used(e *watch.Event) error {
	d := t.due.Get(e.Proc)
	if d.job == nil {
		return nil
	}
	t.due.Delete(e.Proc)
	j := d.job
	j.due--
	d.record.Estimated = d.record.Estimated || e.Inferred
	j.Estimated = j.Estimated || e.Inferred
	t.book(e.Proc, j, d.record, d.before.Off(e.Usage))
	if j.isOver() {
		t.end(j, j.ending.Mono, j.ending.Reason)
	}
	return nil
}

// Due counts the records that wait for what a process used.
func (t *Table) Due() int { return t.due.Len() }

// await keeps the record of a member until it is known what that used.
func (t *Table) await(m *member, r *Record) {
	t.due.Set(m.id, due{job: m.job, record: r, before: m.before})
	m.job.due++
}

// book writes down what a member used that has gone; nil where nobody knows.
func (t *Table) book(id watch.ID, j *entry, r *Record, used *watch.Usage) {
	j.departed.Add(used)
	j.used = true
	r.use(used)
	t.emit(r)
	if id == j.prime && used != nil && j.Command == "" {
		j.Command = Text(used.Comm)
	}
}

// isOver: nobody is in the job, and nobody has to come before it ends. Records may be due.
func (e *entry) isOver() bool { return e.members.Len() == 0 && !e.Held }
