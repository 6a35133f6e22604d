package store

import (
	"encoding/binary"
	"fmt"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// header is what a block says of itself.
type header struct {
	count       int
	low, high   job.JID
	first, last int64  // ends, Unix ns
	body        []byte // what follows
}

// readHeader reads what a block says of itself, without a look at its checksum.
func readHeader(v []byte) (h header, err error) {
	if len(v) < sumEnd || v[0] != blockVersion {
		return h, fmt.Errorf("an unknown version: %w", errBlock)
	}
	r := reader{b: v[sumEnd:]}
	count := r.uvarint()
	h.low = job.JID(r.uvarint())
	h.high = h.low + job.JID(r.uvarint())
	h.first = r.varint()
	h.last = int64(uint64(h.first) + r.uvarint())
	switch {
	case r.err != nil:
		return h, r.err
	case count == 0 || count > maxCount:
		return h, fmt.Errorf("%d records: %w", count, errBlock)
	}
	h.count, h.body = int(count), r.b
	return h, nil
}

// table is one of a block, its columns unpacked as they are asked for.
type table struct {
	rows   int
	raw    [columns][]byte
	cells  [columns][]uint64
	done   [columns]bool
	groups groups
}

func (t *table) read(r *reader, most uint64) {
	rows := r.uvarint()
	if rows > most {
		r.fail("too many rows")
		return
	}
	t.rows = int(rows)
	clear(t.raw[:])
	clear(t.done[:])
	t.groups = groups{class: t.groups.class[:0], job: t.groups.job[:0]}
	if rows == 0 {
		return
	}
	for c := range r.uvarint() {
		raw := r.bytes(r.uvarint())
		if r.err != nil {
			return
		}
		if c < columns { // a later program's stand behind
			t.raw[c] = raw
		}
	}
}

// decoder reads blocks. It keeps its buffers; the zero decoder is ready.
type decoder struct {
	header
	err error // the first one since the block was begun

	jids           []job.JID
	names, args    []string
	packed         [2]packedTexts // names, arguments
	unnames, unarg untexts
	unpacker       unpacker

	recs, ran, used, sums table
	ranFrom               []uint32 // the first row of ran of each record; one more at the end
	usedAt                []uint32 // the row of used of each record with bitEarlier

	execs   []job.Exec
	earlier []watch.Usage
	named   []named
}

// decode gives the records of a block in the order in which they were encoded. They are the caller's.
func (d *decoder) decode(v []byte) ([]job.Record, error) {
	if err := d.begin(v, 0); err != nil {
		return nil, err
	}
	recs := make([]job.Record, d.count)
	d.execs, d.earlier = make([]job.Exec, 0, d.ran.rows), make([]watch.Usage, 0, d.used.rows)
	for i := range recs {
		d.record(i, &recs[i], 0)
	}
	d.execs, d.earlier = nil, nil
	return recs, nil
}

// begin takes up a block and unpacks of it what records with these fields need. v must stay as it is only until then.
func (d *decoder) begin(v []byte, fields Fields) error {
	if err := d.open(v); err != nil {
		return err
	}
	d.want(fields)
	return d.err
}

// open takes up a block: its lists, and where its columns are. These are taken from v later.
func (d *decoder) open(v []byte) (err error) {
	if d.header, err = readHeader(v); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(v[1:]) != checksum(v) {
		return fmt.Errorf("its checksum is wrong: %w", errBlock)
	}
	r := reader{b: d.body}
	d.readJIDs(&r)
	d.packed[0] = r.texts()
	d.packed[1] = r.texts()
	d.recs.read(&r, maxCount)
	d.ran.read(&r, maxExecs)
	d.used.read(&r, maxCount)
	d.sums.read(&r, maxCount)
	if r.err == nil && d.recs.rows != d.count {
		r.fail("not as many rows as records")
	}
	d.err = r.err
	return d.err
}

// list takes up no more of a block than its header and its jobs, without a look at its checksum.
func (d *decoder) list(v []byte) (err error) {
	if d.header, err = readHeader(v); err != nil {
		return err
	}
	r := reader{b: d.body}
	d.readJIDs(&r)
	return r.err
}

func (d *decoder) readJIDs(r *reader) {
	n := r.uvarint()
	if n > uint64(d.count) {
		r.fail("more JIDs than records")
		return
	}
	d.jids = d.jids[:0]
	j := job.JID(0)
	for range n {
		j += job.JID(r.varint())
		d.jids = append(d.jids, j)
	}
}

// group finds the jobs and the programs of the rows.
func (d *decoder) group() {
	g := &d.recs.groups
	g.njob, g.nclass = len(d.jids), 2*int(d.packed[0].count)
	for _, j := range d.index(colJob, g.njob) {
		g.job = append(g.job, uint32(j))
	}
	bits := d.column(colBits)
	for i, comm := range d.index(colUsage+useComm, g.nclass/2) {
		g.class = append(g.class, classOf(comm, bits[i]))
	}
}

// column gives a column of the records. After an error it is nil.
func (d *decoder) column(c int) []uint64 { return d.cells(&d.recs, c) }

func (d *decoder) cells(t *table, c int) []uint64 {
	if d.err != nil {
		return nil
	}
	if !t.done[c] {
		t.cells[c] = sized(t.cells[c], t.rows)
		d.err = d.unpacker.column(t.raw[c], t.cells[c], &t.groups)
		t.done[c] = true
	}
	if d.err != nil {
		return nil
	}
	return t.cells[c]
}

// index gives a column of the records that points into a list of n.
func (d *decoder) index(c, n int) []uint64 { return d.within(d.column(c), n) }

func (d *decoder) within(cells []uint64, n int) []uint64 {
	for _, v := range cells {
		if v >= uint64(n) {
			d.err = fmt.Errorf("a row points past a list: %w", errBlock)
			return nil
		}
	}
	return cells
}

// columnsOf says which columns the fields are made of, in the order of their bits.
func columnsOf(f Fields) []int {
	switch f {
	case FieldIDs:
		return []int{useUID, useGID, usePPID}
	case FieldCPU:
		return []int{useCPU, useUser, useSystem}
	case FieldMemory:
		return []int{useMaxRSS, useMaxVM, useCoreMem, useVirtMem}
	case FieldIO:
		return []int{useReadChars, useWriteChars, useReadCalls, useWriteCalls, useReadBytes, useWriteBytes}
	case FieldRest:
		return []int{
			useBTime, useNice, useSched, useFlags, useThreads, useMinFault, useMajFault, useVolSwitch, useInvSwitch,
			useCPUDelay, useBlkDelay, useSwapDelay, useReclaimDelay,
		}
	}
	return nil
}

// want unpacks what records with these fields need.
func (d *decoder) want(fields Fields) {
	d.group()
	for _, c := range [...]int{colPID, colEnd, colSpan, colUsage + useGroups, colUsage + useElapsed} {
		d.column(c)
	}
	for f := Fields(1); f <= fieldLast; f <<= 1 {
		if fields.has(f) {
			for _, c := range columnsOf(f) {
				d.column(colUsage + c)
			}
		}
	}
	if fields.has(FieldStatus) {
		d.column(colStatus)
	}
	if fields.has(FieldComm | FieldExe | FieldExecs) {
		d.names = d.texts(&d.unnames, d.packed[0])
	}
	if fields.has(FieldExe) {
		d.index(colExe, len(d.names))
	}
	if fields.has(FieldExecs) && d.ran.rows > 0 {
		d.wantExecs()
	}
	if fields.has(FieldEarlier) {
		d.wantEarlier()
	}
}

func (d *decoder) texts(u *untexts, p packedTexts) []string {
	if d.err != nil {
		return nil
	}
	var list []string
	list, d.err = u.read(p)
	return list
}

// wantExecs unpacks the programs, and finds those of each record.
func (d *decoder) wantExecs() {
	g, of := &d.ran.groups, &d.recs.groups
	g.njob, g.nclass = of.njob, of.nclass
	d.ranFrom = append(d.ranFrom[:0], 0)
	sum := uint64(0)
	for i, n := range d.column(colExecs) {
		if n > uint64(d.ran.rows)-sum {
			d.err = fmt.Errorf("more programs than rows: %w", errBlock)
			return
		}
		for range n {
			g.job, g.class = append(g.job, of.job[i]), append(g.class, of.class[i])
		}
		sum += n
		d.ranFrom = append(d.ranFrom, uint32(sum))
	}
	if d.err == nil && sum != uint64(d.ran.rows) {
		d.err = fmt.Errorf("fewer programs than rows: %w", errBlock)
	}
	d.args = d.texts(&d.unarg, d.packed[1])
	d.cells(&d.ran, execAt)
	d.within(d.cells(&d.ran, execExe), len(d.names))
	d.within(d.cells(&d.ran, execArgs), len(d.args))
}

// wantEarlier unpacks what was used before, and finds the row of each record that has one.
func (d *decoder) wantEarlier() {
	rows := uint32(0)
	d.usedAt = d.usedAt[:0]
	for _, b := range d.column(colBits) {
		d.usedAt = append(d.usedAt, rows)
		if b&bitEarlier != 0 {
			rows++
		}
	}
	if d.err == nil && int(rows) != d.used.rows {
		d.err = fmt.Errorf("not as many rows as records with earlier use: %w", errBlock)
	}
	if rows == 0 {
		return
	}
	d.names = d.texts(&d.unnames, d.packed[0])
	for c := range usageColumns {
		d.cells(&d.used, c)
	}
	d.within(d.cells(&d.used, useComm), len(d.names))
}
