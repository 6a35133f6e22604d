package store

import (
	"encoding/binary"
	"math/bits"
)

// How the numbers of a column stand in a block. Every column begins with its mode and its smallest number; the others
// are steps above that, in units that divide them all (clock ticks, pages, µs). A step may be told as its difference from
// an earlier one; then most are near 0.
const (
	fromNothing = 0 // the step itself
	fromRow     = 1 // from the row before
	fromClass   = 2 // from the last row of the same program
	fromJob     = 3 // from the last row of the same job
	fromMask    = 3
	modeSame    = 4 // all are the smallest: nothing follows
	modeSparse  = 8 // most are 0: the others with their places
	modeKnown   = fromMask | modeSame | modeSparse
)

// How a list of numbers stands.
const (
	listVarint  = 0 // each as a varint
	listHuffman = 1 // the codes, then tokens and loose bits
	listMost    = 1
	listFew     = 64 // fewer are not worth a table of codes
)

// groups says for each row of a table which program and which job it is of, by numbers from 0 on.
type groups struct {
	class, job   []uint32
	nclass, njob int
}

// of gives the numbers that from goes by.
func (g *groups) of(from byte) ([]uint32, int) {
	if from == fromClass {
		return g.class, g.nclass
	}
	return g.job, g.njob
}

// packer writes columns. It keeps its buffers; the zero packer is ready.
type packer struct {
	coder  coder
	steps  []uint64
	diffs  []uint64
	last   []uint64 // by class, or job
	places []uint64
	before [fromJob + 1][]int32 // by from: the row that a row's difference is from; -1: none
}

// group makes ready for the columns of a table.
func (p *packer) group(g *groups) {
	for _, from := range [...]byte{fromClass, fromJob} {
		of, n := g.of(from)
		p.last = zeros(p.last, n)
		before := p.before[from][:0]
		for i, k := range of {
			before = append(before, int32(p.last[k])-1)
			p.last[k] = uint64(i) + 1
		}
		p.before[from] = before
	}
}

func zeros(s []uint64, n int) []uint64 {
	s = sized(s, n)
	clear(s)
	return s
}

// sized gives a slice of n numbers, whatever they are.
func sized(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n, n+n/4)
	}
	return s[:n]
}

// appendColumn writes one column; froms are the differences that may be tried.
func (p *packer) appendColumn(dst []byte, column []uint64, g *groups, froms ...byte) []byte {
	low := int64(column[0])
	for _, v := range column {
		low = min(low, int64(v))
	}
	unit := p.toSteps(column, uint64(low))
	if unit == 0 {
		return binary.AppendVarint(append(dst, modeSame), low)
	}
	from := p.cheapest(froms)
	zero := p.differ(from, g)
	mode := from
	if sparse := zero > len(column)-len(column)/4; sparse {
		mode |= modeSparse
	}
	dst = binary.AppendVarint(append(dst, mode), low)
	dst = binary.AppendUvarint(dst, unit)
	if mode&modeSparse == 0 {
		return p.appendList(dst, p.diffs)
	}
	p.split()
	dst = binary.AppendUvarint(dst, uint64(len(p.places)))
	dst = p.appendList(dst, p.places)
	return p.appendList(dst, p.diffs)
}

// inverse125 times a multiple of 125 is what it is a multiple by, modulo 2^64.
const inverse125 = 0x1cac083126e978d5

// toSteps puts steps above low into p.steps and gives their unit: 2 to some power, times 125 where that is in all of them
// (1,000 is 8 times 125). 0: they are all low. A distance is exact although it may not fit an int64.
func (p *packer) toSteps(column []uint64, low uint64) (unit uint64) {
	p.steps = sized(p.steps, len(column))
	steps, all := p.steps, uint64(0)
	for i, v := range column {
		steps[i] = v - low
		all |= v - low
	}
	if all == 0 {
		return 0
	}
	shift := bits.TrailingZeros64(all)
	for i := range steps {
		if q := (steps[i] >> shift) * inverse125; q > ^uint64(0)/125 {
			return p.scale(shift, 1)
		}
	}
	return p.scale(shift, 125)
}

func (p *packer) scale(shift int, odd uint64) uint64 {
	switch {
	case odd == 125:
		for i, v := range p.steps {
			p.steps[i] = v >> shift * inverse125
		}
	case shift > 0:
		for i, v := range p.steps {
			p.steps[i] = v >> shift
		}
	}
	return odd << shift
}

// cheapest picks what to take differences from, by a sample of the rows.
func (p *packer) cheapest(froms []byte) byte {
	if len(froms) == 1 {
		return froms[0]
	}
	n := len(p.steps)
	best, from := int(^uint(0)>>1), byte(0)
	for _, f := range froms {
		bits := 0
		for at := 0; at < n; at += max(n/8, 32) {
			bits += p.cost(f, at, min(at+32, n))
		}
		if bits < best {
			best, from = bits, f
		}
	}
	return from
}

// cost is about how many bits the rows from at to end take.
func (p *packer) cost(from byte, at, end int) (n int) {
	steps := p.steps
	switch from {
	case fromNothing:
		for _, v := range steps[at:end] {
			n += bits.Len64(v)
		}
	case fromRow:
		for i := max(at, 1); i < end; i++ {
			n += bits.Len64(folded(steps[i] - steps[i-1]))
		}
	default:
		before := p.before[from]
		for i := at; i < end; i++ {
			if b := before[i]; b >= 0 {
				n += bits.Len64(folded(steps[i] - steps[b]))
			} else {
				n += bits.Len64(steps[i])
			}
		}
	}
	return n
}

// folded makes numbers near 0, on either side of it, small ones.
func folded(v uint64) uint64   { return v<<1 ^ uint64(int64(v)>>63) }
func unfolded(v uint64) uint64 { return v>>1 ^ -(v & 1) }

// differ puts what is to be written into p.diffs, and counts the zeros.
func (p *packer) differ(from byte, g *groups) (zero int) {
	p.diffs = sized(p.diffs, len(p.steps))
	diffs, prev := p.diffs, uint64(0)
	switch from {
	case fromNothing:
		copy(diffs, p.steps)
	case fromRow:
		for i, v := range p.steps {
			diffs[i] = folded(v - prev)
			prev = v
		}
	default:
		of, n := g.of(from)
		p.last = zeros(p.last, n)
		for i, v := range p.steps {
			diffs[i] = folded(v - p.last[of[i]])
			p.last[of[i]] = v
		}
	}
	for _, d := range diffs {
		if d == 0 {
			zero++
		}
	}
	return zero
}

// split keeps those diffs that are not 0, less 1, and in p.places how many zeros are before each.
func (p *packer) split() {
	p.places = p.places[:0]
	kept, next := p.diffs[:0], 0
	for i, d := range p.diffs {
		if d != 0 {
			kept = append(kept, d-1)
			p.places = append(p.places, uint64(i-next))
			next = i + 1
		}
	}
	p.diffs = kept
}

func (p *packer) appendList(dst []byte, vals []uint64) []byte {
	if len(vals) < listFew {
		dst = append(dst, listVarint)
		for _, v := range vals {
			dst = binary.AppendUvarint(dst, v)
		}
		return dst
	}
	p.coder.counted(vals)
	p.coder.build()
	dst = p.coder.appendCodes(append(dst, listHuffman))
	return p.coder.appendBits(dst, vals)
}
