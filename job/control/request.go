// Package control is the sockets, both ends: the protocols, who may use what, and the Go client. docs/protocol.md is the
// contract. It knows nothing of how a request is carried out: a Backend does that, and package control never touches a
// process, a cgroup or the books.
package control

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jobd-project/jobd/job"
)

// Verb is what a request asks for.
type Verb string

// The verbs of jobd.sock.
const (
	List       Verb = "list"
	Show       Verb = "show"
	PS         Verb = "ps"
	ID         Verb = "id"
	Status     Verb = "status"
	Selfcheck  Verb = "selfcheck"
	Kill       Verb = "kill"
	Wait       Verb = "wait"
	Create     Verb = "create"
	Release    Verb = "release"
	Attach     Verb = "attach"
	Detach     Verb = "detach"
	Move       Verb = "move"
	Adopt      Verb = "adopt"
	Tag        Verb = "tag"
	LimitTo    Verb = "limit"
	Drain      Verb = "drain"
	Resume     Verb = "resume"
	History    Verb = "history"
	Procs      Verb = "procs"
	Report     Verb = "report"
	Moments    Verb = "moments"
	DB         Verb = "db"
	Watch      Verb = "watch"
	Subscribe  Verb = "subscribe"
	Subscribed Verb = "subscribed"
)

// Access says who may use a verb. What of it a caller gets to see is the backend's to decide by the caller's uid.
type Access uint8

// Anyone: everybody who can connect. Owner: whose job it is, root and the admin group. Root: uid 0 of jobd's own user
// namespace, and the admin group. access.go has the rule.
const (
	Anyone Access = iota
	Owner
	Root
)

// JobRef names a job as a person does: "17", "host:17", "0x…", or "self" for the caller's own. Empty is none named.
type JobRef string

// Self is the caller's own job.
const Self JobRef = "self"

// Request is one request of jobd.sock. Which fields count depends on the verb; see docs/protocol.md.
type Request struct {
	Verb Verb   `json:"-"`
	Job  JobRef `json:"job,omitempty"`

	All      bool `json:"all,omitempty"`      // list: the ended ones too
	Unjobbed bool `json:"unjobbed,omitempty"` // ps: users' processes that are in no job
	Related  bool `json:"related,omitempty"`  // show: with what else there is of the same login

	PID         int32  `json:"pid,omitempty"`
	Tree        bool   `json:"tree,omitempty"`         // with what descends from it
	Scope       string `json:"scope,omitempty"`        // adopt: a cgroup
	AllSessions bool   `json:"all_sessions,omitempty"` // adopt: every session older than jobd

	Signal  int           `json:"signal,omitempty"`  // kill: send just this one, once
	Probe   bool          `json:"probe,omitempty"`   // kill: signal 0
	Now     bool          `json:"now,omitempty"`     // kill: KILL at once
	Only    bool          `json:"only,omitempty"`    // not the jobs below it
	Timeout time.Duration `json:"timeout,omitempty"` // wait: give up after this, 0: never; kill: KILL after this, 0: jobd's own

	MaxProcesses *int `json:"max_processes,omitempty"` // limit: nil is none

	Hold bool    `json:"hold,omitempty"` // create: a job that lives while it is empty
	Want JobRef  `json:"want,omitempty"` // create: this JID
	User string  `json:"user,omitempty"` // create: for whom (root only); list, history: whose
	UID  *uint32 `json:"uid,omitempty"`
	// Service is what a job that is created is said to come from; jobctl without it.
	Service string            `json:"service,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`

	// What list, history, procs and report are to be about. What overlaps with the time from Since up to Until counts; a
	// report takes use by when it was used.
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Limit   int       `json:"limit,omitempty"`
	GID     *uint32   `json:"gid,omitempty"`
	Command string    `json:"command,omitempty"` // regular expression (RE2)
	Exe     string    `json:"exe,omitempty"`     // regular expression (RE2)
	RHost   string    `json:"rhost,omitempty"`   // address, network (CIDR) or name
	Tag     []string  `json:"tag,omitempty"`     // key, or key=value; all of them
	MinCPU  int64     `json:"min_cpu,omitempty"` // ns
	MinRSS  int64     `json:"min_rss,omitempty"` // bytes
	MinIO   int64     `json:"min_io,omitempty"`  // bytes read and written
	Exit    string    `json:"exit,omitempty"`    // exit status: 1, or !0 for any but 0
	Sort    string    `json:"sort,omitempty"`    // ended, started, cpu, memory, io, elapsed, processes: largest or newest first

	By          string `json:"by,omitempty"`           // report: user, group, job, command, service, day, hour, tag:KEY
	IncludeOpen bool   `json:"include_open,omitempty"` // report: what lives now, too

	Event  string `json:"event,omitempty"`  // watch, subscribe: only these, with commas between them
	Cursor string `json:"cursor,omitempty"` // watch: go on after this
	Host   bool   `json:"host,omitempty"`   // watch: processes in no job too
	Name   string `json:"name,omitempty"`   // subscribe: what the subscription is called
	Data   string `json:"data,omitempty"`   // subscribe: what is kept with it

	Op string `json:"-"` // db: stats, backup or forget; the route says which
}

// Peer is who is at the other end, by the kernel's word.
type Peer struct {
	PID    int32
	UID    uint32
	GID    uint32
	Groups []uint32
	// Root is uid 0 whose user namespace is ours.
	Root bool
	// Admin is a member of the admin group. On login.sock it is never set.
	Admin bool
	// Payer is whom limits count this under: who logged in (/proc/PID/loginuid), whoever they are by now, because a user may have tens of
	// thousands of uids in a user namespace of their own; else the uid. All that have gone are one.
	Payer uint32
	// Alive reports whether the process that connected still is that process: its pidfd, or its start time, says so.
	Alive func() bool

	unread error // why the user namespace of a uid 0 is not known
}

// Backend carries requests out. Its errors are *Error where it knows what went wrong.
type Backend interface {
	// Login answers login.sock.
	Login(ctx context.Context, peer Peer, req LoginRequest) (LoginAnswer, error)
	// Job answers job.sock. As in Do, Root has been enforced and Owner has not, and the context of what takes long ends when
	// the client has gone.
	Job(ctx context.Context, peer Peer, req JobRequest) (JobAnswer, error)
	// Do answers jobd.sock, with a value that is encoded as JSON: list, history: []job.Info; show, wait, create, tag, limit: job.Info,
	// of show with Related a RelatedAnswer;
	// ps: []job.Process; procs: Processes, or []job.Process; report: report.Report; moments: []job.Moment; db: DBStats, Stream
	// or ForgetAnswer, by Op; watch, subscribe: Lines; subscribed: SubscribedAnswer; release, drain, resume: struct{}{}; the others: the answer type of their name, or ChangeAnswer.
	// access is what the route asks for: Root has been enforced, Owner is the backend's to enforce. The context ends when the
	// client has gone.
	Do(ctx context.Context, peer Peer, access Access, req Request) (any, error)
}

// Processes is a list that may be too long to hold: it yields its elements until there are none or yield says enough. An
// error cuts the answer off.
type Processes func(yield func(job.Process) bool) error

// Stream is an answer of bytes, such as a backup. An error cuts it off.
type Stream func(io.Writer) error

// Lines is an answer that goes on: JSON, an object a line. Each call of write sends whole lines, and waits until the client takes them. It is
// called once, with the request's context, when the client has been told that there will be lines. Nil is the end of them; an error cuts
// the answer off, and so does jobd's own end.
type Lines func(ctx context.Context, write func([]byte) error) error

// SubscribedAnswer is a subscription, as long as its stream goes on.
type SubscribedAnswer struct {
	Name      string    `json:"name"`
	UID       uint32    `json:"uid"` // whose it is
	PID       int32     `json:"pid"` // the process that it began with
	Started   time.Time `json:"started"`
	Processes int       `json:"processes"` // that it is about now
	Data      string    `json:"data"`
}

// DBStats is what the books take.
type DBStats struct {
	Path      string           `json:"path"`
	Bytes     int64            `json:"bytes"`       // of the file
	FreeBytes int64            `json:"free_bytes"`  // of it, to be used again
	Floor     *int64           `json:"floor_bytes"` // bytes free on the file system below which history halts; null: no jobd was asked
	Schema    int              `json:"schema"`
	Created   *time.Time       `json:"created"`
	Jobs      int64            `json:"jobs"`             // ended
	Open      int64            `json:"open"`             // as the file knows it
	Records   int64            `json:"records"`          // of processes
	PerRecord *float64         `json:"bytes_per_record"` // of the blocks that hold them; null: there are none
	Oldest    *time.Time       `json:"oldest"`           // process record
	Days      int              `json:"days"`             // with process records
	Buckets   map[string]int64 `json:"buckets"`          // bytes in use in each
}

// ForgetAnswer says what was taken out of the books.
type ForgetAnswer struct {
	Jobs    int64 `json:"jobs"`    // whose user was taken out
	Records int64 `json:"records"` // process records
	Open    int64 `json:"open"`    // jobs of the user that are open, and left as they are
}

// Code is what kind of error it was, for programs.
type Code string

// The codes, with the exit code that jobctl gives for each and the HTTP status of the answer.
const (
	BadRequest  Code = "bad_request" // 2, 400
	Denied      Code = "denied"      // 1, 403
	NoSuchJob   Code = "no_such_job" // 3, 404
	NoProcess   Code = "no_process"  // 1, 404
	Conflict    Code = "conflict"    // 1, 409
	Timeout     Code = "timeout"     // 1, 408
	Disabled    Code = "disabled"    // 1, 503
	Busy        Code = "busy"        // 1, 429
	Unavailable Code = "unavailable" // 1, 503
	Internal    Code = "internal"    // 1, 500
)

// Error is an answer that says no, and what to do about it.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error gives the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// LoginRequest is a request of login.sock; the fields are the keys of docs/protocol.md.
type LoginRequest struct {
	Verb       string // open or close
	User       string
	UID        uint32
	GID        uint32 // the user's own group …
	HasGID     bool   // … where it was said
	Service    string
	TTY        string
	RHost      string
	RUser      string
	Connection string
	Auth       string
	Nested     bool // a session inside a job is to be a job of its own
}

// LoginAnswer is the answer to open; for close it is empty.
type LoginAnswer struct {
	JID  job.JID
	Mark bool // the session stands in a job that was there
}

// RelatedAnswer is a job with what else there is of the login that it comes from, or of its user.
type RelatedAnswer struct {
	job.Info
	Related Related `json:"related"`
}

// Related is what still runs of a login.
type Related struct {
	Members  []job.Process `json:"members"`  // of the job itself; of one that has ended none
	Jobs     []RelatedJob  `json:"jobs"`     // that are open
	Unjobbed []job.Process `json:"unjobbed"` // the user's, by uid or login uid, in no job
	Hidden   int           `json:"hidden"`   // processes that the caller may not see
}

// RelatedJob is an open job and what it has in common with another.
type RelatedJob struct {
	job.Info
	Why []string `json:"why"` // login_jid, audit_session, login_uid, uid
}

// IDAnswer says which job a process is in.
type IDAnswer struct {
	PID      int32    `json:"pid"`
	JID      *job.JID `json:"jid"` // null: in none
	Seq      *uint32  `json:"seq"`
	LoginJID *job.JID `json:"login_jid"`
}

// KillAnswer says what became of a job that was killed or signalled.
type KillAnswer struct {
	Signalled int        `json:"signalled"` // processes that a signal was sent to
	Ended     int        `json:"ended"`     // of them, gone by now
	Left      []KillLeft `json:"left"`      // still there
	Refused   []KillLeft `json:"refused"`   // that the caller may not signal
	Jobs      []job.JID  `json:"jobs"`      // the jobs it was about
}

// KillLeft is a process that was not killed, and why.
type KillLeft struct {
	PID   int32    `json:"pid"`
	JID   job.JID  `json:"jid"`
	Comm  job.Text `json:"comm"`
	State job.Text `json:"state"`
	Why   job.Text `json:"why"`
}

// StatusAnswer is how jobd is.
type StatusAnswer struct {
	Version        string            `json:"version"`
	Host           string            `json:"host"`
	HID            uint32            `json:"hid"`
	BootID         string            `json:"boot_id"`
	PID            int               `json:"pid"`
	Started        time.Time         `json:"started"`
	Engine         string            `json:"engine"`
	EngineWhy      string            `json:"engine_why"`
	EngineFellBack bool              `json:"engine_fell_back"` // the connector, because bpf was wanted and does not work
	Witnesses      []string          `json:"witnesses"`
	Labels         job.Text          `json:"labels"` // where the kernel keeps them; null: nowhere
	LabelsWhy      job.Text          `json:"labels_why"`
	Cgroup         string            `json:"cgroup"`
	CgroupWhy      job.Text          `json:"cgroup_why"`
	Refusal        string            `json:"refusal"`     // how forks beyond a job's limit are refused: lsm, fmod_ret or kill
	RefusalWhy     job.Text          `json:"refusal_why"` // why not better
	IDsLate        job.Text          `json:"ids_late"`    // why changes of ids are told of with the task's next event; null: at once
	Drained        bool              `json:"drained"`
	Jobs           map[job.State]int `json:"jobs"`
	Members        int               `json:"members"`
	Subscribers    []SubscriberInfo  `json:"subscribers"`
	Streams        int               `json:"streams"` // of events that clients have open
	Events         map[string]uint64 `json:"events"`
	EventsLost     uint64            `json:"events_lost"`
	Unwitnessed    uint64            `json:"unwitnessed"`
	Resyncs        uint64            `json:"resyncs"`
	RecordsMissed  uint64            `json:"records_missed"`
	RecordsDue     int               `json:"records_due"`    // processes that have gone, and of which the kernel has not told yet what they used
	RecordsUntold  uint64            `json:"records_untold"` // processes whose last use the kernel did not tell in time: it is estimated
	Unlabelled     uint64            `json:"unlabelled"`     // processes that may have been without their label in the kernel for a while
	ExecsUnread    uint64            `json:"execs_unread"`   // programs that had gone before anybody could look
	DegradedSince  *time.Time        `json:"degraded_since"`
	DegradedWhy    job.Text          `json:"degraded_why"`
	Balance        job.Balance       `json:"balance"`
	Store          StoreStatus       `json:"store"`
	Confined       []string          `json:"confined"` // what of its rights jobd has given away
	Audit          AuditStatus       `json:"audit"`
	Log            LogStatus         `json:"log"`
	Config         ConfigStatus      `json:"config"`
}

// LogStatus is how jobd's log is.
type LogStatus struct {
	To      string `json:"to"`      // journal or stderr
	Dropped uint64 `json:"dropped"` // lines, because nobody read those before them, or they could not be written
}

// ConfigStatus is which configuration holds.
type ConfigStatus struct {
	File    job.Text  `json:"file"`    // null: there is none, and the defaults hold
	ReadAt  time.Time `json:"read_at"` // just before what holds was read
	Error   job.Text  `json:"error"`   // why what was read since does not hold; null: it does
	Restart []string  `json:"restart"` // keys that were changed since, and hold after a restart
}

// AuditStatus is how the records for the audit daemon are.
type AuditStatus struct {
	On      bool     `json:"on"` // somebody takes them
	Why     job.Text `json:"why"`
	Sent    uint64   `json:"sent"`
	Dropped uint64   `json:"dropped"`
}

// SubscriberInfo is one subscriber of pnotify or one watcher. A watcher has no list of processes: what counts those is null.
type SubscriberInfo struct {
	Name       string   `json:"name"`
	Owner      string   `json:"owner"`
	Kind       string   `json:"kind"`       // watcher or subscriber
	Processes  *int     `json:"processes"`  // that it is subscribed to
	Init       uint64   `json:"init"`       // processes that there were when it registered, and that it was told of
	Subscribed *uint64  `json:"subscribed"` // processes that it was subscribed to one by one
	Attached   *uint64  `json:"attached"`   // children that it kept; init + subscribed + attached = detached + processes
	Detached   *uint64  `json:"detached"`   // processes that are gone, or that it was taken off
	Hears      []string `json:"hears"`      // the events that it is told of
	Errors     *uint64  `json:"errors"`     // what a watcher answered that was an error; a subscriber has no such answer
}

// StoreStatus is how the books are.
type StoreStatus struct {
	Path       string     `json:"path"`
	Bytes      int64      `json:"bytes"`
	Queued     int        `json:"queued"`
	Dropped    uint64     `json:"dropped"`
	Errors     uint64     `json:"errors"`
	LastError  job.Text   `json:"last_error"`
	LastCommit *time.Time `json:"last_commit"`

	HaltedSince *time.Time `json:"halted_since"` // there is no room on the disk; null: history goes on
	SetAside    job.Text   `json:"set_aside"`    // a file that could not be opened when jobd was started, where it is now
}

// SelfcheckAnswer compares the table with the kernel.
type SelfcheckAnswer struct {
	OK          bool        `json:"ok"`
	Balance     job.Balance `json:"balance"`
	Differences []string    `json:"differences"`
}

// ChangeAnswer says which processes a change of membership took in.
type ChangeAnswer struct {
	JID       job.JID `json:"jid"`
	Seq       uint32  `json:"seq"`
	Processes []int32 `json:"processes"`
	Already   []int32 `json:"already"` // of them, those that attach found in the job
}

// AdoptAnswer lists the jobs that were made.
type AdoptAnswer struct {
	Jobs []ChangeAnswer `json:"jobs"`
}
