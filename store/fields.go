package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"
)

// What is not a block of records begins with a letter that says what it is and with a checksum, so that it can be told
// from anything else, in a damaged file too.
const (
	kindJob    = 'J'
	kindMoment = 'M'
	kindPart   = 'P'
	kindTotal  = 'T'
	frameSize  = 5 // the letter, and the CRC-32C of all but these four bytes, big endian
)

// errFrame is a value that is not what it is taken for.
var errFrame = errors.New("it is not whole")

// frame puts the letter and the checksum in front of a body, for which v has room at its beginning.
func frame(kind byte, v []byte) []byte {
	v[0] = kind
	binary.BigEndian.PutUint32(v[1:], frameSum(v))
	return v
}

func frameSum(v []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(v[:1], t), t, v[frameSize:])
}

// unframe gives the body of a value of that kind, once its checksum is right.
func unframe(kind byte, v []byte) ([]byte, error) {
	if len(v) < frameSize || v[0] != kind {
		return nil, fmt.Errorf("unknown kind: %w", errFrame)
	}
	if binary.BigEndian.Uint32(v[1:]) != frameSum(v) {
		return nil, fmt.Errorf("its checksum is wrong: %w", errFrame)
	}
	return v[frameSize:], nil
}

// fieldCodec goes through the numbered fields of a value in ascending order, and writes or reads them: one list of fields
// serves both ways; writing changes nothing of what is written, which others may be reading. A field that is unknown is not there; one that is 0 and can't be unknown isn't either. A reader
// passes over fields that it doesn't know and leaves alone those that it misses, so that later versions can add some.
//
// A field is a varint of twice its number, and a varint; or a varint of twice its number and 1, a length, and bytes.
type fieldCodec struct {
	put bool
	out []byte
	in  string // what is read …
	pos int    // … and from where on, after the field at hand
	has uint64 // the field at hand; 0: there are no more
	num uint64
	txt string
	bad bool
	mem *slab
}

// slab is memory for what pointers in a job point to: one allocation for each job, or none where it is used again.
type slab struct {
	i64  [16]int64
	u32  [8]uint32
	n    [4]int
	at   [2]time.Time
	tags map[string]string
	used struct{ i64, u32, n, at int }
}

func reading(text string, mem *slab) fieldCodec {
	f := fieldCodec{in: text, mem: mem}
	f.next()
	return f
}

// next reads the field that comes next.
func (f *fieldCodec) next() {
	if f.pos >= len(f.in) {
		f.has = 0
		return
	}
	tag := f.uvarint()
	last := f.has
	if f.has = tag >> 1; f.has <= last { // they ascend: what doesn't is no value of ours
		f.bad, f.has = true, 0
		return
	}
	if f.num, f.txt = f.uvarint(), ""; tag&1 != 0 {
		f.txt = f.text(f.num)
	}
	if f.bad {
		f.has = 0
	}
}

// text reads so many bytes.
func (f *fieldCodec) text(n uint64) string {
	if n > uint64(len(f.in)-f.pos) {
		f.bad = true
		return ""
	}
	from := f.pos
	f.pos += int(n)
	return f.in[from:f.pos]
}

// uvarint is binary.Uvarint of a string. Most numbers take a byte.
func (f *fieldCodec) uvarint() uint64 {
	if p := f.pos; p < len(f.in) && f.in[p] < 0x80 {
		f.pos++
		return uint64(f.in[p])
	}
	return f.longUvarint()
}

func (f *fieldCodec) longUvarint() (v uint64) {
	in := f.in[f.pos:]
	for i := range min(len(in), binary.MaxVarintLen64) {
		c := in[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.pos += i + 1
			f.bad = f.bad || i == 9 && c > 1
			return v
		}
	}
	f.bad, f.pos = true, len(f.in)
	return 0
}

// at reports whether field n is there to be read.
func (f *fieldCodec) at(n uint64) bool {
	for f.has != 0 && f.has < n {
		f.next()
	}
	return f.has == n && !f.bad
}

func (f *fieldCodec) putNum(n, v uint64) {
	f.out = binary.AppendUvarint(binary.AppendUvarint(f.out, n<<1), v)
}

func (f *fieldCodec) putText(n uint64, s string) {
	f.out = binary.AppendUvarint(binary.AppendUvarint(f.out, n<<1|1), uint64(len(s)))
	f.out = append(f.out, s...)
}

func fieldNum[T ~uint8 | ~uint32 | ~uint64](f *fieldCodec, n uint64, p *T) {
	switch {
	case f.put && *p != 0:
		f.putNum(n, uint64(*p))
	case !f.put && f.at(n):
		*p = T(f.num)
		f.bad = f.bad || uint64(*p) != f.num
	}
}

func fieldInt[T ~int | ~int32 | ~int64](f *fieldCodec, n uint64, p *T) {
	switch {
	case f.put && *p != 0:
		f.putNum(n, zigzag(int64(*p)))
	case !f.put && f.at(n):
		*p = T(unzigzag(f.num))
		f.bad = f.bad || int64(*p) != unzigzag(f.num)
	}
}

func fieldText[T ~string](f *fieldCodec, n uint64, p *T) {
	switch {
	case f.put && *p != "":
		f.putText(n, string(*p))
	case !f.put && f.at(n):
		*p = T(f.txt)
	}
}

func (f *fieldCodec) bool(n uint64, p *bool) {
	switch {
	case f.put && *p:
		f.putNum(n, 1)
	case !f.put && f.at(n):
		*p = f.num != 0
	}
}

// A pointer's field is there where the pointer isn't nil.

func (f *fieldCodec) maybe64(n uint64, p **int64) {
	switch {
	case f.put && *p != nil:
		f.putNum(n, zigzag(**p))
	case !f.put && f.at(n):
		*p = take(f.mem.i64[:], &f.mem.used.i64, unzigzag(f.num))
	}
}

func (f *fieldCodec) maybeInt(n uint64, p **int) {
	switch {
	case f.put && *p != nil:
		f.putNum(n, zigzag(int64(**p)))
	case !f.put && f.at(n):
		*p = take(f.mem.n[:], &f.mem.used.n, int(unzigzag(f.num)))
	}
}

func (f *fieldCodec) maybe32(n uint64, p **uint32) {
	switch {
	case f.put && *p != nil:
		f.putNum(n, uint64(**p))
	case !f.put && f.at(n):
		*p = take(f.mem.u32[:], &f.mem.used.u32, uint32(f.num))
	}
}

// time has the seconds and nanoseconds since 1970; the zero time is left out. It comes back in UTC.
func (f *fieldCodec) time(n uint64, p *time.Time) {
	switch {
	case f.put && !p.IsZero():
		f.putTime(n, *p)
	case !f.put && f.at(n):
		*p = f.readTime()
	}
}

func (f *fieldCodec) maybeTime(n uint64, p **time.Time) {
	switch {
	case f.put && *p != nil:
		f.putTime(n, **p)
	case !f.put && f.at(n):
		*p = take(f.mem.at[:], &f.mem.used.at, f.readTime())
	}
}

func (f *fieldCodec) putTime(n uint64, t time.Time) {
	var b [2 * binary.MaxVarintLen64]byte
	v := binary.AppendVarint(b[:0], t.Unix())
	f.putText(n, string(binary.AppendUvarint(v, uint64(t.Nanosecond()))))
}

func (f *fieldCodec) readTime() time.Time {
	r := fieldCodec{in: f.txt}
	sec, ns := unzigzag(r.uvarint()), r.uvarint()
	f.bad = f.bad || r.bad || r.pos < len(r.in) || ns >= 1e9
	return time.Unix(sec, int64(ns)).UTC()
}

// message is a field that holds fields.
func (f *fieldCodec) message(n uint64, there bool, each func(*fieldCodec)) {
	if f.put && there {
		sub := fieldCodec{put: true}
		each(&sub)
		f.putText(n, string(sub.out))
	}
	if !f.put && f.at(n) {
		sub := reading(f.txt, f.mem)
		each(&sub)
		f.bad = f.bad || !sub.whole()
	}
}

// whole reports, after the last field, whether all could be read.
func (f *fieldCodec) whole() bool {
	for f.has != 0 {
		f.next()
	}
	return !f.bad
}

// take gives a pointer to v, in the slab while it lasts.
func take[T any](from []T, used *int, v T) *T {
	if *used == len(from) {
		p := new(T)
		*p = v
		return p
	}
	p := &from[*used]
	*used++
	*p = v
	return p
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// entries is a field that holds a list, each entry with its length. A list that is empty is not one that is nil.
type entries struct{ r fieldCodec }

// next gives the bytes of the next entry.
func (e *entries) next() (text string, ok bool) {
	if e.r.pos == len(e.r.in) || e.r.bad {
		return "", false
	}
	text = e.r.text(e.r.uvarint())
	return text, !e.r.bad
}

func appendEntry(all []byte, sub *fieldCodec) []byte {
	return append(binary.AppendUvarint(all, uint64(len(sub.out))), sub.out...)
}

func fieldList[T any](f *fieldCodec, n uint64, p *[]T, each func(*fieldCodec, *T)) {
	if f.put && *p != nil {
		var all []byte
		for i := range *p {
			sub := fieldCodec{put: true}
			each(&sub, &(*p)[i])
			all = appendEntry(all, &sub)
		}
		f.putText(n, string(all))
	}
	if f.put || !f.at(n) {
		return
	}
	*p = []T{}
	list := entries{fieldCodec{in: f.txt}}
	for text, ok := list.next(); ok; text, ok = list.next() {
		sub := reading(text, f.mem)
		var v T
		each(&sub, &v)
		list.r.bad = list.r.bad || !sub.whole()
		*p = append(*p, v)
	}
	f.bad = f.bad || list.r.bad
}

// tags is a field that holds a map of texts: a list, by key. The map is the slab's where that has one.
func (f *fieldCodec) tags(n uint64, p *map[string]string) {
	if f.put && *p != nil {
		var all []byte
		for _, k := range slices.Sorted(maps.Keys(*p)) {
			v := (*p)[k]
			all = appendEntry(all, tagFields(&fieldCodec{put: true}, &k, &v))
		}
		f.putText(n, string(all))
	}
	if f.put || !f.at(n) {
		return
	}
	if f.mem.tags == nil {
		f.mem.tags = make(map[string]string)
	}
	clear(f.mem.tags)
	*p = f.mem.tags
	list := entries{fieldCodec{in: f.txt}}
	for text, ok := list.next(); ok; text, ok = list.next() {
		var k, v string
		sub := reading(text, f.mem)
		list.r.bad = list.r.bad || !tagFields(&sub, &k, &v).whole()
		(*p)[k] = v
	}
	f.bad = f.bad || list.r.bad
}

func tagFields(f *fieldCodec, k, v *string) *fieldCodec {
	fieldText(f, 1, k)
	fieldText(f, 2, v)
	return f
}
