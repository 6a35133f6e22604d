package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// cgroupCPU is what the scheduler charged to a cgroup, in ns.
func cgroupCPU(t *testing.T, place string) int64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(cgroupMount(t), place, "cpu.stat"))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			must(t, err)
			return n * 1000
		}
	}
	t.Fatal("cpu.stat has no usage_usec")
	return 0
}

// A job's CPU is what the scheduler charged, while it runs and at the end.
func TestCPU(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, "sh", "-c", built.lab+" burn 1000; exec "+built.lab+" stay")
	until(t, "some CPU of a hog that runs", func() bool {
		in := h.show(l.jid)
		return in.CPU != nil && *in.CPU > 0 && in.State == job.Open
	})
	if b, _ := os.ReadFile(out); len(b) != 0 {
		t.Error("the hog had ended by then")
	}
	pid := pidsIn(t, out, 1)[0]
	place := cgroupOf(pid)
	if !strings.HasPrefix(place, "/jobd/") {
		t.Fatalf("the job is in cgroup %q", place)
	}
	checkCPU(t, h.show(l.jid), cgroupCPU(t, place), job.SourceCgroup)
	charged := cgroupCPU(t, place)
	kill(t, pid)
	in := h.ended(l.jid)
	checkCPU(t, in, charged, h.measures())
	if in.Estimated {
		t.Error("the figures are marked as estimated")
	}
	l.wait()
}

func checkCPU(t *testing.T, in job.Info, charged int64, source job.Text) {
	t.Helper()
	if in.CPU == nil || in.CPUSource != source {
		t.Fatalf("cpu %v from %q", in.CPU, in.CPUSource)
	}
	if off := float64(*in.CPU-charged) / float64(charged); off < -0.05 || off > 0.05 || charged < 950e6 {
		t.Errorf("cpu %d, the cgroup was charged %d (%+.1f %%)", *in.CPU, charged, 100*off)
	}
}

// Every process of a storm is counted, and what their records don't hold is said, not hidden.
func TestStorm(t *testing.T) {
	const forks = 5000
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	l := w.login("svc", "alice", nil, built.lab, "storm", strconv.Itoa(forks))
	if code := l.wait(); code != 0 {
		t.Fatalf("the storm ended with %d", code)
	}
	in := h.ended(l.jid)
	if in.TotalProcesses != forks+2 {
		t.Errorf("%d processes, want %d", in.TotalProcesses, forks+2)
	}
	records, err := h.client.Procs(h.soon(), control.Request{Job: ref(l.jid)})
	if err != nil || len(records) != forks+2 {
		t.Errorf("%d records, %v", len(records), err)
	}
	sum, guessed := int64(0), uint64(0)
	for _, r := range records {
		if r.CPU == nil || r.ExitStatus == nil {
			t.Fatalf("a record is %+v", r)
		}
		if r.Estimated {
			guessed++
		}
		sum += *r.CPU
	}
	if guessed > h.withheld() {
		t.Errorf("%d records are estimated, and %d ends were withheld", guessed, h.withheld())
	}
	if in.CPU == nil || *in.CPU < sum || in.CPUUnattributed == nil || *in.CPUUnattributed < 0 || *in.CPUUnattributed != *in.CPU-sum {
		t.Errorf("cpu %v, the records' sum %d, unattributed %v", in.CPU, sum, in.CPUUnattributed)
	}
}

// A busy host is no reason for selfcheck to raise a false alarm.
func TestSelfcheckUnderLoad(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	for range 3 {
		w.login("svc", "alice", nil, built.lab, "storm", "4000")
	}
	for busy := true; busy; {
		sc, err := h.client.Selfcheck(h.soon())
		if err != nil || !sc.OK {
			t.Errorf("selfcheck: %v, %v", sc.Differences, err)
			return
		}
		jobs, err := h.client.List(h.soon(), control.Request{})
		must(t, err)
		busy = len(jobs) > 0
	}
}

// Where other threads than the first call exec, every thread has its record still.
func TestHeirs(t *testing.T) {
	const times = 1000
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	var logins []*login
	for range 4 { // several at once, since it takes a race
		logins = append(logins, w.login("svc", "alice", nil, built.threads, "heirs", strconv.Itoa(times)))
	}
	for _, l := range logins {
		if code := l.wait(); code != 0 {
			t.Errorf("it ended with %d", code)
		}
		if in := h.ended(l.jid); in.TotalProcesses != 2 {
			t.Errorf("%d processes", in.TotalProcesses)
		}
	}
	if st, err := h.client.Status(h.soon()); err != nil || st.RecordsMissed != 0 {
		t.Errorf("%d records are missed, %v", st.RecordsMissed, err)
	}
}
