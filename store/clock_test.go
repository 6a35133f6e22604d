package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// A midnight that comes twice, because the clock was set back, has the use of both.
func TestMidnightTwice(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{HID: 7})
	for _, ns := range []int64{3, 4} {
		s.PutPart(job.Part{JID: job.NewJID(7, 1), At: day0.UnixNano(), Unattributed: ns})
		flush(t, s)
	}
	n := 0
	for p, err := range s.Parts(time.Time{}, time.Time{}) {
		must(t, err)
		if n++; p.Unattributed != 7 {
			t.Errorf("the part is %+v", p)
		}
	}
	if n != 1 {
		t.Errorf("%d parts", n)
	}
}

// What ended before it began, since the clock was set back, is about the time between, and is found by any of it.
func TestMomentAcrossASetClock(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{HID: 7})
	later := day0.Add(2 * time.Hour)
	s.PutMoment(job.Moment{Time: day0, Since: &later, Kind: job.MomentClock, Text: "back"})
	flush(t, s)
	got, err := s.Moments(day0.Add(time.Hour), day0.Add(90*time.Minute))
	must(t, err)
	if len(got) != 1 || !got[0].Time.Equal(later) || got[0].Since == nil || !got[0].Since.Equal(day0) {
		t.Errorf("moments: %+v", got)
	}
}
