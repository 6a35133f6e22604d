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
	for c := range columns {
		dst = appendColumn(dst, rows, c)
	}
	return dst
}

func appendColumn(dst []byte, rows []row, c int) []byte {
	low := rows[0][c]
	for i := range rows {
		low = min(low, rows[i][c])
	}
	unit := divisor(rows, c, low)
	if unit == 0 {
		return binary.AppendVarint(append(dst, modeSame), low)
	}
	mode := cheaper(rows, c, low, unit)
	dst = binary.AppendVarint(append(dst, mode), low)
	dst = binary.AppendUvarint(dst, unit)
	prev := uint64(0)
	for i := range rows {
		v := steps(rows[i][c], low, unit)
		if mode == modeDelta {
			dst = binary.AppendVarint(dst, int64(v-prev))
			prev = v
		} else {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	return dst
}

// steps is exact although v-low may not fit an int64.
func steps(v, low int64, unit uint64) uint64 {
	if d := uint64(v) - uint64(low); unit == 1 {
		return d
	} else {
		return d / unit
	}
}

// divisor gives the largest number that divides the distance of all from low; 0: they are all low.
func divisor(rows []row, c int, low int64) uint64 {
	var g uint64
	for i := range rows {
		d := uint64(rows[i][c]) - uint64(low)
		for d != 0 {
			if g == 0 {
				g, d = d, 0
			} else {
				g, d = d, g%d
			}
		}
		if g == 1 {
			break
		}
	}
	return g
}

// cheaper picks the mode that takes fewer bytes.
func cheaper(rows []row, c int, low int64, unit uint64) byte {
	var plain, delta int
	prev := uint64(0)
	for i := range rows {
		v := steps(rows[i][c], low, unit)
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
