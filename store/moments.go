package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// PutMoment hands over a mark of time.
func (s *Store) PutMoment(m job.Moment) { s.queue.putMoment(m) }

// PutPart hands over what a job had used by a checkpoint.
func (s *Store) PutPart(p job.Part) { s.queue.putPart(p) }

// Moments gives the marks of time from from on and before to, by their time; a gap counts when it overlaps. A zero time is
// no bound. An error tells of those that could not be read; the others are there all the same.
func (s *Store) Moments(from, to time.Time) ([]job.Moment, error) {
	var out []job.Moment
	var bad error
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("moments"))
		if b == nil { // a file of schema 1, opened for reading
			return nil
		}
		first := be64(0)
		if !from.IsZero() {
			first = be64(unixKey(from))
		}
		c := b.Cursor()
		for k, v := c.Seek(first); k != nil; k, v = c.Next() {
			m, err := decodeMoment(k, v)
			if err != nil {
				bad = err
				continue
			}
			if to.IsZero() || m.Begin().Before(to) {
				out = append(out, m)
			}
		}
		return nil
	})
	if err == nil {
		err = bad
	}
	return out, err
}

func decodeMoment(key, v []byte) (m job.Moment, err error) {
	body, err := unframe(kindMoment, v)
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err == nil && !bytes.HasPrefix(key, be64(unixKey(m.Time))) {
		err = errFrame
	}
	if err != nil {
		return job.Moment{}, fmt.Errorf("cannot read moment %x: %w: %w", key, err, ErrCorrupt)
	}
	return m, nil
}

// encodeMoment gives the value of a moment: the frame, and JSON.
func encodeMoment(m *job.Moment) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return frame(kindMoment, append(make([]byte, frameSize, frameSize+len(body)), body...)), nil
}

func putMoment(tx *bolt.Tx, m *job.Moment) error {
	m = forward(m)
	v, err := encodeMoment(m)
	if err != nil {
		return err
	}
	b := tx.Bucket([]byte("moments"))
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(append(be64(unixKey(m.Time)), be64(seq)...), v)
}

// forward turns round what ends before it begins, because the clock was set back meanwhile: it is about the time between.
func forward(m *job.Moment) *job.Moment {
	if m.Since == nil || !m.Since.Round(0).After(m.Time.Round(0)) { // wall time, as it is written down
		return m
	}
	turned, begin := *m, m.Time
	turned.Time, turned.Since = *m.Since, &begin
	return &turned
}

// Parts gives the parts of use from from on and before to, by their time. A zero time is no bound. An error tells of one
// that could not be read; the others follow.
func (s *Store) Parts(from, to time.Time) iter.Seq2[job.Part, error] {
	return func(yield func(job.Part, error) bool) {
		next, end := be64(0), be64(math.MaxUint64)
		if !from.IsZero() {
			next = be64(unixKey(from))
		}
		if !to.IsZero() {
			end = be64(unixKey(to))
		}
		for next != nil {
			var page []partOrError
			err := s.view(func(tx *bolt.Tx) (err error) {
				page, next = partsPage(tx, next, end)
				return nil
			})
			if err != nil {
				yield(job.Part{}, err)
				return
			}
			for _, p := range page {
				if !yield(p.part, p.err) {
					return
				}
			}
		}
	}
}

type partOrError struct {
	part job.Part
	err  error
}

// partsPage gives some parts from the key first on, and the key from which to go on; nil: there are no more.
func partsPage(tx *bolt.Tx, first, end []byte) (page []partOrError, next []byte) {
	b := tx.Bucket([]byte("parts"))
	if b == nil { // a file of schema 1, opened for reading
		return nil, nil
	}
	c := b.Cursor()
	for k, v := c.Seek(first); k != nil && string(k) < string(end); k, v = c.Next() {
		if len(page) == 1024 {
			return page, append([]byte(nil), k...)
		}
		p, err := decodePart(k, v)
		page = append(page, partOrError{p, err})
	}
	return page, nil
}

// A part is in its key, time and JID, and its value: the frame, whose checksum is over the key too, and the use as a signed
// varint. Later versions may put more behind it.
func putPart(tx *bolt.Tx, p job.Part) error {
	b := tx.Bucket([]byte("parts"))
	b.FillPercent = fillAppend
	key := append(be64(uint64(max(p.At, 0))), be64(uint64(p.JID))...)
	if v := b.Get(key); v != nil { // a midnight that came twice, since the clock was set back
		if old, err := decodePart(key, v); err == nil {
			p.Unattributed += old.Unattributed
		}
	}
	return b.Put(key, encodePart(key, p))
}

func encodePart(key []byte, p job.Part) []byte {
	v := binary.AppendVarint(make([]byte, frameSize, frameSize+binary.MaxVarintLen64+16), p.Unattributed)
	return frame(kindPart, append(v, key...))[:len(v)]
}

func decodePart(key, v []byte) (job.Part, error) {
	body, err := unframe(kindPart, append(v[:len(v):len(v)], key...))
	n := 0
	var p job.Part
	if err == nil {
		if p.Unattributed, n = binary.Varint(body); n <= 0 || len(key) != 16 {
			err = errFrame
		}
	}
	if err != nil {
		return job.Part{}, fmt.Errorf("cannot read part %x: %w: %w", key, err, ErrCorrupt)
	}
	p.At, p.JID = int64(binary.BigEndian.Uint64(key)), job.JID(binary.BigEndian.Uint64(key[8:]))
	return p, nil
}
