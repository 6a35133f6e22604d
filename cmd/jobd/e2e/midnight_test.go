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

// day is a job that used something before midnight, and goes on after it.
type day struct {
	h     *host
	l     *login
	gate  string
	pids  string // of those that stay
	place string
}

// midnightIn starts a jobd with a midnight in some seconds, and a job in which a process has used 800 ms of CPU by then, in a
// thread that is gone. It is over when the midnight is.
func midnightIn(t *testing.T) *day {
	t.Helper()
	h := plainHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	midnight := time.Now().Add(6 * time.Second).Truncate(time.Second)
	h.env = []string{"TZ=" + w.zoneWithMidnight(midnight)}
	h.start()
	d := &day{h: h, gate: filepath.Join(w.dir, "gate"), pids: w.labOut("out")}
	must(t, unix.Mkfifo(d.gate, 0o666))
	must(t, os.Chmod(d.gate, 0o666))
	script := built.lab + " thread-burn 800 & read go <" + d.gate + "; " + built.lab + " burn 800; exec " + built.lab + " stay"
	d.l = w.loginEnv([]string{"LAB_OUT=" + d.pids}, "svc", "alice", nil, "sh", "-c", script)
	pidsIn(t, d.pids, 1)
	d.place = cgroupOf(h.show(d.l.jid).POE)
	if time.Now().After(midnight) {
		t.Skip("this machine is too slow: the first day was over before anything was used")
	}
	until(t, "a checkpoint", func() bool { return time.Now().After(midnight) && len(d.byDay().Lines) > 0 })
	return d
}

func (d *day) byDay() report.Report {
	d.h.t.Helper()
	r, err := d.h.client.Report(d.h.soon(), control.Request{By: "day"})
	must(d.h.t, err)
	return r
}

// What a job used before midnight counts for that day, although it goes on.
func TestMidnight(t *testing.T) {
	d := midnightIn(t)
	// What the login's process used between coming into the job and into the cgroup, ns, is in one of them alone. 2,600 were seen.
	const joining = 50_000
	first, charged := d.byDay(), cgroupCPU(t, d.place)
	if len(first.Lines) != 1 || first.Lines[0].CPU < 700e6 || first.Lines[0].CPU > charged+joining || first.Total.Jobs != 0 {
		t.Fatalf("at midnight the books have %+v, the cgroup %d", first.Lines, charged)
	}
	must(t, os.WriteFile(d.gate, []byte("go\n"), 0))
	for _, pid := range pidsIn(t, d.pids, 2) {
		kill(t, pid)
	}
	in := d.h.ended(d.l.jid)
	d.l.wait()
	after := d.byDay()
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

// A process that was written down at midnight and left while jobd was down is not counted twice.
func TestMidnightAndAnUnseenEnd(t *testing.T) {
	d := midnightIn(t)
	burner := pidsIn(t, d.pids, 1)[0]
	d.h.stop(unix.SIGKILL)
	d.h.mayLose = true
	kill(t, burner)
	d.h.start()
	must(t, os.WriteFile(d.gate, []byte("go\n"), 0))
	kill(t, pidsIn(t, d.pids, 2)[1])
	in := d.h.ended(d.l.jid)
	d.l.wait()
	total := d.byDay().Total
	if off := float64(total.CPU-*in.CPU) / float64(*in.CPU); off < -0.02 || off > 0.02 || !total.Estimated {
		t.Errorf("the report has %+v, the job %d", total, *in.CPU)
	}
}
