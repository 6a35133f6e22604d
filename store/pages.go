package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// bbolt's file, as far as it takes to read one that bbolt itself will not: a page is a header (id, flags, count, overflow)
// and elements, each with the place of its key and value; two meta pages name the root. See page.go, meta.go and bucket.go
// in go.etcd.io/bbolt/internal/common. Numbers have the byte order of the machine.
const (
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16 // in a value: the root page, the sequence; with root 0 a page follows

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf's element

	metaMagic   = 0xED0CDAED
	metaVersion = 2

	depthMost = 64       // a tree is never as deep
	pageMost  = 64 << 20 // bytes of a page with its overflow; a block takes far less
)

// errPage is a page that makes no sense.
var errPage = errors.New("it makes no sense")

// pageFile is a file read page by page, whatever state it is in.
type pageFile struct {
	r    io.ReaderAt
	size int64
	unit int64 // bytes of a page
	meta filePageMeta
	good bool // meta is one
}

// filePageMeta is what a meta page says.
type filePageMeta struct {
	root, freelist, high, txid uint64
}

// newPageFile reads the meta pages. Without a good one the pages can still be gone through.
func newPageFile(r io.ReaderAt, size int64) *pageFile {
	f := &pageFile{r: r, size: size, unit: int64(os.Getpagesize())}
	for _, unit := range []int64{f.unit, 1024, 2048, 4096, 8192, 16384, 32768, 65536} {
		for i := range int64(2) {
			m, u, ok := f.readMeta(i * unit)
			if ok && u == unit && (!f.good || m.txid > f.meta.txid) {
				f.meta, f.good, f.unit = m, true, unit
			}
		}
		if f.good {
			break
		}
	}
	return f
}

func (f *pageFile) readMeta(at int64) (m filePageMeta, unit int64, ok bool) {
	var b [pageHeader + 64]byte
	if _, err := f.r.ReadAt(b[:], at); err != nil {
		return m, 0, false
	}
	v, ne := b[pageHeader:], binary.NativeEndian
	h := fnv.New64a()
	_, _ = h.Write(v[:56])
	if ne.Uint32(v) != metaMagic || ne.Uint32(v[4:]) != metaVersion || ne.Uint64(v[56:]) != h.Sum64() {
		return m, 0, false
	}
	return filePageMeta{ne.Uint64(v[16:]), ne.Uint64(v[32:]), ne.Uint64(v[40:]), ne.Uint64(v[48:])}, int64(ne.Uint32(v[8:])), true
}

// pages is how many pages there can be.
func (f *pageFile) pages() uint64 { return uint64(f.size / f.unit) }

// page is one page with its overflow.
type page struct {
	flags    uint16
	count    int
	overflow uint64
	b        []byte
}

// read gives page id, which has to say itself that it is that one. What is read is the caller's.
func (f *pageFile) read(id uint64) (p page, err error) {
	if id < 2 || id >= f.pages() {
		return p, fmt.Errorf("page %d is not in the file: %w", id, errPage)
	}
	b := make([]byte, f.unit)
	if _, err := f.r.ReadAt(b, int64(id)*f.unit); err != nil {
		return p, fmt.Errorf("cannot read page %d: %w", id, err)
	}
	p = parsePage(b)
	if got := binary.NativeEndian.Uint64(b); got != id || p.flags != flagBranch && p.flags != flagLeaf && p.flags != flagFreelist {
		return p, fmt.Errorf("page %d says that it is page %d, of kind %#x: %w", id, got, p.flags, errPage)
	}
	if p.overflow > 0 {
		if n := int64(p.overflow+1) * f.unit; n > pageMost || id+p.overflow >= f.pages() {
			return p, fmt.Errorf("page %d goes on for %d pages: %w", id, p.overflow, errPage)
		}
		b = slices.Grow(b, int(int64(p.overflow)*f.unit))[:int64(p.overflow+1)*f.unit]
		if _, err := f.r.ReadAt(b[f.unit:], int64(id+1)*f.unit); err != nil {
			return p, fmt.Errorf("cannot read page %d: %w", id, err)
		}
		p.b = b
	}
	return p, nil
}

func parsePage(b []byte) page {
	ne := binary.NativeEndian
	return page{flags: ne.Uint16(b[8:]), count: int(ne.Uint16(b[10:])), overflow: uint64(ne.Uint32(b[12:])), b: b}
}

// element is an entry of a leaf.
type element struct {
	bucket     bool
	key, value []byte
}

// leaf gives the elements that lie inside the page; the error tells that there are others.
func (p page) leaf() (out []element, err error) {
	ne := binary.NativeEndian
	for i := range p.count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(p.b) {
			return out, fmt.Errorf("%d elements: %w", p.count, errPage)
		}
		e := p.b[at:]
		key := uint64(at) + uint64(ne.Uint32(e[4:]))
		value := key + uint64(ne.Uint32(e[8:]))
		end := value + uint64(ne.Uint32(e[12:]))
		if end > uint64(len(p.b)) {
			err = fmt.Errorf("element %d reaches past its page: %w", i, errPage)
			continue
		}
		out = append(out, element{ne.Uint32(e)&flagBucket != 0, p.b[key:value:value], p.b[value:end:end]})
	}
	return out, err
}

// children gives the pages below a branch.
func (p page) children() (out []uint64, err error) {
	for i := range p.count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(p.b) {
			return out, fmt.Errorf("%d elements: %w", p.count, errPage)
		}
		out = append(out, binary.NativeEndian.Uint64(p.b[at+8:]))
	}
	return out, nil
}

// free gives the pages on the freelist.
func (f *pageFile) free() (map[uint64]bool, error) {
	p, err := f.read(f.meta.freelist)
	if err == nil && p.flags != flagFreelist {
		err = fmt.Errorf("page %d is no freelist: %w", f.meta.freelist, errPage)
	}
	if err != nil {
		return nil, err
	}
	n, at := uint64(p.count), pageHeader
	if p.count == 0xffff {
		n, at = binary.NativeEndian.Uint64(p.b[at:]), at+8
	}
	if n > uint64(len(p.b)-at)/8 {
		return nil, fmt.Errorf("the freelist has %d entries: %w", n, errPage)
	}
	out := make(map[uint64]bool, n)
	for i := range int(n) {
		out[binary.NativeEndian.Uint64(p.b[at+8*i:])] = true
	}
	return out, nil
}

// walker goes through the tree, or through all pages.
type walker struct {
	*pageFile
	seen []bool // pages that were gone through, with their overflow
	each func(path []string, key, value []byte)
	bad  func(error)
	tick func(pages int) // may be nil
	only []string        // the buckets of the root that are gone into; nil: all
	path []string
}

// tree goes through all that can be reached from the root. It ends whatever the file holds: no page is taken twice.
func (w *walker) tree() {
	if !w.good {
		w.bad(fmt.Errorf("neither of its first two pages is whole: %w", errPage))
		return
	}
	if w.meta.high > w.pages() {
		w.bad(fmt.Errorf("%d pages are missing at its end: %w", w.meta.high-w.pages(), errPage))
	}
	w.below(w.meta.root, 0)
}

func (w *walker) below(id uint64, depth int) {
	p, err := w.take(id)
	if err == nil && depth > depthMost {
		err = fmt.Errorf("page %d is too deep: %w", id, errPage)
	}
	if err != nil {
		w.bad(err)
		return
	}
	switch p.flags {
	case flagBranch:
		ids, err := p.children()
		if err != nil {
			w.bad(fmt.Errorf("page %d: %w", id, err))
		}
		for _, id := range ids {
			w.below(id, depth+1)
		}
	case flagLeaf:
		w.elements(p, fmt.Sprintf("page %d", id), depth, true)
	default:
		w.bad(fmt.Errorf("page %d is a freelist in a tree: %w", id, errPage))
	}
}

// take reads a page that was not gone through before.
func (w *walker) take(id uint64) (page, error) {
	p, err := w.read(id)
	if err != nil {
		return p, err
	}
	for i := id; i <= id+p.overflow; i++ {
		if w.seen[i] {
			return p, fmt.Errorf("page %d is there twice: %w", i, errPage)
		}
	}
	for i := id; i <= id+p.overflow; i++ {
		w.seen[i] = true
	}
	if w.tick != nil {
		w.tick(int(p.overflow) + 1)
	}
	return p, nil
}

// elements gives what is in a leaf, with follow what is in the trees below it too.
func (w *walker) elements(p page, where string, depth int, follow bool) {
	list, err := p.leaf()
	if err != nil {
		w.bad(fmt.Errorf("%s: %w", where, err))
	}
	for _, e := range list {
		if !e.bucket {
			w.each(w.path, e.key, e.value)
			continue
		}
		if len(e.value) < bucketSize || depth > depthMost {
			w.bad(fmt.Errorf("%s: bucket %q: %w", where, e.key, errPage))
			continue
		}
		if len(w.path) == 0 && w.only != nil && !slices.Contains(w.only, string(e.key)) {
			continue
		}
		w.path = append(w.path, string(e.key))
		root := binary.NativeEndian.Uint64(e.value)
		switch {
		case root != 0 && follow:
			w.below(root, depth+1)
		case root == 0 && len(e.value) >= bucketSize+pageHeader:
			// A bucket that stands in a leaf has no buckets in it (bbolt, Bucket.inlineable): depth has come to its end.
			w.elements(parsePage(e.value[bucketSize:]), where+", bucket "+string(e.key), depthMost+1, follow)
		}
		w.path = w.path[:len(w.path)-1]
	}
}

// orphans goes through the leaves that the tree did not lead to, but for those that are free.
func (w *walker) orphans(free map[uint64]bool) {
	for id := uint64(2); id < w.pages(); id++ {
		if w.seen[id] || free[id] {
			continue
		}
		p, err := w.take(id)
		if err != nil || p.flags != flagLeaf {
			continue // not a page's beginning, or nothing of what is looked for
		}
		w.elements(p, fmt.Sprintf("page %d", id), 0, false)
	}
}

func (f *pageFile) walker(each func(path []string, key, value []byte), bad func(error)) *walker {
	return &walker{pageFile: f, seen: make([]bool, f.pages()+1), each: each, bad: bad}
}
