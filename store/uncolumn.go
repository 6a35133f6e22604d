package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errBlock = errors.New("not a block of records")

// reader takes a block apart. After the first error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", what, errBlock)
	}
	r.b = nil
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("it ends inside a number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	return int64(unfolded(r.uvarint()))
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it ends too early")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// bytes takes n of them, as they stand.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("it ends too early")
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// unpacker reads columns. It keeps its buffers; the zero unpacker is ready.
type unpacker struct {
	codes  codes
	last   []uint64
	places []uint64
	values []uint64
}

// column reads one into dst. g may have nothing in it for the columns that groups are made of.
func (u *unpacker) column(raw []byte, dst []uint64, g *groups) error {
	if len(raw) == 0 { // not there: written by a program that didn't know it
		clear(dst)
		return nil
	}
	r := reader{b: raw}
	mode, low := r.byte(), uint64(r.varint())
	switch {
	case mode&^modeKnown != 0:
		r.fail("a column of an unknown mode")
	case mode&modeSame != 0:
		for i := range dst {
			dst[i] = low
		}
	default:
		unit := r.uvarint()
		u.diffs(&r, mode&modeSparse != 0, dst)
		if r.err == nil {
			u.join(&r, mode&fromMask, dst, g)
		}
		for i, v := range dst {
			dst[i] = low + v*unit
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("a column is longer than its rows")
	}
	return r.err
}

func (u *unpacker) diffs(r *reader, sparse bool, dst []uint64) {
	if !sparse {
		u.list(r, dst)
		return
	}
	n := r.uvarint()
	if n > uint64(len(dst)) {
		r.fail("more rows than there are")
		return
	}
	u.places, u.values = sized(u.places, int(n)), sized(u.values, int(n))
	u.list(r, u.places)
	u.list(r, u.values)
	clear(dst)
	at := uint64(0)
	for i, p := range u.places {
		if p >= uint64(len(dst)) || at+p >= uint64(len(dst)) {
			r.fail("more rows than there are")
			return
		}
		dst[at+p] = u.values[i] + 1
		at += p + 1
	}
}

func (u *unpacker) list(r *reader, dst []uint64) {
	switch kind := r.byte(); {
	case r.err != nil:
	case kind > listMost:
		r.fail("a list of an unknown kind")
	case kind == listVarint:
		for i := range dst {
			dst[i] = r.uvarint()
		}
	default:
		if u.codes.read(r); r.err == nil {
			u.codes.numbers(r, dst)
		}
	}
}

// join turns differences into steps.
func (u *unpacker) join(r *reader, from byte, dst []uint64, g *groups) {
	switch from {
	case fromNothing:
	case fromRow:
		v := uint64(0)
		for i, d := range dst {
			v += unfolded(d)
			dst[i] = v
		}
	default:
		of, n := g.of(from)
		if len(of) != len(dst) {
			r.fail("a column that stands before what it needs")
			return
		}
		u.last = zeros(u.last, n)
		for i, d := range dst {
			v := u.last[of[i]] + unfolded(d)
			u.last[of[i]] = v
			dst[i] = v
		}
	}
}
