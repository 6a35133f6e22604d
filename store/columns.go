package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// How the numbers of a column stand in a block. Every column begins with its mode and its smallest number; the others
// are the steps above that, in units of the largest that divides them all (clock ticks, pages, µs).
const (
	modeSame  = 0 // all are the smallest: nothing follows
	modePlain = 1 // the unit, then each number's steps
	modeDelta = 2 // the unit, then each number's steps more than the one before
)

var errBlock = errors.New("not a block of records")

// appendColumns writes the columns of rows, one after the other: equal and near values stand together.
func appendColumns(dst []byte, rows []row) []byte {
	column := make([]uint64, len(rows)) // taken out of the rows once: five walks over these would miss the cache
	for c := range columns {
		for i := range rows {
			column[i] = uint64(rows[i][c])
		}
		dst = appendColumn(dst, column)
	}
	return dst
}

// appendColumn writes one column, and leaves its steps in it.
func appendColumn(dst []byte, column []uint64) []byte {
	low := int64(column[0])
	for _, v := range column {
		low = min(low, int64(v))
	}
	unit := toSteps(column, low)
	if unit == 0 {
		return binary.AppendVarint(append(dst, modeSame), low)
	}
	mode := cheaper(column)
	dst = binary.AppendVarint(append(dst, mode), low)
	dst = binary.AppendUvarint(dst, unit)
	prev := uint64(0)
	for _, v := range column {
		if mode == modeDelta {
			dst = binary.AppendVarint(dst, int64(v-prev))
			prev = v
		} else {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	return dst
}

// toSteps turns numbers into steps above low of the largest unit that divides them all; 0: they are all low. A distance is
// exact although it may not fit an int64.
func toSteps(column []uint64, low int64) (unit uint64) {
	for i := range column {
		column[i] -= uint64(low)
		if unit != 1 {
			unit = gcd(unit, column[i])
		}
	}
	if unit > 1 {
		for i := range column {
			column[i] /= unit
		}
	}
	return unit
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// cheaper picks the mode that takes fewer bytes.
func cheaper(column []uint64) byte {
	var plain, delta int
	prev := uint64(0)
	for _, v := range column {
		plain += size(v)
		d := int64(v - prev)
		delta += size(uint64(d<<1) ^ uint64(d>>63))
		prev = v
	}
	if delta < plain {
		return modeDelta
	}
	return modePlain
}

func size(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

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
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("it ends inside a number")
		return 0
	}
	r.b = r.b[n:]
	return v
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

// text takes n bytes.
func (r *reader) text(n uint64) string {
	if n > uint64(len(r.b)) {
		r.fail("it ends inside a name")
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// columns reads n columns into rows; those that this program doesn't know are passed over.
func (r *reader) columns(n int, rows []row) {
	for c := 0; c < n && r.err == nil; c++ {
		mode, low := r.byte(), r.varint()
		if mode > modeDelta {
			r.fail("a column of an unknown mode")
			return
		}
		unit := uint64(0)
		if mode != modeSame {
			unit = r.uvarint()
		}
		r.column(c, mode, low, unit, rows)
	}
}

func (r *reader) column(c int, mode byte, low int64, unit uint64, rows []row) {
	var v uint64
	for i := range rows {
		switch mode {
		case modePlain:
			v = r.uvarint()
		case modeDelta:
			v += uint64(r.varint())
		}
		if r.err != nil {
			return
		}
		if c < columns {
			rows[i][c] = int64(uint64(low) + v*unit)
		}
	}
}
