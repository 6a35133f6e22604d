package kernel

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// bpfHost is where the kernel tells of those that are in a job, for the test only.
type bpfHost struct {
	t    *testing.T
	dir  string
	room uint32
	kept *label.Labels
}

func newBPFHost(t *testing.T) *bpfHost { return newSmallBPFHost(t, label.Room) }

// newSmallBPFHost makes one with room for so many bytes of events.
func newSmallBPFHost(t *testing.T, room uint32) *bpfHost {
	t.Helper()
	h := &bpfHost{t: t, dir: filepath.Join(t.TempDir(), "bpf"), room: room}
	t.Cleanup(func() {
		if h.kept != nil {
			h.kept.Close()
		}
		if err := label.Unload(h.dir); err != nil {
			t.Error(err)
		}
	})
	if err := h.follow(); err != nil {
		if integration() {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return h
}

func (h *bpfHost) follow() (err error) {
	h.kept, err = label.FollowIn(h.dir, 1, h.room)
	return err
}

// again is what happens to the labels when jobd is started anew.
func (h *bpfHost) again() {
	h.t.Helper()
	h.kept.Close()
	if err := h.follow(); err != nil {
		h.t.Fatal(err)
	}
}

// open opens an engine. Job 7 is open.
func (h *bpfHost) open(options ...Option) (c *BPF, end func()) {
	h.t.Helper()
	c, err := OpenBPF(Proc, &Cgroups{}, slog.New(slog.NewTextHandler(os.Stderr, nil)), h.kept, options...)
	if err != nil {
		h.t.Fatal(err)
	}
	c.Testify(7, job.Placement{}, nil)
	if err := c.events.Account(7); err != nil {
		h.t.Fatal(err)
	}
	open := true
	end = func() {
		if open {
			open = false
			c.Close()
		}
	}
	h.t.Cleanup(end)
	return c, end
}

func (h *bpfHost) engine(options ...Option) *BPF {
	h.t.Helper()
	c, _ := h.open(options...)
	return c
}

// attach puts a process into job 7.
func (c *BPF) attach7(t *testing.T, id watch.ID) {
	t.Helper()
	if err := c.Attach(id, 7, readClocks().mono); err != nil {
		t.Fatal(err)
	}
}

// helper is a program that does what it is told, line by line, and says numbers.
type helper struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func newHelper(t *testing.T, source string, args ...string) *helper {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "helper")
	if out, err := exec.Command("cc", "-O1", "-pthread", "-o", bin, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h := &helper{t: t, cmd: exec.Command(bin, args...)}
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.in, h.out = in, bufio.NewScanner(out)
	startGroup(t, h.cmd)
	return h
}

func (h *helper) pid() int32 { return int32(h.cmd.Process.Pid) }

func (h *helper) tell() {
	h.t.Helper()
	if _, err := io.WriteString(h.in, "\n"); err != nil {
		h.t.Fatal(err)
	}
}

func (h *helper) next() int64 {
	h.t.Helper()
	if !h.out.Scan() {
		h.t.Fatal("it says nothing more", h.out.Err())
	}
	n, err := strconv.ParseInt(h.out.Text(), 10, 64)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// joins puts a helper into job 7.
func (h *helper) joins(c *BPF) watch.ID {
	h.t.Helper()
	id := met(h.t, &c.engine, h.pid())
	c.attach7(h.t, id)
	return id
}

// agrees reports whether the table is what the kernel has.
func agrees(t *testing.T, c *BPF) func() bool {
	return func() bool {
		s, err := c.Survey()
		if err != nil {
			t.Fatal(err)
		}
		return len(c.Suspects(s)) == 0
	}
}

// life is what was emitted of a process.
type life struct {
	parent                  watch.ID
	births, frees, uses     int
	threads, status, charge int64
	guessed, inferred       bool
}

// lives gathers them.
type lives map[watch.ID]*life

func (l lives) emit(e *watch.Event) error {
	p := l[e.Proc]
	if p == nil {
		p = new(life)
		l[e.Proc] = p
	}
	switch {
	case e.Kind == watch.Clone && !e.Thread:
		p.parent = e.Parent
		p.births++
	case e.Kind == watch.Free:
		p.frees++
		p.status = int64(job.ExitStatus(e.Value))
	case e.Kind == watch.Used:
		p.uses++
		p.threads, p.charge = int64(e.Usage.Threads), e.Usage.CPU
	}
	p.guessed = p.guessed || e.Inferred && e.Kind == watch.Used
	p.inferred = p.inferred || e.Inferred && (e.Kind == watch.Clone || e.Kind == watch.Free)
	return nil
}

// estimated counts those of which the kernel did not tell that they were gone. Where a hypervisor's guest keeps programs from running in the
// context of its own tasks, as one of the machines that this was written on does, that happens to one in a thousand.
func (l lives) estimated(t *testing.T) (n int) {
	for _, p := range l {
		if p.guessed {
			n++
		}
	}
	if n > 0 {
		t.Logf("of %d of %d processes it was not told that they were gone", n, len(l))
	}
	return n
}

// ended counts those of which all has been told.
func (l lives) ended() (n int) {
	for _, p := range l {
		n += p.uses
	}
	return n
}

// lone is job 7 as it is on file, with a POE that has gone.
func lone() []job.Saved { return []job.Saved{{Info: job.Info{JID: 7, POE: 1}}} }
