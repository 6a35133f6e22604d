package store

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Numbers are written as tokens and loose bits. A number under 16 is its token; of a larger one the token is its length
// and the second highest bit, and what is below stands loose. Tokens get Huffman codes: short ones for what is frequent.
const (
	tokens  = 16 + 2*60 // a number has 64 bits at most
	maxCode = 11        // bits of the longest code: the reader's table has 2,048 entries
)

// tokenOf gives the token of v and how many loose bits it has.
func tokenOf(v uint64) (token, loose uint) {
	if v < 16 {
		return uint(v), 0
	}
	loose = uint(bits.Len64(v)) - 2
	return 16 + 2*(loose-3) + uint(v>>loose&1), loose
}

// looseBits and tokenBase are the inverse: the number is the base and what its loose bits say.
func looseBits(token uint) uint {
	if token < 16 {
		return 0
	}
	return (token-16)/2 + 3
}

func tokenBase(token uint) uint64 {
	if token < 16 {
		return uint64(token)
	}
	return uint64(2|token&1) << looseBits(token)
}

// coder gives tokens their codes. It keeps its buffers.
type coder struct {
	count  [tokens]uint32
	length [tokens]uint8  // of the code, bits; 0 where the token is not used, or is the only one
	word   [tokens]uint16 // the code, its first bit lowest
	tokens []uint8        // of the numbers that were counted
	leaves []uint64       // count<<8 | token, ascending
	weight []uint32       // of the inner nodes
	parent []int16        // of leaves, then of inner nodes
}

// build makes the codes for the counts. Where one would be too long the counts are evened out until none is.
func (c *coder) build() {
	c.leaves = c.leaves[:0]
	for t, n := range c.count {
		c.length[t], c.word[t] = 0, 0
		if n > 0 {
			c.leaves = append(c.leaves, uint64(n)<<8|uint64(t))
		}
	}
	slices.Sort(c.leaves)
	for c.lengths() > maxCode {
		for i, l := range c.leaves {
			c.leaves[i] = (l>>9+1)<<8 | l&255
		}
	}
	canonical(&c.length, &c.word)
}

// lengths joins the two lightest nodes until one is left, and gives the length of the longest code.
func (c *coder) lengths() uint8 {
	n := len(c.leaves)
	c.weight = c.weight[:0]
	c.parent = slices.Grow(c.parent[:0], 2*n)[:2*n]
	leaf, inner := 0, 0
	lightest := func(to int) uint32 {
		if leaf < n && (inner == len(c.weight) || uint32(c.leaves[leaf]>>8) <= c.weight[inner]) {
			c.parent[leaf] = int16(to)
			leaf++
			return uint32(c.leaves[leaf-1] >> 8)
		}
		c.parent[n+inner] = int16(to)
		inner++
		return c.weight[inner-1]
	}
	for k := range n - 1 {
		w := lightest(n + k)
		c.weight = append(c.weight, w+lightest(n+k))
	}
	var depth [2 * tokens]uint8
	longest := uint8(0)
	for i := 2*n - 3; i >= 0; i-- { // the last node is the root
		depth[i] = depth[c.parent[i]] + 1
		if i < n {
			c.length[c.leaves[i]&255] = depth[i]
			longest = max(longest, depth[i])
		}
	}
	return longest
}

// canonical gives the codes that follow from their lengths: shorter ones first, equal ones by token.
func canonical(length *[tokens]uint8, word *[tokens]uint16) {
	var next [maxCode + 2]uint16
	for _, l := range length {
		if l > 0 {
			next[l+1]++
		}
	}
	for l := 2; l < len(next); l++ {
		next[l] = (next[l-1] + next[l]) << 1
	}
	// next[l] was the number of shorter codes at the depth of l; see RFC 1951, 3.2.2
	for t, l := range length {
		if l > 0 {
			word[t] = bits.Reverse16(next[l]) >> (16 - l)
			next[l]++
		}
	}
}

// appendCodes writes the lengths: how many tokens, then 4 bits for each.
func (c *coder) appendCodes(dst []byte) []byte {
	n := tokens
	for c.count[n-1] == 0 {
		n--
	}
	dst = append(dst, byte(n))
	for t := 0; t < n; t += 2 {
		dst = append(dst, c.length[t]|c.length[t+1]<<4) // the number of tokens there can be is even
	}
	return dst
}

// counted takes the tokens of numbers that are to be written.
func (c *coder) counted(vals []uint64) {
	if cap(c.tokens) < len(vals) {
		c.tokens = make([]uint8, len(vals)+len(vals)/4)
	}
	c.tokens = c.tokens[:len(vals)]
	clear(c.count[:])
	for i, v := range vals {
		t, _ := tokenOf(v)
		c.tokens[i] = uint8(t)
		c.count[t]++
	}
}

// appendBits writes the numbers, which were counted.
func (c *coder) appendBits(dst []byte, vals []uint64) []byte {
	var code [256]struct {
		word         uint64
		length, both uint8
	}
	for t := range uint(tokens) {
		code[t].word, code[t].length, code[t].both = uint64(c.word[t]), c.length[t], c.length[t]+uint8(looseBits(t))
	}
	at := len(dst)
	dst = slices.Grow(dst, 10*len(vals)+16)
	dst = dst[:cap(dst)]
	var acc uint64
	var n uint8 // bits in acc, under 8 between numbers
	for i, t := range c.tokens[:len(vals)] {
		k := &code[t]
		v, rest := k.word|vals[i]&(1<<((k.both-k.length)&63)-1)<<(k.length&63), k.both
		if rest > 56 { // more than there is room for at once
			acc |= (k.word | vals[i]&(1<<32-1)<<k.length) << n
			n += k.length + 32
			binary.LittleEndian.PutUint64(dst[at:], acc)
			at += int(n >> 3)
			acc, n = acc>>(n&^7), n&7
			rest -= k.length + 32
			v = vals[i] >> 32 & (1<<rest - 1)
		}
		acc |= v << (n & 63)
		n += rest
		binary.LittleEndian.PutUint64(dst[at:], acc)
		at += int(n >> 3)
		acc, n = acc>>(n&^7&63), n&7
	}
	if n > 0 {
		dst[at] = byte(acc)
		at++
	}
	return dst[:at]
}

// entry is what the reader knows when it has seen the next bits: a token, the bits of its code, the bits in all.
type entry struct{ token, code, all uint8 }

// codes is the reader's side of a coder.
type codes struct {
	table [1 << maxCode]entry
	mask  uint64
}

// read takes the lengths and fills the table. Whatever the bits are, they are then some token's.
func (c *codes) read(r *reader) {
	n := int(r.byte())
	raw := r.bytes(uint64(n+1) / 2)
	if r.err != nil {
		return
	}
	if n > tokens || n == 0 {
		r.fail("tokens that there are not")
		return
	}
	var length [tokens]uint8
	longest, room := uint8(0), 0
	for t := range n {
		l := raw[t/2] >> (4 * (t & 1)) & 15
		if l > maxCode {
			r.fail("too long a code")
			return
		}
		if length[t] = l; l > 0 {
			longest, room = max(longest, l), room+1<<(maxCode-l)
		}
	}
	if longest == 0 { // one token, the last, with a code of no bits
		c.mask = 0
		c.table[0] = entry{uint8(n - 1), 0, uint8(looseBits(uint(n - 1)))}
		return
	}
	if room != 1<<maxCode {
		r.fail("codes that don't fit together")
		return
	}
	c.fill(&length, longest)
}

func (c *codes) fill(length *[tokens]uint8, longest uint8) {
	var word [tokens]uint16
	canonical(length, &word)
	c.mask = 1<<longest - 1
	for t, l := range length {
		if l == 0 {
			continue
		}
		e := entry{uint8(t), l, l + uint8(looseBits(uint(t)))}
		for at := uint(word[t]); at < 1<<longest; at += 1 << l {
			c.table[at] = e
		}
	}
}

// numbers reads len(dst) of them.
func (c *codes) numbers(r *reader, dst []uint64) {
	var base [256]uint64 // so that a token needs no check
	for t := range uint(tokens) {
		base[t] = tokenBase(t)
	}
	pos := uint(0)
	for i := range dst {
		w := bitsAt(r.b, pos)
		e := c.table[w&c.mask&(1<<maxCode-1)]
		if e.all <= 56 {
			dst[i] = base[e.token] | w>>(e.code&63)&(1<<((e.all-e.code)&63)-1)
		} else {
			low := bitsAt(r.b, pos+uint(e.code)) & (1<<32 - 1)
			high := bitsAt(r.b, pos+uint(e.code)+32) & (1<<(e.all-e.code-32) - 1)
			dst[i] = base[e.token] | high<<32 | low
		}
		pos += uint(e.all)
	}
	if n := (pos + 7) / 8; n <= uint(len(r.b)) {
		r.b = r.b[n:]
		return
	}
	r.fail("it ends inside a number")
}

// bitsAt gives at least 57 bits from pos on; what is past the end is 0.
func bitsAt(b []byte, pos uint) uint64 {
	i := pos >> 3
	if i+8 <= uint(len(b)) {
		return binary.LittleEndian.Uint64(b[i:]) >> (pos & 7)
	}
	var last [8]byte
	if i < uint(len(b)) {
		copy(last[:], b[i:])
	}
	return binary.LittleEndian.Uint64(last[:]) >> (pos & 7)
}
