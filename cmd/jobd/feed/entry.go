package feed

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/watch"
)

// Kind is what an Entry tells of.
type Kind uint8

// The kinds, in the order of their names.
const (
	Clone Kind = iota
	Exec
	UID
	GID
	Exit
	Free
	Refuse
	Lost
	JobStart
	JobEnd
	Gone
	kinds
)

var names = [kinds]string{
	control.EventClone, control.EventExec, control.EventUID, control.EventGID, control.EventExit, control.EventFree, control.EventRefuse,
	control.EventLost, control.EventJobStart, control.EventJobEnd, control.EventGone,
}

// KindOf is the kind of an event of Task Watchers; ok is false for those that are not told of.
func KindOf(k watch.Kind) (kind Kind, ok bool) {
	switch k {
	case watch.Clone:
		return Clone, true
	case watch.Exec:
		return Exec, true
	case watch.UID:
		return UID, true
	case watch.GID:
		return GID, true
	case watch.Exit:
		return Exit, true
	case watch.Free:
		return Free, true
	case watch.Refuse:
		return Refuse, true
	case watch.Lost:
		return Lost, true
	}
	return 0, false
}

// Entry is an event as the ring keeps it: nothing in it is made for it, so that telling costs a copy.
type Entry struct {
	At       int64 // Unix ns
	JID      job.JID
	UID      uint32 // whose job it is …
	User     string // … by name
	Value    int64  // as in watch.Event
	Real     int64
	TID, PID int32
	Parent   int32 // 0: not known
	Kind     Kind
	Slot     uint8 // the subscription that it is for; 0: none, it is for those who watch
	Valid    bool  // Value is known
	Inferred bool
	Text     string    // the path of an Exec, the command of a Free
	Job      *job.Info // of a JobStart and a JobEnd
}

// Set fills in what an event of Task Watchers tells by itself; what was run PutExec is told.
func (e *Entry) Set(ev *watch.Event) {
	e.PID, e.TID, e.Parent = ev.Proc.PID, ev.TID, ev.Parent.PID
	e.Value, e.Valid, e.Real, e.Inferred = ev.Value, ev.Valid, ev.Real, ev.Inferred
	if ev.Kind == watch.Free && ev.Usage != nil {
		e.Text = ev.Usage.Comm
	}
}

// append writes an entry as a line of control.WatchEvent; TestLineIsWhatTheClientReads holds them together. It makes nothing: a hundred
// readers write the same event.
func (e *Entry) append(b []byte, cursor control.Cursor) []byte {
	b = head(b, names[e.Kind], e.At)
	b = e.job(b)
	if e.PID != 0 {
		b = number(b, "pid", int64(e.TID))
		b = number(b, "tgid", int64(e.PID))
	} else {
		b = append(b, `,"pid":null,"tgid":null`...)
	}
	switch e.Kind {
	case Clone:
		b = known(b, "ppid", int64(e.Parent), e.Parent != 0)
		b = known(b, "flags", e.Value, e.Valid)
	case Exec:
		b = text(b, "exe", e.Text)
	case UID, GID:
		real, effective := "uid", "euid"
		if e.Kind == GID {
			real, effective = "gid", "egid"
		}
		b = known(b, real, e.Real, e.Valid)
		b = known(b, effective, e.Value, e.Valid)
	case Exit, Free:
		b = known(b, "exit_status", int64(job.ExitStatus(e.Value)), e.Valid)
		if e.Kind == Free {
			b = text(b, "comm", e.Text)
		}
	case Refuse:
		b = known(b, "ppid", int64(e.Parent), e.Parent != 0)
		how := "failed"
		if e.Value == watch.RefusedKilled {
			how = "killed"
		}
		b = text(b, "how", how)
	case Lost:
		b = known(b, "lost", e.Value, e.Value > 0)
		b = text(b, "why", "kernel")
	case JobStart, JobEnd:
		b = e.info(b)
	}
	if e.PID != 0 {
		b = append(b, `,"estimated":`...)
		b = strconv.AppendBool(b, e.Inferred)
	}
	return tail(b, cursor)
}

func (e *Entry) info(b []byte) []byte {
	if e.Job == nil {
		return b
	}
	b = number(b, "uid", int64(e.Job.UID))
	b = text(b, "user", e.Job.User)
	b = text(b, "service", string(e.Job.Service))
	if e.Kind == JobEnd {
		b = text(b, "end_reason", string(e.Job.EndReason))
		if e.Job.ExitStatus != nil {
			return number(b, "exit_status", int64(*e.Job.ExitStatus))
		}
		b = append(b, `,"exit_status":null`...)
	}
	return b
}

func (e *Entry) job(b []byte) []byte {
	if e.JID == 0 {
		return append(b, `,"jid":null,"seq":null`...)
	}
	const digits = "0123456789abcdef"
	b = append(b, `,"jid":"0x`...)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[e.JID>>shift&15])
	}
	b = append(b, '"')
	return number(b, "seq", int64(e.JID.Seq()))
}

// missed is the line that says so: how many, 0 for not known.
func missed(b []byte, n uint64, why string, at time.Time, cursor control.Cursor) []byte {
	b = head(b, control.EventLost, at.UnixNano())
	b = append(b, `,"jid":null,"seq":null,"pid":null,"tgid":null`...)
	b = known(b, "lost", int64(n), n > 0)
	b = text(b, "why", why)
	return tail(b, cursor)
}

func head(b []byte, event string, at int64) []byte {
	b = append(b, `{"event":"`...)
	b = append(b, event...)
	b = append(b, `","time":"`...)
	b = time.Unix(0, at).UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func tail(b []byte, cursor control.Cursor) []byte {
	b = append(b, `,"cursor":"`...)
	b = cursor.Append(b)
	return append(b, "\"}\n"...)
}

func known(b []byte, name string, v int64, is bool) []byte {
	if is {
		return number(b, name, v)
	}
	return append(key(b, name), "null"...)
}

func number(b []byte, name string, v int64) []byte { return strconv.AppendInt(key(b, name), v, 10) }

func key(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}

// text writes a string, null for "".
func text(b []byte, name, s string) []byte {
	b = key(b, name)
	if s == "" {
		return append(b, "null"...)
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // cannot fail for a string
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
