package job

import "github.com/jobd-project/jobd/job/watch"

// Effect is something that the table asks its owner to do. They are to be carried out in order.
type Effect interface{ effect() }

// Opened says that a job was made: write it down before anybody is answered.
type Opened struct{ Saved Saved }

// Changed says that what is known of an open job has changed: write it down again.
type Changed struct{ Saved Saved }

// EndedJob says that a job's last process has left, and that no record of it is due: close its books. Its figures hold what
// exit records said; the owner may know better ones (the cgroup's).
type EndedJob struct{ Saved Saved }

// Joined says that a process became a member otherwise than by being born into the job.
type Joined struct {
	JID JID
	ID  watch.ID
}

func (Opened) effect()   {}
func (Changed) effect()  {}
func (EndedJob) effect() {}
func (Joined) effect()   {}

// Placement is how the kernel was made to hold a job, or how it was found to: what a witness is asked for later.
type Placement struct {
	Cgroup   string  `json:"cgroup,omitempty"`    // below the v2 mount; empty: none of any use
	Own      bool    `json:"own,omitempty"`       // jobd made it, and it holds this job alone
	Audit    *uint32 `json:"audit,omitempty"`     // audit session id, if it was set when the job was opened
	BaseCPU  *int64  `json:"base_cpu,omitempty"`  // the cgroup's CPU in ns when the job was opened
	POEStart uint64  `json:"poe_start,omitempty"` // clock ticks since boot: with the pid, the POE's identity on file
	Before   Spent   `json:"before,omitzero"`     // what the POE had used by then
	Detached []Known `json:"detached,omitempty"`  // taken out by root: they outrank every witness
}

// Known is a process as a file can hold it.
type Known struct {
	PID   int32  `json:"pid"`
	Start uint64 `json:"start"` // field 22 of /proc/PID/stat, clock ticks since boot
}

// Entrant is a member that was put into its job, and not born there. What is not known of it is zero.
type Entrant struct {
	Known
	Before Spent `json:"before,omitzero"` // what it had used by then: that is not the job's
}

// Saved is an open job as it is kept on disk.
type Saved struct {
	Info
	Placement Placement `json:"placement"`
	Above     []JID     `json:"above,omitempty"`    // the jobs that the parent was made in: it may end before them
	Entrants  []Entrant `json:"entrants,omitempty"` // members, the POE aside: with them a restart knows what no witness tells
	AsOf      int64     `json:"as_of"`              // Unix ns: records of members that ended later are not in the figures
	Uptime    int64     `json:"uptime,omitempty"`   // the same moment by CLOCK_BOOTTIME, ns: of the boot that the job is of
	Parted    int64     `json:"parted,omitempty"`   // ns of CPU that is in Parts already
}
