package store

import (
	"encoding/binary"
	"fmt"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// The columns of a block's sums: a row for each name that its records go by, with what they add to a report.
const (
	sumComm      = iota // index into the block's names; what has no usage counts under the empty one
	sumProcesses        // that ended
	sumPartial          // records that are of no process that ended
	sumWall
	sumCPU
	sumUser
	sumSystem
	sumMaxRSS
	sumCoreMem
	sumRead
	sumWrite
	sumGroups
	sumEstimated // 1: they are
	sumColumns
)

// sums adds records up by name. It keeps its buffers; the zero sums is ready.
type sums struct {
	at    []uint32 // by the number of a name: its row and 1
	rows  []job.Sum
	cells [sumColumns][]uint64
}

func (s *sums) reset() {
	clear(s.at)
	s.rows = s.rows[:0]
	for c := range s.cells {
		s.cells[c] = s.cells[c][:0]
	}
}

// add takes in a record of the name with this number.
func (s *sums) add(name uint64, r *job.Record) {
	for uint64(len(s.at)) <= name {
		s.at = append(s.at, 0)
	}
	if s.at[name] == 0 {
		s.rows = append(s.rows, job.Sum{})
		s.at[name] = uint32(len(s.rows))
		s.cells[sumComm] = append(s.cells[sumComm], name)
	}
	s.rows[s.at[name]-1].Add(r)
}

// columns gives the rows as numbers.
func (s *sums) columns() *[sumColumns][]uint64 {
	for i := range s.rows {
		r := &s.rows[i]
		for c, v := range [sumColumns]uint64{
			sumProcesses: uint64(r.Processes), sumPartial: uint64(r.Records - r.Processes), sumWall: uint64(r.Wall),
			sumCPU: uint64(r.CPU), sumUser: uint64(r.User), sumSystem: uint64(r.System), sumMaxRSS: uint64(r.MaxRSS),
			sumCoreMem: uint64(r.CoreMem), sumRead: uint64(r.Read), sumWrite: uint64(r.Write),
			sumGroups: uint64(r.Groups), sumEstimated: bit(r.Estimated, 1),
		} {
			if c != sumComm {
				s.cells[c] = append(s.cells[c], v)
			}
		}
	}
	return &s.cells
}

func (e *encoder) appendSums() {
	e.body = binary.AppendUvarint(e.body, uint64(len(e.sums.rows)))
	if len(e.sums.rows) == 0 {
		return
	}
	e.body = binary.AppendUvarint(e.body, sumColumns)
	for _, cells := range e.sums.columns() {
		e.append(cells, nil, fromNothing, fromRow)
	}
}

// named is what the records of one name add up to.
type named struct {
	comm string
	sum  job.Sum
}

// summed gives the sums of a block that open took up; none where it has none. They are valid until the next block.
func (d *decoder) summed() ([]named, error) {
	d.named = d.named[:0]
	if d.sums.rows == 0 {
		return nil, d.err
	}
	d.names = d.texts(&d.unnames, d.packed[0])
	for c := range sumColumns {
		d.cells(&d.sums, c)
	}
	d.within(d.cells(&d.sums, sumComm), len(d.names))
	if d.err != nil {
		return nil, d.err
	}
	for i := range d.sums.rows {
		at := func(c int) int64 { return int64(d.sums.cells[c][i]) }
		d.named = append(d.named, named{d.names[at(sumComm)], job.Sum{
			Records: at(sumProcesses) + at(sumPartial), Processes: at(sumProcesses), Wall: at(sumWall),
			CPU: at(sumCPU), User: at(sumUser), System: at(sumSystem), MaxRSS: at(sumMaxRSS), CoreMem: at(sumCoreMem),
			Read: at(sumRead), Write: at(sumWrite), Groups: watch.Group(at(sumGroups)), Estimated: at(sumEstimated) != 0,
		}})
	}
	return d.named, nil
}

// summedBy is the name that a record counts under.
func summedBy(r *job.Record) string {
	if r.Used {
		return r.Usage.Comm
	}
	return ""
}

// checkSums compares the sums of a block with its records. An open block may have none.
func checkSums(got []named, recs []job.Record, open bool) error {
	if open && len(got) == 0 {
		return nil
	}
	want := make(map[string]*job.Sum)
	for i := range recs {
		comm := summedBy(&recs[i])
		if want[comm] == nil {
			want[comm] = new(job.Sum)
		}
		want[comm].Add(&recs[i])
	}
	if len(got) != len(want) {
		return fmt.Errorf("it has sums of %d commands, and records of %d", len(got), len(want))
	}
	for i := range got {
		if s := want[got[i].comm]; s == nil || *s != got[i].sum {
			return fmt.Errorf("its sum of %q is not that of its records", got[i].comm)
		}
		delete(want, got[i].comm)
	}
	return nil
}
