package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
)

// Unattributed is the key, by command, of the CPU that is on no process's record: nobody knows which program
// used it. It is longer than the 15 bytes that a process may call itself.
const Unattributed = "(unattributed CPU)"

// Unknown is the key of what has no such thing as a report is by (a job without the tag), or of which it is not known.
const Unknown = "-"

// key is what a line is of. Where it is a number, that is n.
type key struct {
	text string
	n    uint64
}

// none is the number of keys that have none.
const none = math.MaxUint64

// kind is what a report is by.
type kind uint8

const (
	byUser kind = iota
	byGroup
	byJob
	byCommand
	byService
	byDay
	byHour
	byTag
)

var kinds = map[string]kind{
	"user": byUser, "group": byGroup, "job": byJob, "command": byCommand, "service": byService, "day": byDay, "hour": byHour,
}

// keyer finds the key of use.
type keyer struct {
	kind kind
	tag  string
	loc  *time.Location

	// The last day or hour that was asked for, Unix ns; from is not in it, to is. Records come nearly in order.
	from, to int64
	last     key
}

func newKeyer(by string, loc *time.Location) (*keyer, error) {
	if loc == nil {
		loc = time.UTC
	}
	if tag, ok := strings.CutPrefix(by, "tag:"); ok && tag != "" {
		return &keyer{kind: byTag, tag: tag, loc: loc}, nil
	}
	k, ok := kinds[by]
	if !ok {
		return nil, fmt.Errorf("cannot report by %q: user, group, job, command, service, day, hour or tag:KEY", by)
	}
	return &keyer{kind: k, loc: loc}, nil
}

// record is the key of what a process used.
func (k *keyer) record(r *job.Record, in *job.Info) key {
	switch {
	case k.kind == byCommand && r.Used:
		return named(r.Usage.Comm)
	case k.kind == byCommand:
		return named("")
	}
	return k.job(r.JID, r.End, in)
}

// job is the key of what is a job's, at an instant. By command that is the one that the job began with.
func (k *keyer) job(jid job.JID, at int64, in *job.Info) key {
	switch k.kind {
	case byJob:
		return key{n: uint64(jid)}
	case byDay, byHour:
		return k.time(at)
	}
	if in == nil {
		return named("")
	}
	switch k.kind {
	case byUser:
		return key{text: in.User, n: uint64(in.UID)}
	case byService:
		return named(string(in.Service))
	case byCommand:
		return named(string(in.Command))
	case byTag:
		return named(in.Tags[k.tag])
	case byGroup: // of the job's user, as by user: what root's processes do for a login is on the user's account
		if in.GID != nil {
			return key{n: uint64(*in.GID)}
		}
	}
	return named("")
}

// unattributed is the key of CPU on no record.
func (k *keyer) unattributed(jid job.JID, at int64, in *job.Info) key {
	if k.kind == byCommand {
		return key{text: Unattributed, n: none}
	}
	return k.job(jid, at, in)
}

func named(s string) key {
	if s == "" {
		s = Unknown
	}
	return key{text: s, n: none}
}

// time is the day or hour that an instant ends, or is in: midnight is the day's that it closes.
func (k *keyer) time(at int64) key {
	if at > k.from && at <= k.to {
		return k.last
	}
	t := time.Unix(0, at-1).In(k.loc)
	y, m, d := t.Date()
	n := uint64(y)*1e6 + uint64(m)*1e4 + uint64(d)*1e2
	step := int64(24 * time.Hour)
	if k.kind == byHour {
		n += uint64(t.Hour())
		step = int64(time.Hour)
	}
	_, offset := t.Zone()
	k.from = at - 1 - mod(at-1+int64(offset)*1e9, step)
	k.to = k.from + step
	from, to := t.ZoneBounds() // within one offset from UTC all days and hours are of one length
	if !from.IsZero() {
		k.from = max(k.from, nanos(from))
	}
	if !to.IsZero() {
		k.to = min(k.to, nanos(to))
	}
	k.last = key{n: n}
	return k.last
}

func mod(v, n int64) int64 { return ((v % n) + n) % n }

// label puts a key into a line.
func (k *keyer) label(key key, l *Line) {
	l.Key = key.text
	n := uint32(key.n)
	switch k.kind {
	case byUser:
		if key.n != none {
			l.UID = &n
		}
	case byGroup:
		if key.n != none {
			l.GID, l.Key = &n, strconv.FormatUint(key.n, 10)
		}
	case byJob:
		jid := job.JID(key.n)
		l.JID, l.Key = &jid, strconv.FormatUint(uint64(n), 10)
	case byDay, byHour:
		v := key.n
		l.Key = fmt.Sprintf("%04d-%02d-%02d", v/1e6, v/1e4%100, v/100%100)
		if k.kind == byHour {
			l.Key += fmt.Sprintf("T%02d", v%100)
		}
	}
}

// chronological reports whether lines come in the order of time.
func (k *keyer) chronological() bool { return k.kind == byDay || k.kind == byHour }
