package watch

import (
	"iter"
	"math/bits"
)

// Index keeps something for each of many processes. It is a hash table with open addressing, and takes a third of the time
// of a map. The zero Index is empty. It belongs to one loop, as a Table does.
type Index[V any] struct {
	slots []slot[V] // none, or a power of two of them; at most three quarters are taken
	shift int       // how many bits of a hash are too many for a slot's number
	n     int
}

// slot is taken if its id is not zero: no process has pid 0.
type slot[V any] struct {
	id ID
	v  V
}

// indexLeast is the least number of slots.
const indexLeast = 8

// Len counts the processes.
func (x *Index[V]) Len() int { return x.n }

// Get gives what is kept for a process; the zero V where there is nothing.
func (x *Index[V]) Get(id ID) (v V) {
	if i, there := x.find(id); there {
		return x.slots[i].v
	}
	return v
}

// Set keeps v for a process, in place of what was kept for it. The zero ID is no process: nothing is kept for it.
func (x *Index[V]) Set(id ID, v V) {
	i, there := x.find(id)
	switch {
	case there:
		x.slots[i].v = v
		return
	case id == ID{}:
		return
	case 4*(x.n+1) > 3*len(x.slots):
		x.resize(max(2*len(x.slots), indexLeast))
		i, _ = x.find(id)
	}
	x.slots[i] = slot[V]{id, v}
	x.n++
}

// Delete forgets a process.
func (x *Index[V]) Delete(id ID) {
	i, there := x.find(id)
	if !there {
		return
	}
	x.n--
	// Those that collided with it, or with each other because of it, move up, so that no search ends before it should.
	mask := len(x.slots) - 1
	for j := (i + 1) & mask; x.slots[j].id != (ID{}); j = (j + 1) & mask {
		if home := x.home(x.slots[j].id); (j-home)&mask >= (j-i)&mask {
			x.slots[i], i = x.slots[j], j
		}
	}
	x.slots[i] = slot[V]{}
	if len(x.slots) > indexLeast && 16*x.n < len(x.slots) {
		x.resize(max(len(x.slots)/4, indexLeast))
	}
}

// All yields everything that is kept, in no order. The index must not be changed meanwhile: that is what IDs is for.
func (x *Index[V]) All() iter.Seq2[ID, V] {
	return func(yield func(ID, V) bool) {
		for i := range x.slots {
			if s := &x.slots[i]; s.id != (ID{}) && !yield(s.id, s.v) {
				return
			}
		}
	}
}

// IDs lists the processes for which something is kept, in no order.
func (x *Index[V]) IDs() []ID {
	ids := make([]ID, 0, x.n)
	for id := range x.All() {
		ids = append(ids, id)
	}
	return ids
}

// find gives the slot of a process, or the free one where it would be put, if there are any slots.
func (x *Index[V]) find(id ID) (i int, there bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := len(x.slots) - 1
	for i = x.home(id); ; i = (i + 1) & mask {
		switch x.slots[i].id {
		case ID{}:
			return i, false
		case id:
			return i, true
		}
	}
}

// home is where a process belongs. The multiplier (2^32 by the golden ratio) puts pids that were given out in turn far
// from each other: side by side, any that collided with one of them would have all the others to pass.
func (x *Index[V]) home(id ID) int { return int(uint32(id.PID) * 0x9E3779B1 >> x.shift) }

func (x *Index[V]) resize(size int) {
	old := x.slots
	x.slots, x.shift = make([]slot[V], size), 32-bits.TrailingZeros(uint(size))
	for i := range old {
		if old[i].id != (ID{}) {
			j, _ := x.find(old[i].id)
			x.slots[j] = old[i]
		}
	}
}
