package store

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// packed writes a column and reads it again.
func packed(t rapid.TB, p *packer, u *unpacker, vals []uint64, g *groups, from byte) []uint64 {
	t.Helper()
	p.group(g)
	b := p.appendColumn(nil, vals, g, from)
	got := make([]uint64, len(vals))
	if err := u.column(b, got, g); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestColumnExtremes(t *testing.T) {
	var p packer
	var u unpacker
	for _, vals := range [][]int64{
		{0}, {math.MinInt64, math.MaxInt64}, {math.MaxInt64, math.MinInt64, 0, -1, 1},
		{-4e6, 8e6, 0, 4e6}, {math.MinInt64}, {5, 5, 5}, {1, 2, 3, 4}, {125, 250, math.MinInt64 + 8, math.MaxInt64},
	} {
		for _, times := range []int{1, 30} {
			var column []uint64
			for range times {
				for _, v := range vals {
					column = append(column, uint64(v))
				}
			}
			of := make([]uint32, len(column))
			for from := range byte(fromJob + 1) {
				if got := packed(t, &p, &u, column, &groups{of, of, 1, 1}, from); !slices.Equal(got, column) {
					t.Errorf("from %d: %d, want %d", from, got, column)
				}
			}
		}
	}
}

func TestColumnRoundTrip(t *testing.T) {
	var p packer
	var u unpacker
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		unit := rapid.SampledFrom([]uint64{1, 1024, 4096, 1000, 4_000_000, 125}).Draw(t, "unit")
		bits := rapid.IntRange(0, 64).Draw(t, "bits")
		zeros := rapid.IntRange(0, 10).Draw(t, "zeros")
		g := groups{nclass: 5, njob: 3}
		var column []uint64
		for range n {
			v := rapid.Uint64().Draw(t, "v") >> (64 - bits) * unit
			if rapid.IntRange(0, 9).Draw(t, "zero") < zeros {
				v = 0
			}
			column = append(column, v)
			g.class = append(g.class, rapid.Uint32Range(0, 4).Draw(t, "class"))
			g.job = append(g.job, rapid.Uint32Range(0, 2).Draw(t, "job"))
		}
		from := rapid.ByteRange(0, fromJob).Draw(t, "from")
		if got := packed(t, &p, &u, column, &g, from); !slices.Equal(got, column) {
			t.Fatalf("%d, want %d", got, column)
		}
	})
}

// TestTokens: a token and its loose bits are the number.
func TestTokens(t *testing.T) {
	last := -1
	check := func(v uint64) {
		token, loose := tokenOf(v)
		if token >= tokens || looseBits(token) != loose || tokenBase(token)|v&(1<<loose-1) != v {
			t.Errorf("%#x: token %d, %d loose bits", v, token, loose)
		}
		if int(token) < last {
			t.Errorf("%#x: token %d after %d", v, token, last)
		}
		last = int(token)
	}
	for v := range uint64(5000) {
		check(v)
	}
	for b := 13; b < 64; b++ {
		check(1 << b)
		check(1<<b | 1<<(b-1))
		check(1<<(b+1) - 1)
	}
}

// TestLongCodes: counts that would have codes of any length get codes that fit together.
func TestLongCodes(t *testing.T) {
	var c coder
	a, b := uint32(1), uint32(1)
	for i := range 40 {
		c.count[i*3] = a
		a, b = b, a+b
	}
	c.build()
	room := 0
	for i, l := range c.length {
		if l > maxCode || (l > 0) != (c.count[i] > 0) {
			t.Errorf("token %d: %d times, %d bits", i, c.count[i], l)
		}
		if l > 0 {
			room += 1 << (maxCode - l)
		}
	}
	if room != 1<<maxCode {
		t.Errorf("the codes fill %d of %d", room, 1<<maxCode)
	}
	var k codes
	r := reader{b: c.appendCodes(nil)}
	if k.read(&r); r.err != nil || len(r.b) > 0 {
		t.Error(r.err, len(r.b))
	}
}

func FuzzColumn(f *testing.F) {
	var p packer
	vals := make([]uint64, 100)
	for i := range vals {
		vals[i] = uint64(i*i) << (i % 40)
	}
	of := make([]uint32, 100)
	for from := range byte(fromJob + 1) {
		g := groups{of, of, 1, 1}
		p.group(&g)
		f.Add(p.appendColumn(nil, vals, &g, from), uint16(100))
	}
	f.Fuzz(func(t *testing.T, raw []byte, n uint16) {
		var u unpacker
		of := make([]uint32, n)
		_ = u.column(raw, make([]uint64, n), &groups{of, of, 1, 1})
		_ = u.column(raw, make([]uint64, n), &groups{})
	})
}

func FuzzTexts(f *testing.F) {
	var t texts
	for _, s := range []string{"", "bash", "/usr/bin/gcc", "-c\x00-O2\x00"} {
		t.add(s)
	}
	f.Add(t.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{b: b}
		p := r.texts()
		if r.err != nil || p.size > 1<<20 {
			return
		}
		var u untexts
		list, err := u.read(p)
		if err == nil && uint64(len(list)) != p.count {
			t.Fatalf("%d texts, not %d", len(list), p.count)
		}
	})
}

// TestOnlyToken: what was in the coder before is not in the numbers when all have one token, which has no code.
func TestOnlyToken(t *testing.T) {
	var p packer
	var u unpacker
	various, alike := make([]uint64, 200), make([]uint64, 200)
	for i := range alike {
		various[i], alike[i] = uint64(i*i), 32+uint64(i%16)
	}
	for _, vals := range [][]uint64{various, alike} {
		b := p.appendList(nil, vals)
		got := make([]uint64, len(vals))
		r := reader{b: b}
		if u.list(&r, got); r.err != nil || !slices.Equal(got, vals) {
			t.Errorf("%v: %d, want %d", r.err, got, vals)
		}
	}
}
