package store

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// A list of texts stands as
//
//	count, method, bytes when unpacked, bytes as packed: varints
//	each one's length as a varint, then the texts
//
// where the second line is packed by deflate (RFC 1951) if the method is 1.
const (
	textsPlain   = 0
	textsDeflate = 1
	packFrom     = 512      // bytes: fewer are not worth it
	maxTexts     = 64 << 20 // bytes that a reader unpacks
)

// texts gathers the different texts of a block. It keeps its buffers; the zero texts is ready.
type texts struct {
	list  []string
	index map[string]int
	size  int             // bytes of the texts
	seen  [256]remembered // looked into before the index: the same few texts come again and again
	plain []byte
	flate *flate.Writer
	out   bytes.Buffer
}

type remembered struct {
	text string
	at   int // its number and 1; 0: nothing is remembered
}

func (t *texts) reset() {
	clear(t.index)
	clear(t.list) // what is not in the next block may go
	clear(t.seen[:])
	t.list, t.size = t.list[:0], 0
}

// add gives the number of a text.
func (t *texts) add(s string) uint64 {
	m := &t.seen[slot(s)]
	if m.at > 0 && m.text == s {
		return uint64(m.at - 1)
	}
	at, ok := t.index[s]
	if !ok {
		if t.index == nil {
			t.index = make(map[string]int)
		}
		at = len(t.list)
		t.list = append(t.list, s)
		t.index[s], t.size = at, t.size+len(s)
	}
	*m = remembered{s, at + 1}
	return uint64(at)
}

// slot is where a text is remembered: by its length and its last bytes, where paths and numbered names differ.
func slot(s string) uint8 {
	n := len(s)
	if n >= 8 {
		l := s[n-8:]
		w := uint64(l[0]) | uint64(l[1])<<8 | uint64(l[2])<<16 | uint64(l[3])<<24 |
			uint64(l[4])<<32 | uint64(l[5])<<40 | uint64(l[6])<<48 | uint64(l[7])<<56 // one load, to the compiler
		return uint8(scattered(w + uint64(n)))
	}
	h := uint8(n)
	for i := range n {
		h = h*31 + s[i]
	}
	return h
}

// scattered gives 8 bits in which near numbers differ.
func scattered(v uint64) uint64 { return v * 0x9e3779b97f4a7c15 >> 56 }

func (t *texts) append(dst []byte) []byte {
	t.plain = t.plain[:0]
	for _, s := range t.list {
		t.plain = binary.AppendUvarint(t.plain, uint64(len(s)))
	}
	for _, s := range t.list {
		t.plain = append(t.plain, s...)
	}
	method, packed := byte(textsPlain), t.plain
	if len(t.plain) >= packFrom {
		if p := t.deflate(); len(p) < len(t.plain) {
			method, packed = textsDeflate, p
		}
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(t.list))), method)
	dst = binary.AppendUvarint(dst, uint64(len(t.plain)))
	dst = binary.AppendUvarint(dst, uint64(len(packed)))
	return append(dst, packed...)
}

// deflate packs. Nothing in it can fail: it writes to memory.
func (t *texts) deflate() []byte {
	t.out.Reset()
	if t.flate == nil {
		t.flate, _ = flate.NewWriter(&t.out, flate.BestSpeed)
	} else {
		t.flate.Reset(&t.out)
	}
	_, _ = t.flate.Write(t.plain)
	_ = t.flate.Close()
	return t.out.Bytes()
}

// untexts reads lists of texts. It keeps its buffers and, between blocks, texts that come again; the zero untexts is ready.
type untexts struct {
	list  []string
	known map[string]string
	bytes int // of what is known
	plain []byte
	in    bytes.Reader
	flate io.ReadCloser
}

// mostKnown bounds what is kept, in bytes.
const mostKnown = 1 << 20

// packedTexts is a list as it stands in a block.
type packedTexts struct {
	count, size uint64
	method      byte
	packed      []byte
}

func (r *reader) texts() (p packedTexts) {
	p.count, p.method, p.size = r.uvarint(), r.byte(), r.uvarint()
	p.packed = r.bytes(r.uvarint())
	if p.count > p.size || p.size > maxTexts || p.method > textsDeflate {
		r.fail("a list of texts that cannot be")
	}
	return p
}

// read unpacks a list. The texts stay valid.
func (t *untexts) read(p packedTexts) ([]string, error) {
	plain, err := t.unpack(p)
	if err != nil {
		return nil, err
	}
	if t.known == nil || t.bytes > mostKnown {
		t.known, t.bytes = make(map[string]string), 0
	}
	lengths := reader{b: plain}
	r := reader{b: plain}
	for range p.count {
		r.uvarint()
	}
	t.list = t.list[:0]
	for range p.count {
		b := r.bytes(lengths.uvarint())
		s, ok := t.known[string(b)]
		if !ok {
			s = string(b)
			t.known[s] = s
			t.bytes += len(s)
		}
		t.list = append(t.list, s)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("more texts than it says")
	}
	return t.list, r.err
}

// unpack gives as many bytes as the list says and no more. Deflate makes at most 1,032 of one.
func (t *untexts) unpack(p packedTexts) ([]byte, error) {
	if p.method == textsPlain {
		if uint64(len(p.packed)) != p.size {
			return nil, fmt.Errorf("%d bytes of texts, not %d: %w", len(p.packed), p.size, errBlock)
		}
		return p.packed, nil
	}
	if p.size/1032 > uint64(len(p.packed)) {
		return nil, fmt.Errorf("%d bytes cannot unpack to %d: %w", len(p.packed), p.size, errBlock)
	}
	t.in.Reset(p.packed)
	if t.flate == nil {
		t.flate = flate.NewReader(&t.in)
	} else if err := t.flate.(flate.Resetter).Reset(&t.in, nil); err != nil {
		return nil, err
	}
	t.plain = slices.Grow(t.plain[:0], int(p.size))[:p.size]
	if _, err := io.ReadFull(t.flate, t.plain); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errBlock)
	}
	return t.plain, nil
}
