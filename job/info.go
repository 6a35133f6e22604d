package job

import (
	"encoding/json"
	"time"
)

// State is where a job stands in its life.
type State string

// Open: the point of entry lives and its session is open. Lingering: it is gone or its session closed, members are left, or records of them
// are due.
// Ended: the last process has left, the books are closed.
const (
	Open      State = "open"
	Lingering State = "lingering"
	Ended     State = "ended"
)

// Why a job ended.
const (
	EndExit     = "exit"     // the last process left by itself
	EndKilled   = "killed"   // somebody killed the job
	EndBoot     = "boot"     // the host was restarted
	EndDetached = "detached" // the last member was taken out
	EndReleased = "released" // it was held, empty, and let go
	EndLost     = "lost"     // jobd was not there, or deaf, when its last process left
)

// Where a job's CPU figure comes from.
const (
	SourceTaskstats = "taskstats" // what exit records carried: too little for short processes
	SourceCgroup    = "cgroup"    // the job's own cgroup: what the scheduler charged
	SourceBPF       = "bpf"       // what a program in the kernel added up of it
)

// Text is a string that is null in JSON while it is empty, because empty means unknown.
type Text string

// MarshalJSON gives null for the empty text.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	for i := range len(t) {
		if c := t[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return json.Marshal(string(t))
		}
	}
	return append(append(append(make([]byte, 0, len(t)+2), '"'), t...), '"'), nil // as nearly every text is
}

// Mark is a session that was opened inside a job: su, sudo, a second session of one connection.
type Mark struct {
	Service Text      `json:"service"`
	User    Text      `json:"user"`
	UID     *uint32   `json:"uid"`
	PID     int32     `json:"pid"`
	TTY     Text      `json:"tty"`
	Time    time.Time `json:"time"`
	Closed  bool      `json:"closed"`
}

// Info is a job as the API, the store and the metrics see it. Nil and empty mean unknown. Times are wall time, durations
// ns, sizes bytes. The JSON names are the contract of docs/protocol.md.
type Info struct {
	JID    JID    `json:"jid"`
	Seq    uint32 `json:"seq"`
	Host   Text   `json:"host"`
	BootID Text   `json:"boot_id"`

	User    string  `json:"user"`
	UID     uint32  `json:"uid"`
	GID     *uint32 `json:"gid"` // the user's own group
	Service Text    `json:"service"`
	TTY     Text    `json:"tty"`
	RHost   Text    `json:"rhost"`
	RPort   *int    `json:"rport"`
	AuthKey Text    `json:"auth_key"` // SHA256:… of the key that opened the door

	State   State      `json:"state"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended"`
	Held    bool       `json:"held"` // lives while it is empty, until released

	ParentJID     *JID    `json:"parent_jid"`
	LoginJID      *JID    `json:"login_jid"`
	LoginUID      *uint32 `json:"login_uid"`
	AuditSession  *uint32 `json:"audit_session"`
	LogindSession Text    `json:"logind_session"`
	POE           int32   `json:"poe_pid"`
	Command       Text    `json:"command"` // of the first process that ran a program in the job; the POE's own until then
	Marks         []Mark  `json:"marks"`

	Processes      int `json:"processes"`
	PeakProcesses  int `json:"peak_processes"`
	TotalProcesses int `json:"total_processes"`

	MaxProcesses *int `json:"max_processes"` // forks beyond are refused; nil: no limit

	CPU             *int64 `json:"cpu_ns"`
	CPUSource       Text   `json:"cpu_source"`
	CPUUser         *int64 `json:"cpu_user_ns"`
	CPUSystem       *int64 `json:"cpu_system_ns"`
	CPUUnattributed *int64 `json:"cpu_unattributed_ns"`
	MaxRSS          *int64 `json:"max_rss_bytes"`     // of the largest process
	PeakMemory      *int64 `json:"peak_memory_bytes"` // of all together, by the cgroup's memory.peak
	ReadBytes       *int64 `json:"read_bytes"`
	WriteBytes      *int64 `json:"write_bytes"`

	ExitStatus    *int `json:"exit_status"`     // of the last process to leave, as a shell says it
	POEExitStatus *int `json:"poe_exit_status"` // of the point of entry

	// WaitStatus is ExitStatus as wait(2) has it. The books do not keep it: nil of a job that was read from there.
	WaitStatus *int64 `json:"-"`

	EndReason Text              `json:"end_reason"`
	Witness   Text              `json:"witness"`
	Estimated bool              `json:"estimated"`
	Tags      map[string]string `json:"tags"`
}

// Process is a member, or the record of one that has left.
type Process struct {
	JID  JID    `json:"jid"`
	Seq  uint32 `json:"seq"`
	PID  int32  `json:"pid"`
	TGID int32  `json:"tgid"`
	PPID *int32 `json:"ppid"`

	Comm Text    `json:"comm"`
	Exe  Text    `json:"exe"`
	UID  *uint32 `json:"uid"`
	GID  *uint32 `json:"gid"`

	Started *time.Time `json:"started"`
	Ended   *time.Time `json:"ended"`
	Elapsed *int64     `json:"elapsed_ns"`

	CPU        *int64 `json:"cpu_ns"`
	CPUUser    *int64 `json:"cpu_user_ns"`
	CPUSystem  *int64 `json:"cpu_system_ns"`
	MinFault   *int64 `json:"minor_faults"`
	MajFault   *int64 `json:"major_faults"`
	MaxRSS     *int64 `json:"max_rss_bytes"`
	MaxVM      *int64 `json:"max_vm_bytes"`
	CoreMem    *int64 `json:"core_mib_us"`
	VirtMem    *int64 `json:"virtual_mib_us"`
	ReadChars  *int64 `json:"read_chars"`
	WriteChars *int64 `json:"write_chars"`
	ReadCalls  *int64 `json:"read_calls"`
	WriteCalls *int64 `json:"write_calls"`
	ReadBytes  *int64 `json:"read_bytes"`
	WriteBytes *int64 `json:"write_bytes"`
	VolSwitch  *int64 `json:"voluntary_switches"`
	InvSwitch  *int64 `json:"involuntary_switches"`
	CPUDelay   *int64 `json:"cpu_delay_ns"`
	BlkDelay   *int64 `json:"block_delay_ns"`
	SwapDelay  *int64 `json:"swap_delay_ns"`
	Reclaim    *int64 `json:"reclaim_delay_ns"`

	Nice       *int8    `json:"nice"`
	Sched      *uint8   `json:"sched"`
	Threads    *int32   `json:"threads"`
	ExitStatus *int     `json:"exit_status"`
	Flags      []string `json:"flags"`
	State      Text     `json:"state"` // of a live one: the letter of /proc/PID/stat
	Estimated  bool     `json:"estimated"`

	Execs []ExecInfo `json:"execs"` // programs that it ran as a member, the first and the last ones; nil: not known
}

// ExecInfo is a program that a process ran.
type ExecInfo struct {
	Time time.Time `json:"time"`
	Exe  Text      `json:"exe"`
	Argv []string  `json:"argv"` // nil: not kept, or not known
}

// Balance is the proof that no process was counted twice or forgotten: Attached + Inherited + Adopted = Departed + Live.
type Balance struct {
	Attached  uint64 `json:"attached"`  // put in by a request
	Inherited uint64 `json:"inherited"` // born in
	Adopted   uint64 `json:"adopted"`   // found by a witness or a scan
	Departed  uint64 `json:"departed"`  // gone, detached or moved
	Live      uint64 `json:"live"`      // counted from the table, not from the others
}

// Error is how far the sides differ; anything but 0 is a bug.
func (b Balance) Error() int64 {
	return int64(b.Attached+b.Inherited+b.Adopted) - int64(b.Departed+b.Live)
}

// ExitStatus turns a wait status (wait(2)) into what a shell would say: the exit code, or 128 and the signal's number.
func ExitStatus(wait int64) int {
	if sig := int(wait & 0x7f); sig != 0 {
		return 128 + sig
	}
	return int(wait >> 8 & 0xff)
}

// WaitStatusOf turns a shell's exit status back into a wait status. One above 128 and up to the last signal's is that of a
// signal: a program that exits with such a number by itself cannot be told from it.
func WaitStatusOf(exit int) int64 {
	if exit > 128 && exit <= 128+64 {
		return int64(exit - 128)
	}
	return int64(exit&0xff) << 8
}
