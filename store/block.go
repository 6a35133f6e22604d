package store

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/jobd-project/jobd/job"
)

// A block is
//
//	version     1 byte: 1
//	method      1 byte: 0 as it is, 1 deflate (RFC 1951)
//	checksum    4 bytes, big endian: CRC-32C of all bytes but these four
//	header      varints: count, lowest JID, highest less lowest, first end, last less first, bytes of the body when unpacked
//	body        the JIDs, the names, the columns
//
// so that its header can be read, to pass over it, without unpacking the body.
const (
	blockVersion = 1
	methodPlain  = 0
	methodFlate  = 1
	sumEnd       = 6 // where the header begins

	maxCount = 2 * blockSize // records that a reader accepts in a block
	maxBody  = 8 << 20       // bytes that a reader unpacks: 2 KiB a record, where 250 are much
)

// header is what a block says of itself.
type header struct {
	count       int
	low, high   job.JID
	first, last int64 // ends, Unix ns
	body        int   // bytes when unpacked
	method      byte
	packed      []byte // the body as it stands
}

// encoder makes blocks. It keeps its buffers; the zero encoder is ready.
type encoder struct {
	rows  []row
	body  []byte
	jids  []job.JID
	names []string
	index map[string]int
	out   bytes.Buffer
	flate *flate.Writer
}

// encode makes one block of at least one record. The value is the caller's; the JIDs in it, ascending, are the encoder's.
func (e *encoder) encode(recs []*job.Record) (value []byte, jids []job.JID) {
	e.lists(recs)
	e.body = e.body[:0]
	e.body = binary.AppendUvarint(e.body, uint64(len(e.jids)))
	for i, j := range e.jids {
		if i > 0 {
			j -= e.jids[i-1]
		}
		e.body = binary.AppendUvarint(e.body, uint64(j))
	}
	e.body = binary.AppendUvarint(e.body, uint64(len(e.names)))
	for _, n := range e.names {
		e.body = append(binary.AppendUvarint(e.body, uint64(len(n))), n...)
	}
	e.body = binary.AppendUvarint(e.body, columns)
	e.body = appendColumns(e.body, e.rows)
	return e.pack(recs), e.jids
}

// lists fills the rows, and the lists that they point into.
func (e *encoder) lists(recs []*job.Record) {
	if e.index == nil {
		e.index = make(map[string]int)
	}
	clear(e.index)
	e.jids, e.names = e.jids[:0], e.names[:0]
	e.rows = slices.Grow(e.rows[:0], len(recs))[:len(recs)]
	for i, r := range recs {
		if i == 0 || r.JID != recs[i-1].JID {
			e.jids = append(e.jids, r.JID)
		}
		n, ok := e.index[r.Usage.Comm]
		if !ok {
			n = len(e.names)
			e.index[r.Usage.Comm] = n
			e.names = append(e.names, r.Usage.Comm)
		}
		e.rows[i].set(r)
		e.rows[i][colComm] = int64(n)
	}
	slices.Sort(e.jids)
	e.jids = slices.Compact(e.jids)
	last, at := job.JID(0), -1
	for i, r := range recs {
		if at < 0 || r.JID != last {
			last = r.JID
			at, _ = slices.BinarySearch(e.jids, last)
		}
		e.rows[i][colJob] = int64(at)
	}
}

func (e *encoder) pack(recs []*job.Record) []byte {
	first, last := recs[0].End, recs[0].End
	for _, r := range recs {
		first, last = min(first, r.End), max(last, r.End)
	}
	head := []byte{blockVersion, methodFlate, 0, 0, 0, 0}
	head = binary.AppendUvarint(head, uint64(len(recs)))
	head = binary.AppendUvarint(head, uint64(e.jids[0]))
	head = binary.AppendUvarint(head, uint64(e.jids[len(e.jids)-1]-e.jids[0]))
	head = binary.AppendVarint(head, first)
	head = binary.AppendUvarint(head, uint64(last)-uint64(first))
	head = binary.AppendUvarint(head, uint64(len(e.body)))
	packed := e.deflate()
	if len(packed) >= len(e.body) {
		head[1], packed = methodPlain, e.body
	}
	v := append(head, packed...)
	binary.BigEndian.PutUint32(v[2:], checksum(v))
	return v
}

// deflate packs the body. Nothing in it can fail: it writes to memory.
func (e *encoder) deflate() []byte {
	e.out.Reset()
	if e.flate == nil {
		e.flate, _ = flate.NewWriter(&e.out, packLevel)
	} else {
		e.flate.Reset(&e.out)
	}
	_, _ = e.flate.Write(e.body)
	_ = e.flate.Close()
	return e.out.Bytes()
}

// packLevel: the columns have taken out most of what repeats, so that more effort costs much and gains little.
const packLevel = flate.BestSpeed

func checksum(v []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(v[:2], t), t, v[sumEnd:])
}

// readHeader reads what a block says of itself, without a look at its checksum.
func readHeader(v []byte) (h header, err error) {
	if len(v) < sumEnd || v[0] != blockVersion || v[1] > methodFlate {
		return h, fmt.Errorf("unknown version or method: %w", errBlock)
	}
	r := reader{b: v[sumEnd:]}
	count := r.uvarint()
	h.low = job.JID(r.uvarint())
	h.high = h.low + job.JID(r.uvarint())
	h.first = r.varint()
	h.last = int64(uint64(h.first) + r.uvarint())
	body := r.uvarint()
	switch {
	case r.err != nil:
		return h, r.err
	case count == 0 || count > maxCount || body > maxBody:
		return h, fmt.Errorf("%d records in %d bytes: %w", count, body, errBlock)
	}
	h.count, h.body, h.method, h.packed = int(count), int(body), v[1], r.b
	return h, nil
}

// decoder reads blocks. It keeps its buffers; the zero decoder is ready.
type decoder struct {
	rows  []row
	body  []byte
	jids  []job.JID
	names []string
	in    bytes.Reader
	flate io.ReadCloser
}

// decode gives the records of a block in the order in which they were encoded.
func (d *decoder) decode(v []byte) ([]job.Record, error) {
	h, err := readHeader(v)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(v[2:]) != checksum(v) {
		return nil, fmt.Errorf("its checksum is wrong: %w", errBlock)
	}
	body := h.packed
	if h.method == methodFlate {
		if body, err = d.inflate(h); err != nil {
			return nil, err
		}
	}
	if len(body) != h.body {
		return nil, fmt.Errorf("it holds %d bytes, not %d: %w", len(body), h.body, errBlock)
	}
	return d.records(body, h.count)
}

// inflate unpacks as many bytes as the header says and no more. Deflate makes at most 1,032 of one.
func (d *decoder) inflate(h header) ([]byte, error) {
	if h.body/1032 > len(h.packed) {
		return nil, fmt.Errorf("%d bytes cannot unpack to %d: %w", len(h.packed), h.body, errBlock)
	}
	d.in.Reset(h.packed)
	if d.flate == nil {
		d.flate = flate.NewReader(&d.in)
	} else if err := d.flate.(flate.Resetter).Reset(&d.in, nil); err != nil {
		return nil, err
	}
	d.body = slices.Grow(d.body[:0], h.body)[:h.body]
	if _, err := io.ReadFull(d.flate, d.body); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errBlock)
	}
	return d.body, nil
}

// records takes a body apart.
func (d *decoder) records(body []byte, count int) ([]job.Record, error) {
	r := reader{b: body}
	d.jids, d.names = d.jids[:0], d.names[:0]
	jid := job.JID(0)
	for range r.listLen(count) {
		jid += job.JID(r.uvarint())
		d.jids = append(d.jids, jid)
	}
	for range r.listLen(count) {
		d.names = append(d.names, r.text(r.uvarint()))
	}
	n := r.uvarint()
	if n > 255 {
		r.fail("too many columns")
	}
	if r.err != nil {
		return nil, r.err
	}
	d.rows = slices.Grow(d.rows[:0], count)[:count]
	clear(d.rows)
	r.columns(int(n), d.rows)
	if r.err != nil {
		return nil, r.err
	}
	return d.build()
}

// listLen is the length of a list that has at most an entry a record.
func (r *reader) listLen(count int) int {
	n := r.uvarint()
	if n > uint64(count) || n > uint64(len(r.b)) {
		r.fail("too long a list")
		return 0
	}
	return int(n)
}

func (d *decoder) build() ([]job.Record, error) {
	recs := make([]job.Record, len(d.rows))
	for i := range d.rows {
		w := &d.rows[i]
		j, n := uint64(w[colJob]), uint64(w[colComm])
		if j >= uint64(len(d.jids)) || n >= uint64(len(d.names)) {
			return nil, fmt.Errorf("a record points past a list: %w", errBlock)
		}
		recs[i].JID, recs[i].Usage.Comm = d.jids[j], d.names[n]
		w.get(&recs[i])
	}
	return recs, nil
}

// byEnd is the order of the records in a block.
func byEnd(a, b *job.Record) int { return cmp.Compare(a.End, b.End) }
