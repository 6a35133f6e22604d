package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// A storm of short processes is counted to the process, and its job's CPU is what the scheduler charged: what the kernel's
// exit records leave out is said, and is as much as somebody else finds who listens to them.
func TestStormsAreCounted(t *testing.T) {
	const forkers, each = 2, 12_000
	for _, tt := range []struct {
		name    string
		program bool
	}{{"fork and exit", false}, {"vfork, exec and exit", true}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			w := h.newWorld(map[string]string{"svc": plainStack})
			storm, tiny := w.stormPrograms()
			args := []string{storm, itoa(forkers), itoa(each)}
			if tt.program {
				args = append(args, tiny)
			}
			other := listen(t)
			out := w.labOut("out")
			l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, args...)
			last := pidsIn(t, out, 1)[0]
			place := cgroupOf(last)
			charged := cgroupCPU(t, place) // all but one wait, or have gone
			near(t, "cpu_ns of the open job", *h.show(l.jid).CPU, charged, 0.01)
			kill(t, last)
			l.wait()
			in := h.ended(l.jid)
			near(t, "cpu_ns", *in.CPU, charged, 0.01)
			sum := other.heard(t, 1+forkers+forkers*each, filepath.Base(storm), filepath.Base(tiny))
			const own = 2 // the login and the storm itself
			if h.kept() {
				near(t, "the CPU of all records", *in.CPU-*in.CPUUnattributed, charged, 0.005)
			} else {
				near(t, "cpu_unattributed_ns, by another listener,", *in.CPUUnattributed, charged-sum, 0.02)
			}
			if in.TotalProcesses != own+forkers+forkers*each || h.guessed(in) || in.CPUSource != h.measures() {
				t.Errorf("%d processes, want %d; estimated %v, cpu from %q", in.TotalProcesses, own+forkers+forkers*each, in.Estimated, in.CPUSource)
			}
			h.checkSum(t, in)
			t.Logf("the scheduler charged %.3f s; jobd %.3f s, of it %.3f s on no record; exit records %.3f s", seconds(charged),
				seconds(*in.CPU), seconds(*in.CPUUnattributed), seconds(sum))
		})
	}
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

func near(t *testing.T, what string, got, want int64, most float64) {
	t.Helper()
	if off := float64(got-want) / float64(want); off < -most || off > most {
		t.Errorf("%s is %d, want %d: %+.2f %%", what, got, want, 100*off)
	}
}

// stormPrograms builds testdata/storm.c, and what its children run, under names that nobody else's processes have.
func (w *world) stormPrograms() (storm, tiny string) {
	w.h.t.Helper()
	storm, tiny = filepath.Join(w.dir, fmt.Sprint("storm", os.Getpid())), filepath.Join(w.dir, fmt.Sprint("tiny", os.Getpid()))
	must(w.h.t, cc(storm, helperFlags, "testdata/storm.c"))
	must(w.h.t, cc(tiny, helperFlags, "-static", "-nostdlib", "testdata/tiny.c"))
	return storm, tiny
}

// checkSum: the records are all there, and add up to the job's figures exactly.
func (h *host) checkSum(t *testing.T, in job.Info) {
	t.Helper()
	records, err := h.client.Procs(h.soon(), control.Request{Job: ref(in.JID)})
	if err != nil || len(records) != in.TotalProcesses {
		t.Fatalf("%d records of %d processes, %v", len(records), in.TotalProcesses, err)
	}
	sum := *in.CPUUnattributed
	for _, r := range records {
		if r.CPU == nil || *r.CPU < 0 || r.Estimated && !in.Estimated || r.ExitStatus == nil {
			t.Fatalf("a record is %+v", r)
		}
		sum += *r.CPU
	}
	if *in.CPUUnattributed < 0 || sum != *in.CPU {
		t.Errorf("cpu_unattributed_ns is %d, and with the records' cpu_ns %d; the job's cpu_ns is %d", *in.CPUUnattributed, sum, *in.CPU)
	}
}
