package metrics

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// use is what a user has used, in seconds and bytes; nil is unknown.
type use struct {
	cpu, read, write *float64
}

// row is one value of the label user.
type row struct {
	label           string
	users           int // 1, unless several are added up here
	jobs, processes int
	use
}

// Used is what is said of a counter's users, in seconds and bytes; 0 where it is unknown.
type Used struct{ CPU, Read, Write float64 }

// userView turns users into rows. It remembers who has a place, and what was said last.
type userView struct {
	places  *places
	said    map[string]use // by label, other included
	noNames bool
	keep    func(map[string]Used) <-chan error
	kept    map[string]use // what is remembered if all of this is lost
	due     *handed        // what may be remembered soon; nil: nothing
}

// handed is what keep is at work on.
type handed struct {
	said map[string]use
	done <-chan error
}

// keepMost is how long a scrape waits for keep.
const keepMost = 500 * time.Millisecond

// everybody is the label of the one row where users have no names. No user has it: a user without a name is part of other.
const everybody = ""

// newUserView begins with what was said before: who had a place has it again.
func newUserView(limit int, o Options) *userView {
	v := &userView{places: newPlaces(limit), said: make(map[string]use), noNames: o.NoUsers, keep: o.Keep, kept: make(map[string]use)}
	for label, u := range o.Said {
		if v.noNames != (label == everybody) {
			continue
		}
		v.places.label(label)
		v.said[label] = use{&u.CPU, &u.Read, &u.Write}
		v.kept[label] = v.said[label]
	}
	return v
}

// rows gives a row for each user who has a place and one for all others, and how many users those are.
func (v *userView) rows(users []User) (rows []*row, folded int) {
	shown := make(map[string]*row, len(users))
	if v.noNames {
		shown[everybody] = &row{use: use{cpu: new(float64), read: new(float64), write: new(float64)}}
	}
	for _, r := range ranked(merge(users)) {
		if v.noNames {
			r.label = everybody
		} else {
			r.label = v.places.label(r.label)
		}
		if r.label == other {
			folded += r.users
		}
		if have := shown[r.label]; have != nil {
			have.add(r)
		} else {
			shown[r.label] = r
		}
	}
	said := make(map[string]use, len(shown))
	for label, r := range shown {
		said[label] = r.hold(v.said[label])
	}
	// Who is not in this snapshot is forgotten, but for the place: should they come back with less, then it is a new count.
	v.said = said
	v.commit(shown)
	return slices.Collect(maps.Values(shown)), folded
}

// commit has what is about to be said remembered, and says what is. Were more said than that, a restart would take it back.
func (v *userView) commit(shown map[string]*row) {
	if v.keep == nil {
		return
	}
	v.settle(time.Millisecond)
	if v.due == nil {
		v.handOver()
		v.settle(keepMost)
	}
	for label, r := range shown {
		k := v.kept[label]
		r.cpu, r.read, r.write = onlyIf(r.cpu, k.cpu), onlyIf(r.read, k.read), onlyIf(r.write, k.write)
	}
}

// handOver has keep begin with what is not kept.
func (v *userView) handOver() {
	changed := make(map[string]Used)
	for label, u := range v.said {
		if kept, ok := v.kept[label]; !ok || kept.plain() != u.plain() {
			changed[label] = u.plain()
		}
	}
	if len(changed) == 0 {
		v.kept = v.said
	} else if done := v.keep(changed); done != nil {
		v.due = &handed{said: maps.Clone(v.said), done: done}
	}
}

// settle waits for what was handed over, for some time at most.
func (v *userView) settle(most time.Duration) {
	if v.due == nil {
		return
	}
	select {
	case err := <-v.due.done:
		if err == nil {
			v.kept = v.due.said
		}
		v.due = nil
	case <-time.After(most):
	}
}

func (v *userView) forget(label string) {
	delete(v.said, label)
	delete(v.kept, label)
	if v.due != nil {
		delete(v.due.said, label)
	}
}

func (u use) plain() Used {
	get := func(p *float64) float64 {
		if p == nil {
			return 0
		}
		return *p
	}
	return Used{get(u.cpu), get(u.read), get(u.write)}
}

// onlyIf is the value that was kept, where there is one to show at all.
func onlyIf(v, kept *float64) *float64 {
	if v == nil {
		return nil
	}
	return kept
}

// merge makes names fit to print. Those that look the same then become one: two series of one name would void the scrape.
func merge(users []User) []*row {
	byName := make(map[string]*row, len(users))
	for i := range users {
		u := &users[i]
		r := &row{
			label: clean(u.Name), users: 1, jobs: u.Jobs, processes: u.Processes,
			use: use{cpu: sane(u.CPU), read: sane(u.ReadBytes), write: sane(u.WriteBytes)},
		}
		if have := byName[r.label]; have != nil {
			have.add(r)
		} else {
			byName[r.label] = r
		}
	}
	return slices.Collect(maps.Values(byName))
}

// ranked puts those who used the most CPU first: that is the order in which places are given.
func ranked(rows []*row) []*row {
	cpu := func(r *row) float64 {
		if r.cpu == nil {
			return 0
		}
		return *r.cpu
	}
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(cpu(b), cpu(a)), cmp.Compare(a.label, b.label))
	})
	return rows
}

func (r *row) add(o *row) {
	r.users += o.users
	r.jobs += o.jobs
	r.processes += o.processes
	r.cpu = sum(r.cpu, o.cpu)
	r.read = sum(r.read, o.read)
	r.write = sum(r.write, o.write)
}

// hold keeps a row from falling below what was said before. It gives what will have been said now.
func (r *row) hold(said use) use {
	r.cpu, said.cpu = atLeast(r.cpu, said.cpu)
	r.read, said.read = atLeast(r.read, said.read)
	r.write, said.write = atLeast(r.write, said.write)
	return said
}

// atLeast gives the value to show, and the one to remember: what is unknown now is not shown, but remembered.
func atLeast(v, said *float64) (show, remember *float64) {
	switch {
	case v == nil:
		return nil, said
	case said != nil && *said > *v:
		return said, said
	}
	return v, v
}

// sane is a figure of which a counter can be made; a copy, since rows are added up in place.
func sane(v *float64) *float64 {
	if v == nil {
		return nil
	}
	f := max(*v, 0)
	return &f
}

// sum adds what is known.
func sum(a, b *float64) *float64 {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	s := *a + *b
	return &s
}
