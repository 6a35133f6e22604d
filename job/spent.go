package job

import "github.com/jobd-project/jobd/job/watch"

// Spent is what a process had used before it became a member: that is not the job's. CPU is ns as its tasks' exit records
// will count it, User and System ns as /proc counts them, the rest bytes.
type Spent struct {
	CPU        int64 `json:"cpu,omitempty"`
	User       int64 `json:"user,omitempty"`
	System     int64 `json:"system,omitempty"`
	ReadBytes  int64 `json:"read,omitempty"`
	WriteBytes int64 `json:"write,omitempty"`
}

// Off gives what is left of a process's use when what it had used before is taken off. Figures that are rounded
// differently may cross; less than nothing is nothing.
func (s Spent) Off(u *watch.Usage) *watch.Usage {
	if u == nil || s == (Spent{}) {
		return u
	}
	net := *u
	net.CPU = max(u.CPU-s.CPU, 0)
	net.User = max(u.User-s.User, 0)
	net.System = max(u.System-s.System, 0)
	net.ReadBytes = max(u.ReadBytes-s.ReadBytes, 0)
	net.WriteBytes = max(u.WriteBytes-s.WriteBytes, 0)
	return &net
}

// OffLive is Off for what was read of a living process, whose CPU is its user and system time.
func (s Spent) OffLive(u *watch.Usage) *watch.Usage {
	s.CPU = s.User + s.System
	return s.Off(u)
}

// less is what has been spent since before.
func (s Spent) less(before Spent) Spent {
	return Spent{
		CPU: max(s.CPU-before.CPU, 0), User: max(s.User-before.User, 0), System: max(s.System-before.System, 0),
		ReadBytes: max(s.ReadBytes-before.ReadBytes, 0), WriteBytes: max(s.WriteBytes-before.WriteBytes, 0),
	}
}
