package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// rounds is how often ten kills are made. JOBD_FULL=1, which make test-full sets, is for as many as a release wants to know of.
func rounds() int {
	if os.Getenv("JOBD_FULL") == "1" {
		return 20
	}
	return 1
}

const killsOfRound = 10

// TestKilledInStorms kills jobd at any moment of storms of processes and logins, again and again, on the same books. The file is
// consistent each time; in the end every login that was answered is a job, once, and of every process that no gap speaks of
// there is a record, once.
func TestKilledInStorms(t *testing.T) {
	h := plainHost(t)
	h.mayLose = true
	h.start()
	seen := make(map[uint32]bool)
	for range rounds() {
		began := time.Now()
		s := newStorms(t, h)
		for i := range killsOfRound {
			s.logins(2)
			time.Sleep(untilKill(i)) // anything will do: it is the moment that is to be any
			h.stop(unix.SIGKILL)
			h.checkFile()
			h.start()
		}
		s.end()
		books := h.booksSince(began)
		for _, l := range s.ledgers {
			if seen[l.seq] {
				t.Errorf("job %d was given twice", l.seq)
			}
			seen[l.seq] = true
			books.compare(t, l)
		}
		t.Logf("%d kills, %d jobs, %d processes, %d of them in gaps, %d of those not on record",
			killsOfRound, len(s.ledgers), books.processes, books.inGaps, books.unrecorded)
	}
}

// untilKill is short mostly, so that jobd is killed before it has committed what it had to say of the kill before; else long enough
// for something to be on record.
func untilKill(kill int) time.Duration {
	if kill%4 == 3 {
		return 3*time.Second + rand.N(4*time.Second)
	}
	return rand.N(500 * time.Millisecond)
}

// checkFile has the books checked while nobody writes to them.
func (h *host) checkFile() {
	h.t.Helper()
	out, err := exec.Command(built.jobd, "db", "check", "--state-dir", h.stateDir(), "--run-dir", h.runDir()).CombinedOutput()
	if err != nil {
		h.t.Fatalf("after a kill: %v\n%s", err, out)
	}
}

// storms are the logins of the test, each with a ledger of its own.
type storms struct {
	h       *host
	program string
	ledgers []*ledger
}

// ledger is what a login says of itself.
type ledger struct {
	path  string
	cmd   *exec.Cmd
	stdin io.Closer

	seq   uint32
	procs []ledgerLine
}

type ledgerLine struct {
	pid           int32
	before, after int64 // Unix ns
}

// newStorms begins with two that go on.
func newStorms(t *testing.T, h *host) *storms {
	t.Helper()
	s := &storms{h: h, program: filepath.Join(h.dir, "ledger")}
	must(t, cc(s.program, helperFlags, "testdata/ledger.c"))
	s.login(0)
	s.login(0)
	return s
}

// logins adds some that end by themselves.
func (s *storms) logins(n int) {
	for range n {
		s.login(1 + rand.IntN(40))
	}
}

func (s *storms) login(processes int) {
	s.h.t.Helper()
	l := &ledger{path: filepath.Join(s.h.dir, "ledger."+itoa(len(s.ledgers)))}
	l.cmd = exec.Command(s.program, s.h.loginSocket(), l.path, itoa(processes))
	l.cmd.Env = []string{s.h.token}
	var err error
	l.stdin, err = l.cmd.StdinPipe()
	must(s.h.t, err)
	must(s.h.t, l.cmd.Start())
	s.ledgers = append(s.ledgers, l)
}

// end waits for all of them and reads what they say.
func (s *storms) end() {
	t := s.h.t
	t.Helper()
	for _, l := range s.ledgers {
		l.stdin.Close()
		must(t, l.cmd.Wait())
		must(t, l.read())
	}
	until(t, "all jobs have ended", func() bool {
		open, err := s.h.client.List(s.h.soon(), control.Request{})
		return err == nil && len(open) == 0
	})
}

func (l *ledger) read() error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	last := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		last = lines.Text()
		var p ledgerLine
		if _, err := fmt.Sscanf(last, "%d %d %d", &p.pid, &p.before, &p.after); err == nil {
			l.procs = append(l.procs, p)
		} else if seq, ok := strings.CutPrefix(last, "job "); ok {
			fmt.Sscan(seq, &l.seq)
		}
	}
	if last != "end" || l.seq == 0 {
		return fmt.Errorf("%s ends with %q, of job %d", l.path, last, l.seq)
	}
	return nil
}

// books is what jobd has written down of a round.
type books struct {
	jobs    map[uint32][]job.Info
	records map[uint32]map[int32][]int64 // by job and pid: when it ended, Unix ns
	gaps    []job.Moment

	processes, inGaps, unrecorded int
}

func (h *host) booksSince(t time.Time) *books {
	h.t.Helper()
	since := control.Request{Since: t}
	b := &books{jobs: make(map[uint32][]job.Info), records: make(map[uint32]map[int32][]int64)}
	jobs, err := h.client.History(h.soon(), since)
	must(h.t, err)
	for _, in := range jobs {
		b.jobs[in.Seq] = append(b.jobs[in.Seq], in)
	}
	must(h.t, h.client.EachProc(h.soon(), since, func(p job.Process) error {
		if b.records[p.Seq] == nil {
			b.records[p.Seq] = make(map[int32][]int64)
		}
		b.records[p.Seq][p.PID] = append(b.records[p.Seq][p.PID], p.Ended.UnixNano())
		return nil
	}))
	for _, m := range h.moments() {
		if m.Kind == job.MomentGap {
			b.gaps = append(b.gaps, m)
		}
	}
	return b
}

// stampSlack is how far a stamp of the kernel's may be off when it is told in wall time.
const stampSlack = int64(20 * time.Millisecond)

// compare looks for a ledger's job, and for the record of each of its processes.
func (b *books) compare(t *testing.T, l *ledger) {
	t.Helper()
	if len(b.jobs[l.seq]) != 1 {
		t.Errorf("job %d is in the books %d times", l.seq, len(b.jobs[l.seq]))
		return
	}
	in, own := b.jobs[l.seq][0], b.records[l.seq]
	records := 0
	for pid, ends := range own {
		records += len(ends)
		for i, end := range ends {
			for _, other := range ends[:i] {
				if end == other {
					t.Errorf("job %d has two records of process %d", l.seq, pid)
				}
			}
		}
	}
	if in.TotalProcesses < records || in.TotalProcesses > len(l.procs)+1 {
		t.Errorf("job %d is said to have had %d processes, with %d records; it had %d", l.seq, in.TotalProcesses, records, len(l.procs)+1)
	}
	if in.Ended == nil || in.Ended.Before(in.Started) {
		t.Errorf("job %d was there from %v to %v", l.seq, in.Started, in.Ended)
	}
	var missing []ledgerLine
	for _, p := range l.procs {
		if !b.has(p, own[p.pid]) {
			missing = append(missing, p)
		}
	}
	if n := len(missing); n > 0 {
		t.Errorf("%d processes of job %d, from %v to %v, are on no record, and in no gap of\n%s", n, l.seq,
			time.Unix(0, missing[0].before).UTC(), time.Unix(0, missing[n-1].after).UTC(), strings.Join(b.near(missing[0]), "\n"))
	}
}

// has looks for a process among the records of its pid. What is missing has to be in a gap.
func (b *books) has(p ledgerLine, ends []int64) bool {
	b.processes++
	gap := b.inGap(p)
	if gap {
		b.inGaps++
	}
	for _, end := range ends {
		if end >= p.before-stampSlack && end <= p.after+stampSlack {
			return true
		}
	}
	if gap {
		b.unrecorded++
	}
	return gap
}

func (b *books) inGap(p ledgerLine) bool {
	for _, g := range b.gaps {
		if g.Begin().UnixNano() <= p.after+stampSlack && g.Time.UnixNano() >= p.before-stampSlack {
			return true
		}
	}
	return false
}

// near are the gaps before and after a process.
func (b *books) near(p ledgerLine) (out []string) {
	for _, g := range b.gaps {
		if far := g.Time.Sub(time.Unix(0, p.before)).Abs(); far < 5*time.Second {
			out = append(out, fmt.Sprint(g.Begin(), " to ", g.Time, " ", g.Text))
		}
	}
	return out
}
