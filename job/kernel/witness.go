package kernel

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/label"
)

// testimony is what the kernel itself had a process inherit, as read while it was alive.
type testimony struct {
	label  label.Label // goes before the others
	cgroup string
	audit  *uint32
}

// hear reads a process's witnesses, up to the one that is enough. Afterwards it looks whether the pid still belongs to the process that
// was meant: one that goes meanwhile leaves files that cannot be read, and its pid to somebody else. ok is false then.
func (c *engine) hear(pid int32, meant func(Stat) bool) (t testimony, ok bool) {
	return c.hearIn("", pid, meant, c.FS.Stat)
}

// hearIn is hear for one that was listed in a cgroup just now; empty: it is asked for its own.
func (c *engine) hearIn(place string, pid int32, meant func(Stat) bool, stat func(int32) (Stat, error)) (t testimony, ok bool) {
	var err error
	if t.label, err = c.labelled(pid); err != nil {
		return testimony{}, false
	}
	_, told := c.bench.read(t.label)
	if !told {
		if t.cgroup = place; place == "" {
			t.cgroup, err = bornIn(c.FS, c.Cgroups, pid)
		}
		if err != nil {
			return testimony{}, false
		}
		if !c.bench.settles(t.cgroup) {
			t.audit = c.FS.Session(pid)
		}
	}
	st, err := stat(pid)
	if errors.Is(err, ErrBusy) {
		return t, true // whoever it is runs, and had no time to come to that pid: better than to let it keep silent for as long as it likes
	}
	if err != nil || !meant(st) {
		return testimony{}, false
	}
	if st.State == 'Z' && !told && c.Cgroups.Mount != "" { // its first thread's files are what they were when that exited
		if t.cgroup, err = c.FS.CgroupOfAny(pid); err != nil {
			return testimony{}, false
		}
	}
	return t, true
}

// bornAt means the child of a fork that was stamped at mono.
func bornAt(mono int64, clock clocks) func(Stat) bool {
	return func(st Stat) bool { return sameStart(clock.bootTime(mono), st.Start) }
}

// startedAt means the process that was started at a tick.
func startedAt(start uint64) func(Stat) bool { return func(st Stat) bool { return st.Start == start } }

// bench is where witnesses are confronted with the jobs they can speak for. A cgroup or an audit session that several
// jobs share decides nothing.
type bench struct {
	mu      sync.Mutex // the sentinel asks from its own goroutine
	cgroups map[string][]Label
	audits  map[uint32][]Label
	places  map[Label]job.Placement
	trusts  bool // that every process of a job has its label in the kernel, and nobody else has
}

func newBench() *bench {
	return &bench{cgroups: make(map[string][]Label), audits: make(map[uint32][]Label), places: make(map[Label]job.Placement)}
}

// trust says whether labels in the kernel are as they ought to be.
func (b *bench) trust(labels bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trusts = labels
}

// call makes the marks of a placement speak for a label, in place of those before. It says which of them can now:
// "label", "cgroup", "audit", some of them or none.
func (b *bench) call(label Label, p job.Placement) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(label)
	b.places[label] = p
	if p.Cgroup != "" && p.Cgroup != "/" {
		b.cgroups[p.Cgroup] = append(b.cgroups[p.Cgroup], label)
	}
	if p.Audit != nil {
		b.audits[*p.Audit] = append(b.audits[*p.Audit], label)
	}
	return strings.Join(b.speaking(label), ",")
}

// speaking names the marks that are a label's alone.
func (b *bench) speaking(label Label) (names []string) {
	p := b.places[label]
	if b.trusts {
		names = append(names, "label")
	}
	if len(b.cgroups[p.Cgroup]) == 1 {
		names = append(names, "cgroup")
	}
	if p.Audit != nil && len(b.audits[*p.Audit]) == 1 {
		names = append(names, "audit")
	}
	return names
}

// share notes that a label's processes have an audit session, whether or not it is a witness of theirs: it is nobody else's
// alone then. It comes after call.
func (b *bench) share(label Label, session uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.audits[session], label) {
		b.audits[session] = append(b.audits[session], label)
	}
}

// heeds reports whether an audit session is a witness of a label.
func (b *bench) heeds(label Label, session uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owns(label, session)
}

func (b *bench) owns(label Label, session uint32) bool {
	own := b.places[label].Audit
	return own != nil && *own == session
}

// dismiss forgets what spoke for a label.
func (b *bench) dismiss(label Label) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(label)
}

func (b *bench) drop(label Label) {
	delete(b.places, label)
	for place, labels := range b.cgroups {
		if labels = without(labels, label); len(labels) == 0 {
			delete(b.cgroups, place)
		} else {
			b.cgroups[place] = labels
		}
	}
	for id, labels := range b.audits {
		if labels = without(labels, label); len(labels) == 0 {
			delete(b.audits, id)
		} else {
			b.audits[id] = labels
		}
	}
}

func without(labels []Label, label Label) []Label {
	var out []Label
	for _, l := range labels {
		if l != label {
			out = append(out, l)
		}
	}
	return out
}

// tells reports whether a label's processes are told from all others: by their label in the kernel, or because they are in a cgroup
// that jobd made for them alone.
func (b *bench) tells(label Label) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trusts || b.places[label].Own
}

// own gives the cgroups that jobd made for open jobs.
func (b *bench) own() (places []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.places {
		if p.Own {
			places = append(places, p.Cgroup)
		}
	}
	return places
}

// settles reports whether a cgroup is one that jobd made for an open job: no other witness is needed then.
func (b *bench) settles(cgroup string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	labels := b.cgroups[cgroup]
	return len(labels) == 1 && b.places[labels[0]].Own
}

// judge says whose a process is by its testimony: a label, or 0 for nobody's that is known here. A label in the kernel goes before all
// else, because nobody but jobd can change it. The cgroup goes before the audit session: a user cannot leave the one without root, and
// the other may be set anew by whoever has CAP_AUDIT_CONTROL.
func (b *bench) judge(t testimony) Label {
	b.mu.Lock()
	defer b.mu.Unlock()
	if label, told := b.readLocked(t.label); told {
		return label
	}
	if labels := b.cgroups[t.cgroup]; len(labels) == 1 {
		return labels[0]
	}
	if t.audit != nil {
		if labels := b.audits[*t.audit]; len(labels) == 1 && b.owns(labels[0], *t.audit) {
			return labels[0]
		}
	}
	return 0
}

// read gives what a label in the kernel says: an open job, or 0 of who was taken out of one. told is false where it says nothing.
func (b *bench) read(l label.Label) (says Label, told bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readLocked(l)
}

func (b *bench) readLocked(l label.Label) (says Label, told bool) {
	if _, open := b.places[Label(l.In)]; open {
		return Label(l.In), true
	}
	return 0, l.In == 0 && l.Out != 0
}

// claim is what judge says, if it is by a label, by jobd's own cgroup or by the audit session.
func (b *bench) claim(t testimony) Label {
	label := b.judge(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.places[label]
	if label != 0 && uint64(label) == t.label.In || p.Own || p.Audit != nil && t.audit != nil && *p.Audit == *t.audit {
		return label
	}
	return 0
}

// verdict is what judge says, or, where nested jobs share an audit session, the oldest of them: who has that session descends
// from their login. It is not for cgroups, in which strangers may be. When the label that is known already is one of
// them, nothing better is known.
func (b *bench) verdict(t testimony, known Label) Label {
	if label := b.judge(t); label != 0 || t.audit == nil {
		return label
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	labels := b.audits[*t.audit]
	if len(labels) == 0 || slices.Contains(labels, known) {
		return 0
	}
	oldest := Label(0)
	for _, l := range labels {
		if b.owns(l, *t.audit) && (oldest == 0 || l < oldest) {
			oldest = l
		}
	}
	return oldest
}

// reliable reports whether every one of these labels has a witness: then one that names none of them means none.
func (b *bench) reliable(labels map[Label]int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range labels {
		if l != 0 && len(b.speaking(l)) == 0 {
			return false
		}
	}
	return true
}
