package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/report"
)

// zoneWithMidnight makes a time zone (tzfile(5)) in which a new day begins at t.
func (w *world) zoneWithMidnight(t time.Time) (path string) {
	const day = 24 * 60 * 60
	east := int32(day - t.Unix()%day)
	if east > day/2 {
		east -= day
	}
	b := append([]byte("TZif"), make([]byte, 16)...)
	for _, count := range []uint32{0, 0, 0, 0, 1, 4} { // one type of local time, four bytes of names
		b = binary.BigEndian.AppendUint32(b, count)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(east))
	b = append(b, 0, 0) // no summer time, the first name
	return w.write("zone", string(append(b, "LAB\x00"...)), 0o644)
}

// What a job used before midnight counts for that day, although it goes on.
func TestMidnight(t *testing.T) {
	h := plainHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	midnight := time.Now().Add(6 * time.Second).Truncate(time.Second)
	h.env = []string{"TZ=" + w.zoneWithMidnight(midnight)}
	h.start()
	out := w.labOut("out")
	burn, gate := built.lab+" burn 800", filepath.Join(w.dir, "gate")
	must(t, unix.Mkfifo(gate, 0o666))
	must(t, os.Chmod(gate, 0o666))
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, "sh", "-c", burn+"; read go <"+gate+"; "+burn+"; exec "+built.lab+" stay")
	place := ""
	until(t, "the first burning", func() bool {
		place = cgroupOf(h.show(l.jid).POE)
		return cgroupCPU(t, place) > 800e6
	})
	if time.Now().After(midnight) {
		t.Skip("this machine is too slow: the first day was over before anything was used")
	}
	byDay := func(open bool) report.Report {
		r, err := h.client.Report(h.soon(), control.Request{By: "day", IncludeOpen: open})
		must(t, err)
		return r
	}
	until(t, "a checkpoint", func() bool { // of the shell, which has been there for some seconds
		return time.Now().After(midnight) && byDay(false).Total.Wall > int64(3*time.Second)
	})
	first := byDay(false)
	charged := cgroupCPU(t, place)
	if len(first.Lines) != 1 || first.Lines[0].CPU < 700e6 || first.Lines[0].CPU > charged || first.Total.Jobs != 0 {
		t.Fatalf("at midnight the books have %+v, the cgroup %d", first.Lines, charged)
	}
	must(t, os.WriteFile(gate, []byte("go\n"), 0))
	kill(t, pidsIn(t, out, 1)[0])
	in := h.ended(l.jid)
	l.wait()
	after := byDay(false)
	if len(after.Lines) != 2 || after.Lines[0].Key >= after.Lines[1].Key {
		t.Fatalf("days: %+v", after.Lines)
	}
	if after.Lines[0].CPU != first.Lines[0].CPU {
		t.Errorf("the first day had %d, and has %d later", first.Lines[0].CPU, after.Lines[0].CPU)
	}
	if after.Lines[1].CPU < 700e6 || after.Total.CPU != *in.CPU || after.Total.Jobs != 1 {
		t.Errorf("the second day has %+v, all %+v, the job %d", after.Lines[1], after.Total, *in.CPU)
	}
}
