package metrics

import (
	"cmp"
	"maps"
	"slices"
)

// use is what a user has used; nil is unknown. The sums are kept as floats, as they are shown: ns of many users for
// years do not fit 64 bits.
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

// userView turns users into rows. It remembers who has a place, and what was said last.
type userView struct {
	places *places
	said   map[string]use // by label, other included
}

func newUserView(limit int) *userView {
	return &userView{places: newPlaces(limit), said: make(map[string]use)}
}

// rows gives a row for each user who has a place and one for all others, and how many users those are.
func (v *userView) rows(users []User) (rows []*row, folded int) {
	shown := make(map[string]*row, len(users))
	for _, r := range ranked(merge(users)) {
		r.label = v.places.label(r.label)
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
	return slices.Collect(maps.Values(shown)), folded
}

// merge makes names fit to print. Those that look the same then become one: two series of one name would void the scrape.
func merge(users []User) []*row {
	byName := make(map[string]*row, len(users))
	for i := range users {
		u := &users[i]
		r := &row{
			label: clean(u.Name), users: 1, jobs: u.Jobs, processes: u.Processes,
			use: use{cpu: float(u.CPU, 1e9), read: float(u.ReadBytes, 1), write: float(u.WriteBytes, 1)},
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

func float(v *int64, unit float64) *float64 {
	if v == nil {
		return nil
	}
	f := max(float64(*v), 0) / unit
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
