package store

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// A block is
//
//	version     1 byte: 2
//	checksum    4 bytes, big endian: CRC-32C of all bytes but these four
//	header      varints: count, lowest JID, highest less lowest, first end, last less first
//	JIDs        count, then each less the one before
//	names       texts: of records and programs
//	arguments   texts
//	records     a table
//	programs    a table: rows of the first record that ran some, then of the next …
//	earlier     a table: a row for each record with bitEarlier
//	sums        a table: a row for each name; in a block that is settled
//
// A table is its number of rows and, where that is not 0, its number of columns, then each column behind its length in
// bytes: a reader unpacks those that it wants.
const (
	blockVersion = 2
	sumEnd       = 5 // where the header begins

	maxCount = 8192    // records that a reader accepts in a block
	maxExecs = 1 << 20 // programs
)

// encoder makes blocks. It keeps its buffers; the zero encoder is ready.
type encoder struct {
	jids  []job.JID // in the order in which they come
	index map[job.JID]uint32
	seen  [256]struct {
		jid job.JID
		at  uint32 // its number and 1
	}
	names, args texts

	rows    [rowsAtOnce]row
	cells   []uint64 // the records' columns, one after the other
	stride  int      // how far apart they begin
	varies  row      // 0 where a column is the same in all rows
	groups  groups
	execs   [execColumns][]uint64
	ran     groups // of execs
	earlier [usageColumns][]uint64
	sums    sums

	packer packer
	column []byte
	body   []byte
}

// rowsAtOnce is how many records are turned into columns at a time: walks over all of them for each column would miss
// the cache, and so would writing them one by one to far apart places.
const rowsAtOnce = 8

// encode makes one settled block of at least one record. It is the caller's.
func (e *encoder) encode(recs []*job.Record) []byte { return e.block(recs, true) }

// encodeOpen makes a block that is soon written again: summing it up would not pay.
func (e *encoder) encodeOpen(recs []*job.Record) []byte { return e.block(recs, false) }

func (e *encoder) block(recs []*job.Record, summed bool) []byte {
	e.reset(len(recs))
	for at := 0; at < len(recs); at += rowsAtOnce {
		e.take(recs[at:min(at+rowsAtOnce, len(recs))], at, summed)
	}
	e.groups.njob, e.groups.nclass = len(e.jids), 2*len(e.names.list)
	e.ran.njob, e.ran.nclass = e.groups.njob, e.groups.nclass

	e.body = e.head(e.body[:0], recs)
	e.body = binary.AppendUvarint(e.body, uint64(len(e.jids)))
	prev := job.JID(0)
	for _, j := range e.jids {
		e.body = binary.AppendVarint(e.body, int64(j-prev))
		prev = j
	}
	e.body = e.names.append(e.body)
	e.body = e.args.append(e.body)
	e.appendRecords(len(recs))
	e.appendExecs()
	e.appendEarlier()
	e.appendSums()
	binary.BigEndian.PutUint32(e.body[1:], checksum(e.body))
	return slices.Clone(e.body)
}

func (e *encoder) reset(n int) {
	e.names.reset()
	e.args.reset()
	e.sums.reset()
	e.jids = e.jids[:0]
	clear(e.index)
	clear(e.seen[:])
	e.stride = (n+rowsAtOnce-1)/rowsAtOnce*rowsAtOnce + rowsAtOnce // never a power of two: columns would share cache sets
	e.cells = sized(e.cells, columns*e.stride)
	e.varies = row{}
	e.groups = groups{class: e.groups.class[:0], job: e.groups.job[:0]}
	e.ran = groups{class: e.ran.class[:0], job: e.ran.job[:0]}
	for c := range e.execs {
		e.execs[c] = e.execs[c][:0]
	}
	for c := range e.earlier {
		e.earlier[c] = e.earlier[c][:0]
	}
}

// take puts up to rowsAtOnce records into the columns.
func (e *encoder) take(recs []*job.Record, at int, summed bool) {
	for i, r := range recs {
		w := &e.rows[i]
		w.set(r)
		j, comm := e.job(r.JID), e.names.add(r.Usage.Comm)
		w[colJob], w[colUsage+useComm], w[colExe] = uint64(j), comm, e.names.add(r.Exe)
		class := classOf(comm, w[colBits])
		e.groups.job, e.groups.class = append(e.groups.job, j), append(e.groups.class, class)
		if len(r.Execs) > 0 {
			e.ranAll(r, j, class)
		}
		if r.Earlier != nil {
			e.usedEarlier(r.Earlier, since(r))
		}
		if summed {
			if !r.Used {
				comm = e.names.add("")
			}
			e.sums.add(comm, r)
		}
	}
	for c := range columns {
		cells := e.cells[c*e.stride+at:][:rowsAtOnce]
		first, varies := e.cells[c*e.stride], e.varies[c]
		if at == 0 {
			first = e.rows[0][c]
		}
		for i := range recs {
			v := e.rows[i][c]
			cells[i] = v
			varies |= v ^ first
		}
		e.varies[c] = varies
	}
}

// classOf tells programs apart, by name, and those that a shell forked and did not replace.
func classOf(comm, bits uint64) uint32 {
	c := uint32(comm) * 2
	if bits&bitForked != 0 {
		c++
	}
	return c
}

// job gives the number of a JID.
func (e *encoder) job(j job.JID) uint32 {
	m := &e.seen[scattered(uint64(j))]
	if m.at > 0 && m.jid == j {
		return m.at - 1
	}
	at, ok := e.index[j]
	if !ok {
		if e.index == nil {
			e.index = make(map[job.JID]uint32)
		}
		at = uint32(len(e.jids))
		e.jids = append(e.jids, j)
		e.index[j] = at
	}
	m.jid, m.at = j, at+1
	return at
}

func (e *encoder) ranAll(r *job.Record, j, class uint32) {
	at := began(r)
	for i := range r.Execs {
		x := &r.Execs[i]
		e.execs[execAt] = append(e.execs[execAt], uint64(x.At-at))
		e.execs[execExe] = append(e.execs[execExe], e.names.add(x.Exe))
		e.execs[execArgs] = append(e.execs[execArgs], e.args.add(x.Args))
		e.ran.job, e.ran.class = append(e.ran.job, j), append(e.ran.class, class)
		at = x.At
	}
}

func (e *encoder) usedEarlier(u *watch.Usage, since int64) {
	var w usageRow
	setUsage(&w, u, since)
	w[useComm] = e.names.add(u.Comm)
	for c, v := range w {
		e.earlier[c] = append(e.earlier[c], v)
	}
}

// head begins a block: all in front of the lists, the checksum still to be made.
func (e *encoder) head(dst []byte, recs []*job.Record) []byte {
	low, high := slices.Min(e.jids), slices.Max(e.jids)
	first, last := recs[0].End, recs[0].End
	for _, end := range e.cells[colEnd*e.stride:][:len(recs)] {
		first, last = min(first, int64(end)), max(last, int64(end))
	}
	dst = append(dst, blockVersion, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(len(recs)))
	dst = binary.AppendUvarint(dst, uint64(low))
	dst = binary.AppendUvarint(dst, uint64(high-low))
	dst = binary.AppendVarint(dst, first)
	return binary.AppendUvarint(dst, uint64(last)-uint64(first))
}

func checksum(v []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(v[:1], t), t, v[sumEnd:])
}

func (e *encoder) appendRecords(n int) {
	e.packer.group(&e.groups)
	e.body = binary.AppendUvarint(e.body, uint64(n))
	e.body = binary.AppendUvarint(e.body, columns)
	for c := range columns {
		cells := e.cells[c*e.stride:][:n]
		if e.varies[c] == 0 {
			cells = cells[:1]
		}
		e.append(cells, &e.groups, froms(c)...)
	}
}

// froms are the differences that are worth a try, from what is known of a column. The groups are made of the job, the
// bits and the name: these stand by themselves or, once the job is read, by job.
func froms(c int) []byte {
	switch c {
	case colJob:
		return []byte{fromNothing, fromRow}
	case colBits, colUsage + useComm:
		return []byte{fromNothing, fromRow, fromJob}
	case colEnd:
		return []byte{fromRow}
	case colPID:
		return []byte{fromRow, fromJob}
	case colUsage + useUID, colUsage + useGID, colUsage + usePPID:
		return []byte{fromRow, fromClass, fromJob}
	}
	return []byte{fromNothing, fromClass}
}

func (e *encoder) appendExecs() {
	n := len(e.execs[execAt])
	e.body = binary.AppendUvarint(e.body, uint64(n))
	if n == 0 {
		return
	}
	e.packer.group(&e.ran)
	e.body = binary.AppendUvarint(e.body, execColumns)
	e.append(e.execs[execAt], &e.ran, fromNothing, fromClass)
	e.append(e.execs[execExe], &e.ran, fromNothing, fromClass)
	e.append(e.execs[execArgs], &e.ran, fromNothing, fromRow)
}

func (e *encoder) appendEarlier() {
	n := len(e.earlier[0])
	e.body = binary.AppendUvarint(e.body, uint64(n))
	if n == 0 {
		return
	}
	e.body = binary.AppendUvarint(e.body, usageColumns)
	for _, cells := range e.earlier {
		e.append(cells, nil, fromNothing, fromRow)
	}
}

// append writes a column behind its length; where there are no numbers but 0 it has none.
func (e *encoder) append(cells []uint64, g *groups, froms ...byte) {
	if len(cells) == 1 && cells[0] == 0 {
		e.body = append(e.body, 0)
		return
	}
	e.column = e.packer.appendColumn(e.column[:0], cells, g, froms...)
	e.body = binary.AppendUvarint(e.body, uint64(len(e.column)))
	e.body = append(e.body, e.column...)
}

// byEnd is the order of the records in a block.
func byEnd(a, b *job.Record) int { return cmp.Compare(a.End, b.End) }
