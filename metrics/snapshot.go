package metrics

import (
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Snapshot is jobd at one moment, for one scrape. It is the collector's own from then on: nothing in it may change
// later. A part that is nil, empty or the zero time is unknown, and its series are left out. Counts are since jobd
// started.
type Snapshot struct {
	Version   string
	Cgroup    string   // the mode in effect: own, read, off
	Witnesses []string // those in use

	Jobs    map[job.State]int // in the table; a state that is not in a map that is there counts 0
	Users   []User
	Balance *job.Balance
	Drained *bool // logins get no new jobs

	Engine    *Engine
	Taskstats *Taskstats // only with an engine that rests on it
	Store     *Store
	Journal   *int64 // size in bytes of the journal of open jobs
	Logins    *Logins
	Requests  []Request
	Sockets   []Socket
	Watching  *Watching
	Audit     *Audit // only where somebody takes the records
}

// User is what one user has open, and has used since there are totals: departed and live, before this jobd was started too. Who was
// in one snapshot is in all later ones.
type User struct {
	Name      string // as it came; it is made fit to print here
	Jobs      int
	Processes int // live

	CPU        *float64 // seconds: the nanoseconds of a large host are more than 64 bits in a year
	ReadBytes  *float64
	WriteBytes *float64
}

// Engine is what produces the events, and how well it hears.
type Engine struct {
	Name          string // connector, bpf
	Events        map[watch.Kind]uint64
	Lost          uint64 // events
	Unwitnessed   uint64 // processes gone before it could be read whose they were
	Resyncs       uint64 // scans of /proc after a loss
	Refused       uint64 // forks
	RecordsMissed uint64 // members gone without a record
	RecordsUntold uint64 // members whose last use is estimated
	RecordsDue    int    // members gone whose last use is still to be told
	ExecsUnread   uint64
	Unlabelled    uint64 // processes
	DegradedSince time.Time
}

// Taskstats is how the kernel's exit records and the exits found each other.
type Taskstats struct {
	Seen      uint64 // records read
	Missed    uint64 // exits of members' threads without a record
	Unmatched uint64 // records whose process nobody knew
}

// Store is the state of the books on disk.
type Store struct {
	Commits     uint64
	Queued      int    // records that wait for a commit
	Dropped     uint64 // records given up because the queue was full
	Errors      uint64
	QueuedJobs  int    // states of jobs that wait
	DroppedJobs uint64 // states of jobs given up
	Commit      *Histogram
	Halted      bool          // there is no room on the disk
	Bytes       *int64        // size of the file
	Free        *int64        // bytes of the file system
	Floor       *int64        // with less than that free history halts
	KeepRecords time.Duration // 0: for ever
	KeepJobs    time.Duration // 0: for ever
	LastCommit  time.Time
}

// Logins is how requests for a job on login.sock were answered.
type Logins struct {
	Answered map[string]uint64 // by kind: new, mark
	Refused  map[string]uint64 // by code
	Latency  *Histogram        // from request to answer, in seconds
}

// Histogram is observations counted in buckets. Counts has one element for each of Bounds, the upper bounds in ascending
// order, and one more for what is above them all; each observation is in one bucket only.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Request is how often a verb of the API had a result.
type Request struct {
	Verb   string // a route of jobd's own table, never what a client sent
	Result string
	Count  uint64
}

// Socket is the state of a socket on which jobd hears the kernel.
type Socket struct {
	Name  string
	Queue *int64 // bytes in the receive queue
	Drops *uint64
}

// Watching is who hears of events as they happen.
type Watching struct {
	Streams       int // of everything, or of jobs
	Subscriptions int // to single processes
}

// Audit is how the records for the audit daemon are.
type Audit struct{ Sent, Dropped uint64 }
