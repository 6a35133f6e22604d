package report

import (
	"math"
	"math/bits"
)

// exact is a sum of numbers that are 0 or more: 64 bits before the point and 64 after it. Unlike a sum of floats it is the
// same in whatever order they come, and the books may give records in another order when they are asked again.
type exact struct{ whole, part uint64 }

// add takes in a number; what is above 2^64 counts as that.
func (e *exact) add(v float64) {
	if !(v > 0) {
		return
	}
	whole, part := math.Modf(v)
	if whole >= 1<<64 {
		*e = exact{math.MaxUint64, math.MaxUint64}
		return
	}
	e.sum(exact{uint64(whole), uint64(part * (1 << 64))})
}

func (e *exact) sum(o exact) {
	part, carry := bits.Add64(e.part, o.part, 0)
	whole, over := bits.Add64(e.whole, o.whole, carry)
	if *e = (exact{whole, part}); over > 0 {
		*e = exact{math.MaxUint64, math.MaxUint64}
	}
}

func (e exact) float() float64 { return float64(e.whole) + float64(e.part)/(1<<64) }
