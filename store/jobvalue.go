package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job"
)

// The value of a job is the frame, its start (Unix ns, 8 bytes, big endian: to pass over it without reading it), the length
// of its head as a varint, the head, and the rest: fields both, numbered apart. The head has what jobs are asked for by,
// so that a search need not read more. A number that was given to a field is never given to another.

// headFields goes through the head of a job.
func headFields(f *fieldCodec, s *job.Saved) {
	fieldNum(f, 1, &s.JID)
	fieldText(f, 2, &s.User)
	fieldNum(f, 3, &s.UID)
	f.maybe32(4, &s.GID)
	fieldText(f, 5, &s.Service)
	fieldText(f, 6, &s.TTY)
	fieldText(f, 7, &s.RHost)
	f.time(8, &s.Started)
	f.maybeTime(9, &s.Ended)
	fieldText(f, 10, &s.Command)
	f.maybeInt(11, &s.ExitStatus)
	f.maybe64(12, &s.CPU)
	f.maybe64(13, &s.MaxRSS)
	f.maybe64(14, &s.PeakMemory)
	f.maybe64(15, &s.ReadBytes)
	f.maybe64(16, &s.WriteBytes)
	fieldInt(f, 17, &s.TotalProcesses)
	f.tags(18, &s.Tags)
	f.maybe64(19, &s.CPUUnattributed)
	fieldInt(f, 20, &s.Parted)
}

// restFields goes through all else.
func restFields(f *fieldCodec, s *job.Saved) {
	fieldNum(f, 1, &s.Seq)
	fieldText(f, 2, &s.Host)
	fieldText(f, 3, &s.BootID)
	f.maybeInt(4, &s.RPort)
	fieldText(f, 5, &s.AuthKey)
	fieldText(f, 6, &s.State)
	f.bool(7, &s.Held)
	f.maybeJID(8, &s.ParentJID)
	f.maybeJID(9, &s.LoginJID)
	f.maybe32(10, &s.LoginUID)
	f.maybe32(11, &s.AuditSession)
	fieldText(f, 12, &s.LogindSession)
	fieldInt(f, 13, &s.POE)
	fieldList(f, 14, &s.Marks, markFields)
	fieldInt(f, 15, &s.Processes)
	fieldInt(f, 16, &s.PeakProcesses)
	fieldText(f, 17, &s.CPUSource)
	f.maybe64(18, &s.CPUUser)
	f.maybe64(19, &s.CPUSystem)
	f.maybeInt(21, &s.POEExitStatus)
	fieldText(f, 22, &s.EndReason)
	fieldText(f, 23, &s.Witness)
	f.bool(24, &s.Estimated)
	fieldInt(f, 25, &s.AsOf)
	p := &s.Placement
	fieldText(f, 27, &p.Cgroup)
	f.bool(28, &p.Own)
	f.maybe32(29, &p.Audit)
	f.maybe64(30, &p.BaseCPU)
	fieldNum(f, 31, &p.POEStart)
	f.message(32, p.Before != job.Spent{}, func(f *fieldCodec) { spentFields(f, &p.Before) })
	fieldList(f, 33, &p.Detached, func(f *fieldCodec, k *job.Known) {
		knownFields(f, k)
	})
	fieldList(f, 34, &s.Entrants, func(f *fieldCodec, e *job.Entrant) {
		knownFields(f, &e.Known)
		f.message(3, e.Before != job.Spent{}, func(f *fieldCodec) { spentFields(f, &e.Before) })
	})
	fieldInt(f, 35, &s.Uptime)
	fieldList(f, 36, &s.Above, func(f *fieldCodec, j *job.JID) { fieldNum(f, 1, j) })
	f.maybeInt(37, &s.MaxProcesses)
}

func knownFields(f *fieldCodec, k *job.Known) {
	fieldInt(f, 1, &k.PID)
	fieldNum(f, 2, &k.Start)
}

func spentFields(f *fieldCodec, s *job.Spent) {
	fieldInt(f, 1, &s.CPU)
	fieldInt(f, 2, &s.User)
	fieldInt(f, 3, &s.System)
	fieldInt(f, 4, &s.ReadBytes)
	fieldInt(f, 5, &s.WriteBytes)
}

func markFields(f *fieldCodec, m *job.Mark) {
	fieldText(f, 1, &m.Service)
	fieldText(f, 2, &m.User)
	f.maybe32(3, &m.UID)
	fieldInt(f, 4, &m.PID)
	fieldText(f, 5, &m.TTY)
	f.time(6, &m.Time)
	f.bool(7, &m.Closed)
}

func (f *fieldCodec) maybeJID(n uint64, p **job.JID) {
	switch {
	case f.put && *p != nil:
		f.putNum(n, uint64(**p))
	case !f.put && f.at(n):
		v := job.JID(f.num)
		*p = &v
	}
}

// jobFront is where the fields of a job begin.
const jobFront = frameSize + 8

// encodeJob gives the value of a job. A date that JSON cannot tell would make every answer with it fail.
func encodeJob(s *job.Saved) ([]byte, error) {
	for _, t := range append(dates(s), s.Started) {
		if y := t.Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("a date in the year %d cannot be told", y)
		}
	}
	head, rest := fieldCodec{put: true}, fieldCodec{put: true}
	headFields(&head, s)
	restFields(&rest, s)
	v := make([]byte, jobFront, jobFront+binary.MaxVarintLen16+len(head.out)+len(rest.out))
	binary.BigEndian.PutUint64(v[frameSize:], unixKey(s.Started))
	v = append(binary.AppendUvarint(v, uint64(len(head.out))), head.out...)
	return frame(kindJob, append(v, rest.out...)), nil
}

func dates(s *job.Saved) (out []time.Time) {
	if s.Ended != nil {
		out = append(out, *s.Ended)
	}
	for i := range s.Marks {
		out = append(out, s.Marks[i].Time)
	}
	return out
}

// keptJob is a job and what its pointers point to.
type keptJob struct {
	job.Saved
	mem slab
}

// jobParts takes a value apart into head and rest.
func jobParts(v []byte) (head, rest []byte, err error) {
	body, err := unframe(kindJob, v)
	if err != nil {
		return nil, nil, err
	}
	if len(body) > 8 {
		if n, size := binary.Uvarint(body[8:]); size > 0 && n <= uint64(len(body)-8-size) {
			body = body[8+size:]
			return body[:n], body[n:], nil
		}
	}
	return nil, nil, fmt.Errorf("its head makes no sense: %w", errFrame)
}

// decodeHead reads a head; the texts in the job are parts of it.
func (k *keptJob) decodeHead(head string) error {
	k.Saved, k.mem.used = job.Saved{}, slab{}.used
	f := reading(head, &k.mem)
	if headFields(&f, &k.Saved); !f.whole() || k.JID == 0 {
		return fmt.Errorf("a field makes no sense: %w", errFrame)
	}
	return nil
}

func (k *keptJob) decode(v []byte) error {
	head, rest, err := jobParts(v)
	if err != nil {
		return err
	}
	if err := k.decodeHead(string(head)); err != nil {
		return err
	}
	f := reading(string(rest), &k.mem)
	if restFields(&f, &k.Saved); !f.whole() {
		return fmt.Errorf("a field makes no sense: %w", errFrame)
	}
	return nil
}

// startOf is the key of a job's start, of a value that is one.
func startOf(v []byte) (start uint64, ok bool) {
	if len(v) < jobFront || v[0] != kindJob {
		return 0, false
	}
	return binary.BigEndian.Uint64(v[frameSize:]), true
}

// decodeJob reads a job that is the caller's to keep. In files of schema 1 jobs are JSON.
func decodeJob(key, v []byte) (*job.Saved, error) {
	k := new(keptJob)
	var err error
	if len(v) > 0 && v[0] == '{' {
		err = json.Unmarshal(v, &k.Saved)
	} else {
		err = k.decode(v)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read job %x: %w: %w", key, err, ErrCorrupt)
	}
	return &k.Saved, nil
}
