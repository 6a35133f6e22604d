package kernel

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// TestLabelsDecide: what a child has inherited in the kernel goes before all that else speaks for it.
func TestLabelsDecide(t *testing.T) {
	for _, c := range []struct {
		name      string
		parent    int32
		testimony *testimony
		label     Label
		inherits  int32
		out       bool
	}{
		{"the daemon's own child", 5, &testimony{}, 0, 5, false},
		{"CLONE_PARENT by a login", 5, &testimony{label: label.Label{In: 7}}, 7, 10, false},
		{"by an orphan", 1, &testimony{label: label.Label{In: 8}}, 8, 20, false},
		{"against a cgroup", 5, &testimony{label: label.Label{In: 8}, cgroup: "/jobd/7"}, 8, 20, false},
		{"of a job that has ended", 5, &testimony{label: label.Label{In: 9}, cgroup: "/jobd/7"}, 7, 10, false},
		{"without one, but in a cgroup", 5, &testimony{cgroup: "/jobd/7"}, 7, 10, false},
		{"by one that was taken out, in a cgroup", 5, &testimony{label: label.Label{Out: 7}, cgroup: "/jobd/7"}, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCourt(t)
			k.login(10, 7, job.Placement{Cgroup: "/jobd/7"})
			k.login(20, 8, job.Placement{})
			k.c.bench.trust(true)
			p, inherits := k.fork(c.parent, c.testimony)
			if p.label != c.label || inherits != c.inherits || p.out != c.out || p.undecided {
				t.Errorf("label %d from %d, out %v, undecided %v; want %d from %d", p.label, inherits, p.out, p.undecided, c.label, c.inherits)
			}
			if p.out && p.kernelLabel() != c.testimony.label {
				t.Errorf("%+v in the kernel", p.kernelLabel())
			}
		})
	}
}

// TestLabelsUnderDoubt: while somebody may lack a label, who has none can be anybody's.
func TestLabelsUnderDoubt(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{})
	k.c.bench.trust(false)
	if p, _ := k.fork(5, &testimony{}); !p.undecided {
		t.Error("a child without a label was taken for nobody's")
	}
	if p, _ := k.fork(5, &testimony{label: label.Label{In: 7}}); p.label != 7 {
		t.Errorf("a child with a label has %d", p.label)
	}
}

// TestLabelsOfTheDetached: a child that bears the name of root's own process, which was taken out of a job, is a member if a member made
// it, whatever else speaks for it.
func TestLabelsOfTheDetached(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{})
	d, _ := k.fork(10, nil)
	d.setLabel(0, -1)
	d.out = true
	k.c.lin.bound(7, []watch.ID{d.id})
	k.c.bench.trust(true)
	if p, _ := k.fork(d.id.PID, &testimony{label: label.Label{Out: 7}}); p.label != 0 || !p.out {
		t.Errorf("its own child: label %d, out %v", p.label, p.out)
	}
	if p, _ := k.fork(d.id.PID, &testimony{label: label.Label{In: 7}}); p.label != 7 || p.out {
		t.Errorf("a member's: label %d, out %v", p.label, p.out)
	}
}

// TestUnsettled: who could not be asked is asked again, a few times, for as long as it lives and nobody knows more.
func TestUnsettled(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{})
	lives, _ := k.fork(5, nil)
	known, _ := k.fork(5, nil)
	gone, _ := k.fork(5, nil)
	id := lives.id
	if got := k.c.SettleLate(); len(got) != 3 || !k.c.Unsettled() {
		t.Errorf("%v are to be asked", got)
	}
	known.setLabel(7, 0)
	k.c.lin.remove(gone)
	for range unsettledAsk - 1 {
		if got := k.c.SettleLate(); !slices.Equal(got, []watch.ID{id}) {
			t.Errorf("%v are to be asked, want %v", got, id)
		}
	}
	if got := k.c.SettleLate(); len(got) != 0 || k.c.Unsettled() {
		t.Errorf("%v are still to be asked", got)
	}
}

// realLabels keeps labels in the kernel, for the test only.
func realLabels(t *testing.T) *label.Labels {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() {
		if err := label.Unload(dir); err != nil {
			t.Error(err)
		}
	})
	l, err := label.Open(dir, 1)
	if err != nil {
		if integration() {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestIntegrationLabels: with labels in the kernel as the only witness, a process that was put into a job in the middle of forking
// from eight threads has all in there that it makes from then on, in its parent's name too, and after the engine was gone.
func TestIntegrationLabels(t *testing.T) {
	kept := realLabels(t)
	open := func() *Connector {
		c, err := OpenConnector(Proc, &Cgroups{}, slog.New(slog.NewTextHandler(os.Stderr, nil)), KeepLabels(kept))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c := open()
	bin := filepath.Join(t.TempDir(), "forks")
	if out, err := exec.Command("cc", "-O1", "-pthread", "-o", bin, "../label/testdata/forks.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(bin)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startGroup(t, cmd)
	lines := bufio.NewScanner(out)
	next := func() int32 {
		if !lines.Scan() {
			t.Fatal("it says nothing more", lines.Err())
		}
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		return int32(pid)
	}
	tell := func() {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
	}
	next()
	poe := int32(cmd.Process.Pid)
	until(t, c, ignore, func() bool { _, ok := c.Identify(poe); return ok })
	id, _ := c.Identify(poe)
	c.Testify(7, job.Placement{}, nil)
	if err := c.Attach(id, 7, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	tell()
	members := []int32{poe}
	for range 8 {
		members = append(members, next())
	}
	isMember := func(c *Connector, pid int32) bool {
		id, ok := c.Identify(pid)
		return ok && c.Label(id) == 7
	}
	until(t, c, ignore, func() bool {
		return !slices.ContainsFunc(members, func(pid int32) bool { return !isMember(c, pid) })
	})
	tell() // nobody drains the first engine any more
	sibling := next()
	t.Cleanup(func() { _ = unix.Kill(int(sibling), unix.SIGKILL) })
	members = append(members, sibling)
	c = open()
	found, err := c.Recover([]job.Saved{{Info: job.Info{JID: 7, POE: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range members {
		if !isMember(c, pid) {
			t.Errorf("process %d is no member after a restart", pid)
		}
	}
	if n := len(found[7].Members); n != len(members) {
		t.Errorf("%d members, want %d", n, len(members))
	}
	until(t, c, ignore, func() bool { return !c.labels.wrong })
	tell()
	for _, pid := range members {
		if says := c.Differs(pid); says != "" {
			t.Error(says)
		}
	}
	if n := c.Counts(); n.Unwitnessed > 0 {
		t.Errorf("%d unwitnessed", n.Unwitnessed)
	}
}

// TestIntegrationForkedMeanwhile: what a process forks until a label that it lacked is made good gets that, too.
func TestIntegrationForkedMeanwhile(t *testing.T) {
	c, err := OpenConnector(Proc, &Cgroups{}, slog.New(slog.NewTextHandler(os.Stderr, nil)), KeepLabels(realLabels(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	const forks = 300
	id, begin := shell(t, c, "i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; wait")
	c.Testify(7, job.Placement{}, nil)
	if err := c.Attach(id, 7, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	until(t, c, ignore, func() bool { return !c.labels.wrong })
	begin()
	for len(c.Children(id)) < forks-20 {
		if _, err := c.labels.kept.Set(id.PID, label.Label{}, func() bool { return true }); err != nil {
			t.Fatal(err)
		}
		c.doubtLabels()
		c.labels.looked = time.Time{}
		if err := c.Drain(ignore); err != nil || c.labels.wrong {
			t.Fatalf("it is not made good: %v", err)
		}
		n := len(c.Children(id))
		until(t, c, ignore, func() bool { return len(c.Children(id)) > min(n+1, forks) })
		for _, child := range c.Children(id) {
			if says := c.Differs(child.PID); says != "" || c.Label(child) != 7 {
				t.Fatalf("process %d is in %d: %s", child.PID, c.Label(child), says)
			}
		}
	}
}
