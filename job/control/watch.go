package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
)

// WatchEvent is one line of watch and subscribe. What is not of its event is nil, and so is what is not known; the line itself has null
// for the latter. docs/protocol.md says which event has what.
type WatchEvent struct {
	Event     string    `json:"event"`
	Time      time.Time `json:"time"`
	JID       *job.JID  `json:"jid"` // nil: in no job
	Seq       *uint32   `json:"seq"`
	PID       *int32    `json:"pid"`  // the task
	TGID      *int32    `json:"tgid"` // its process
	Cursor    string    `json:"cursor"`
	Estimated bool      `json:"estimated"` // found out later, by a scan or a witness

	PPID       *int32   `json:"ppid"`        // clone, refuse: who made it
	Flags      *int64   `json:"flags"`       // clone: those of clone(2)
	Exe        job.Text `json:"exe"`         // exec: the program's path
	Comm       job.Text `json:"comm"`        // exec, free
	UID        *uint32  `json:"uid"`         // uid: the real one; job_start, job_end: the job's
	EUID       *uint32  `json:"euid"`        // uid
	GID        *uint32  `json:"gid"`         // gid: the real one
	EGID       *uint32  `json:"egid"`        // gid
	ExitStatus *int     `json:"exit_status"` // exit, free, job_end: as a shell says it
	How        string   `json:"how"`         // refuse: failed or killed
	Lost       *uint64  `json:"lost"`        // lost: how many; nil: not known
	Why        string   `json:"why"`         // lost: slow, cursor, restart or kernel
	User       string   `json:"user"`        // job_start, job_end
	Service    job.Text `json:"service"`     // job_start, job_end
	EndReason  job.Text `json:"end_reason"`  // job_end

	Line []byte `json:"-"` // as it came, without its end
}

// The events of a line. Gone is the last of a subscription: all its processes are.
const (
	EventClone    = "clone"
	EventExec     = "exec"
	EventUID      = "uid"
	EventGID      = "gid"
	EventExit     = "exit"
	EventFree     = "free"
	EventRefuse   = "refuse"
	EventLost     = "lost"
	EventJobStart = "job_start"
	EventJobEnd   = "job_end"
	EventGone     = "gone"
)

// watchable is what may be asked for. Lost is told of in any case, and so is Gone.
var watchable = []string{EventClone, EventExec, EventUID, EventGID, EventExit, EventFree, EventRefuse, EventLost, EventJobStart, EventJobEnd}

// Events gives the events that a request asks for, each once; nil: all. It has been checked.
func (r Request) Events() []string {
	if r.Event == "" {
		return nil
	}
	list := strings.Split(r.Event, ",")
	slices.Sort(list)
	return slices.Compact(list)
}

// Cursor is a place among the events of one run of jobd.
type Cursor struct {
	Run  uint64 // which run: made up anew at each start
	Next uint64 // the event that comes next
}

// String is the form that lines have: 16 hexadecimal digits, a dash and a number.
func (c Cursor) String() string { return string(c.Append(nil)) }

// Append writes it to the end of b.
func (c Cursor) Append(b []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[c.Run>>shift&15])
	}
	return strconv.AppendUint(append(b, '-'), c.Next, 10)
}

// ErrCursor is text that is no cursor.
var ErrCursor = errors.New("a cursor is what a line of watch has as its cursor")

// ParseCursor reads what String wrote, and nothing else.
func ParseCursor(s string) (Cursor, error) {
	run, next, ok := strings.Cut(s, "-")
	if !ok || len(run) != 16 {
		return Cursor{}, ErrCursor
	}
	r, err := strconv.ParseUint(run, 16, 64)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	n, err := strconv.ParseUint(next, 10, 64)
	if c := (Cursor{r, n}); err == nil && c.String() == s {
		return c, nil
	}
	return Cursor{}, ErrCursor
}

// How large what a subscription keeps may be, and its name.
const (
	longestData = 4096
	longestName = 64
)

func checkWatch(req Request) error {
	for _, name := range req.Events() {
		if !slices.Contains(watchable, name) {
			return badChoice("event", name, watchable)
		}
	}
	if req.Cursor != "" {
		if _, err := ParseCursor(req.Cursor); err != nil {
			return Errorf(BadRequest, "bad cursor %q: %s", clip(req.Cursor, 64), err)
		}
	}
	switch {
	case req.Verb == Watch && count(req.Job != "", req.User != "", req.All, req.Host) > 1:
		return Errorf(BadRequest, "watch takes one of job, user, all and host")
	case req.Verb == Watch:
		return nil
	case !goodName(req.Name):
		return &Error{
			Code: BadRequest, Message: fmt.Sprintf("bad name %q of a subscription", clip(req.Name, longestName)),
			Hint: fmt.Sprintf("it is 1 to %d letters, digits, dots, dashes and underscores", longestName),
		}
	case req.Verb == Subscribe && req.PID == 0:
		return Errorf(BadRequest, "no pid is given")
	case len(req.Data) > longestData:
		return Errorf(BadRequest, "the data of a subscription has at most %d bytes", longestData)
	}
	return nil
}

func goodName(s string) bool {
	return s != "" && len(s) <= longestName && isHost(s)
}
