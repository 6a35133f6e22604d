package e2e

import (
	"bufio"
	"cmp"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// Two jobd with an engine each follow the same processes, and have the same on their books, but for what design.md says.
func TestParity(t *testing.T) {
	sides := []*host{newHost(t, "--engine", "connector", "--cgroup", "off"), newHost(t, "--engine", "bpf", "--cgroup", "off")}
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`echo ready; exec >/dev/null; read go
		/bin/true; (exit 3); sh -c 'kill -9 $$'; nice -n 5 sh -c 'exit 4'
		i=0; while [ $i -lt 60 ]; do sh -c '/bin/true & exit 1' & i=$((i+1)); done; wait
		setsid sh -c '(sleep 0.1; exit 6) & exit 5'
		dd if=/dev/zero of=%[1]s/file bs=64k count=16 conv=fsync 2>/dev/null
		head -c 50000000 /dev/zero | tail -c 50000000 >/dev/null
		%[2]s heirs 5
		exec sleep 0.3`, dir, built.threads))
	in, err := cmd.StdinPipe()
	must(t, err)
	said, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = bufio.NewReader(said).ReadString('\n')
	must(t, err)
	pid := int32(cmd.Process.Pid)
	until(t, "the shell waits", func() bool { return stat(pid)[0] == "S" }) // else it is charged more by who gets it first
	var jobs []job.JID
	for _, h := range sides {
		jid := h.hold()
		if _, err := h.client.Attach(h.soon(), control.Request{Job: ref(jid), PID: pid}); err != nil {
			t.Fatal(err)
		}
		must(t, h.client.Release(h.soon(), ref(jid)))
		jobs = append(jobs, jid)
	}
	_, err = in.Write([]byte("\n"))
	must(t, err)
	must(t, cmd.Wait())
	var ends []job.Info
	var books [][]job.Process
	for i, h := range sides {
		ends = append(ends, h.ended(jobs[i]))
		list, err := h.client.Procs(h.soon(), control.Request{Job: ref(jobs[i])})
		must(t, err)
		slices.SortFunc(list, func(a, b job.Process) int { return cmp.Or(cmp.Compare(a.PID, b.PID), a.Ended.Compare(*b.Ended)) })
		books = append(books, list)
	}
	a, b := ends[0], ends[1]
	if a.TotalProcesses != b.TotalProcesses || *a.ExitStatus != *b.ExitStatus || a.EndReason != b.EndReason || a.Estimated || sides[1].guessed(b) {
		t.Errorf("%d and %d processes, exit status %d and %d, end by %s and %s, estimated %v and %v", a.TotalProcesses, b.TotalProcesses,
			*a.ExitStatus, *b.ExitStatus, a.EndReason, b.EndReason, a.Estimated, b.Estimated)
	}
	if b.CPUSource != job.SourceBPF || *b.CPU < *a.CPU || *b.CPUUnattributed > *b.CPU/100 {
		t.Errorf("CPU %d by %s, %d by %s, of it %d on no record", *a.CPU, a.CPUSource, *b.CPU, b.CPUSource, *b.CPUUnattributed)
	}
	sameProcesses(t, books[0], books[1])
	t.Logf("%d processes; CPU %d and %d ns", b.TotalProcesses, *a.CPU, *b.CPU)
}

func sameProcesses(t *testing.T, a, b []job.Process) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d and %d processes", len(a), len(b))
	}
	for i := range a {
		if x, y := facts(&a[i]), facts(&b[i]); x != y {
			t.Errorf("a record differs:\nconnector %s\nbpf       %s", x, y)
		}
		// The programs see a task start before the connector tells, and end before it does: between the two a task may have to wait for a CPU.
		for _, late := range []time.Duration{a[i].Started.Sub(*b[i].Started), a[i].Ended.Sub(*b[i].Ended)} {
			if late < -50*time.Millisecond || late > 2*time.Second {
				t.Errorf("process %d: the connector has it %v later", a[i].PID, late)
			}
		}
		if *b[i].MaxRSS < *a[i].MaxRSS { // of all its programs, not of the last one
			t.Errorf("process %d (%s): most memory %d and %d", a[i].PID, a[i].Comm, *a[i].MaxRSS, *b[i].MaxRSS)
		}
		if *b[i].CPU < *a[i].CPU && !b[i].Estimated { // else nobody told what it used in the end, see frees
			t.Errorf("process %d (%s): CPU %d and %d", a[i].PID, a[i].Comm, *a[i].CPU, *b[i].CPU)
		}
	}
}

// facts are what is to be the same on both sides. What a process ran may have been read by one only. Taskstats cuts what was read and
// written, and the calls, to multiples of 1024 (kernel/tsacct.c, xacct_add_tsk), each thread's by itself.
func facts(p *job.Process) string {
	cut := func(n *int64) int64 {
		if *p.Threads > 1 {
			return 0
		}
		return *n &^ 1023
	}
	return fmt.Sprintf("%d %s ppid %d uid %d gid %d status %d flags %s nice %d sched %d threads %d execs %d faults %d %d chars %d %d calls %d %d bytes %d %d",
		p.PID, p.Comm, *p.PPID, *p.UID, *p.GID, *p.ExitStatus, strings.Join(p.Flags, "+"), *p.Nice, *p.Sched, *p.Threads, len(p.Execs),
		*p.MinFault, *p.MajFault, cut(p.ReadChars), cut(p.WriteChars), cut(p.ReadCalls), cut(p.WriteCalls), cut(p.ReadBytes), cut(p.WriteBytes))
}
