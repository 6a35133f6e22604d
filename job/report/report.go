package report

import (
	"time"

	"github.com/jobd-project/jobd/job"
)

// Line is what was used under one key. Durations are ns, sizes bytes. Nil: not known.
type Line struct {
	Key string   `json:"key"` // user, command, day …; of the line of what did not fit, "other"
	UID *uint32  `json:"uid"` // by user
	GID *uint32  `json:"gid"` // by group
	JID *job.JID `json:"jid"` // by job

	Jobs      int64 `json:"jobs"`      // that ended in the period
	Processes int64 `json:"processes"` // that ended in the period
	Wall      int64 `json:"wall_ns"`   // of processes, added up

	CPU             int64 `json:"cpu_ns"` // with what is on no record
	CPUUser         int64 `json:"cpu_user_ns"`
	CPUSystem       int64 `json:"cpu_system_ns"`
	CPUUnattributed int64 `json:"cpu_unattributed_ns"` // the part of CPU that is on no process record
	MaxRSS          int64 `json:"max_rss_bytes"`       // the largest process
	CoreMem         int64 `json:"core_mib_us"`
	ReadBytes       int64 `json:"read_bytes"`
	WriteBytes      int64 `json:"write_bytes"`

	Units     *float64 `json:"units"` // billing units; nil: no weights are configured
	Estimated bool     `json:"estimated"`
}

// Report is what was used in a period.
type Report struct {
	By          string       `json:"by"`
	From        *time.Time   `json:"from"`
	To          *time.Time   `json:"to"`
	Lines       []Line       `json:"lines"` // the most CPU first; by day and hour: the earliest first
	Other       *Line        `json:"other"` // what is beyond the limit, added up; nil: nothing is
	Total       Line         `json:"total"`
	Gaps        []job.Moment `json:"gaps"`         // in the period
	KeptSince   *time.Time   `json:"kept_since"`   // process records from before are not kept; nil: all are
	IncludeOpen bool         `json:"include_open"` // what lived when it was made is in it
}
