package job

import "time"

// MomentKind is what a moment in the books is about.
type MomentKind string

// The kinds. A gap is a time in which something was lost: jobd was down, events or records were dropped, history was
// halted. Whatever is reported about a period with one in it says so.
const (
	MomentBoot     MomentKind = "boot"      // the host was started: the first start of jobd under a new boot id
	MomentStart    MomentKind = "start"     // jobd was started
	MomentStop     MomentKind = "stop"      // jobd was stopped, in order
	MomentConfig   MomentKind = "config"    // what jobd does was configured otherwise
	MomentGap      MomentKind = "gap"       // Since to Time is not whole
	MomentClock    MomentKind = "clock"     // the wall clock was set: Since to Time was skipped, or was there twice
	MomentSetAside MomentKind = "set_aside" // a file that could not be opened was set aside, and a new one begun
	MomentForget   MomentKind = "forget"    // a person was taken out of the books
	MomentDropped  MomentKind = "dropped"   // days beyond the retention were dropped
)

// Moment is a mark of time in the books.
type Moment struct {
	Time    time.Time  `json:"time"`
	Kind    MomentKind `json:"kind"`
	Since   *time.Time `json:"since"` // of a gap, and of a clock that was set: when it began
	BootID  Text       `json:"boot_id"`
	Text    Text       `json:"text"`    // for people: what and why
	Events  *uint64    `json:"events"`  // of a gap: process events lost; null: not known
	Records *uint64    `json:"records"` // of a gap: process records lost; null: not known
}

// Begin is when what the moment is about began.
func (m *Moment) Begin() time.Time {
	if m.Since != nil && m.Doubtful() {
		return *m.Since
	}
	return m.Time
}

// Doubtful reports whether the time from Begin to Time is not whole, or no time as others are: what is said about it has to
// say so.
func (m *Moment) Doubtful() bool { return m.Kind == MomentGap || m.Kind == MomentClock }

// Part is what a job had used by a checkpoint without its being on any process record, since the checkpoint before. With
// the partial process records of the same moment it lets use go by when it was used.
type Part struct {
	JID          JID
	At           int64 // Unix ns
	Unattributed int64 // CPU, ns
}
