package kernel

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// court is an engine without a kernel: the login daemon (5) below init (1), two logins (10 in job 7, 20 in job 8), and
// what the children that are forked testify.
type court struct {
	c    *Connector
	next int32
}

func newCourt(t *testing.T) *court {
	c := &Connector{engine: engine{lin: newLineage(), bench: newBench(), Cgroups: &Cgroups{Mount: "/none"}, Log: slog.New(slog.DiscardHandler)}}
	c.sentinel = &sentinel{src: &source{fd: -1}, heard: make(map[messageKey]testimony)}
	c.FS = FS(t.TempDir())
	for _, f := range [][2]int32{{0, 1}, {1, 5}, {5, 10}, {5, 20}} {
		c.lin.fork(f[0], f[1], 0, 0)
	}
	return &court{c: c, next: 100}
}

// login gives a process a label, with a placement as witness.
func (k *court) login(pid int32, label Label, p job.Placement) {
	k.c.bench.call(label, p)
	k.c.lin.of(pid).setLabel(label, -1)
	k.c.lin.bound(label, []watch.ID{k.c.lin.of(5).id, k.c.lin.of(1).id})
}

// fork has parent named as the parent of a child that testifies to t; nil: it is gone before it is asked.
func (k *court) fork(parent int32, t *testimony) (child *proc, inherits int32) {
	k.next++
	if t != nil {
		k.c.sentinel.heard[messageKey{k.next, 1}] = *t
	}
	k.c.fork(&procEvent{a: parent, b: parent, c: k.next, d: k.next, time: 1}, func(e *watch.Event) error {
		inherits = e.Parent.PID
		return nil
	})
	return k.c.lin.of(k.next), inherits
}

func TestAmbiguousForks(t *testing.T) {
	seven, eight := job.Placement{Cgroup: "/jobd/7"}, job.Placement{Cgroup: "/jobd/8"}
	in := func(place string) *testimony { return &testimony{cgroup: place} }
	for _, c := range []struct {
		name      string
		eight     job.Placement
		parent    int32
		testimony *testimony
		label     Label
		inherits  int32
		undecided bool
	}{
		{"the daemon's own child", eight, 5, in("/"), 0, 5, false},
		{"CLONE_PARENT by a login", eight, 5, in("/jobd/7"), 7, 10, false},
		{"CLONE_PARENT by the other", eight, 5, in("/jobd/8"), 8, 20, false},
		{"CLONE_PARENT by an orphan", eight, 1, in("/jobd/7"), 7, 10, false},
		{"gone before it was asked", eight, 5, nil, 0, 0, true},
		{"a login's child is asked nothing", eight, 10, nil, 7, 10, false},
		{"a job without a witness is beside", job.Placement{}, 5, in("/"), 0, 0, true},
		{"and its child can be anybody's", job.Placement{}, 5, in("/elsewhere"), 0, 0, true},
		{"but not of one that has a witness", job.Placement{}, 5, in("/jobd/7"), 7, 10, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCourt(t)
			k.login(10, 7, seven)
			k.login(20, 8, c.eight)
			p, inherits := k.fork(c.parent, c.testimony)
			if p.label != c.label || inherits != c.inherits || p.undecided != c.undecided {
				t.Errorf("label %d from %d, undecided %v; want %d from %d, %v", p.label, inherits, p.undecided, c.label, c.inherits, c.undecided)
			}
		})
	}
}

// TestNestedJobsShareTheirSession: who has an audit session that nested jobs share is in the oldest of them, unless more is
// known; a cgroup that several share may be a stranger's as well.
func TestNestedJobsShareTheirSession(t *testing.T) {
	one, two := uint32(1), uint32(2)
	nested := func() *court {
		k := newCourt(t)
		k.login(10, 7, job.Placement{Cgroup: "/s", Audit: &one})
		inner, _ := k.fork(10, nil)
		k.login(inner.id.PID, 8, job.Placement{Cgroup: "/s", Audit: &one})
		k.c.lin.bound(8, []watch.ID{k.c.lin.of(10).id})
		return k
	}
	k := nested()
	if p, inherits := k.fork(1, &testimony{cgroup: "/s", audit: &one}); p.label != 7 || inherits != 10 {
		t.Errorf("an orphan's child has label %d from %d, want the outer job's", p.label, inherits)
	}
	if p, _ := k.fork(10, &testimony{cgroup: "/s", audit: &one}); p.label != 7 || k.c.counts.Unwitnessed != 1 {
		t.Errorf("the outer job's child, or the inner one's, has label %d, %d unwitnessed", p.label, k.c.counts.Unwitnessed)
	}
	lost, _ := k.fork(1, nil)
	if p, _ := k.fork(lost.id.PID, &testimony{cgroup: "/s", audit: &one}); p.label != 7 {
		t.Errorf("the child of one that was gone first has label %d", p.label)
	}
	k.c.FS = fakeProc(t, map[string]string{
		"200/stat": statLine(200, "orphan", "S", 1, 1, 50), "200/sessionid": "1", "200/cgroup": "0::/s\n",
	})
	heard, ok := k.c.hear(200, startedAt(50))
	if label := k.c.whose(seen{Stat: Stat{PID: 200, PPID: 1, Start: 50}}, heard, ok); label != 7 {
		t.Errorf("an orphan that was there before jobd has label %d", label)
	}
	for _, stranger := range []*testimony{{cgroup: "/s"}, {cgroup: "/s", audit: &two}} {
		if p, _ := k.fork(1, stranger); p.label != 0 {
			t.Errorf("a stranger has label %d", p.label)
		}
	}
}

// TestChildrenOfTheUndecidedAreAsked: what could not be settled is handed on, until somebody can be asked.
func TestChildrenOfTheUndecidedAreAsked(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{Cgroup: "/jobd/7"})
	lost, _ := k.fork(5, nil)
	child, _ := k.fork(lost.id.PID, nil)
	if !child.undecided || k.c.counts.Unwitnessed != 2 {
		t.Errorf("undecided %v, %d unwitnessed", child.undecided, k.c.counts.Unwitnessed)
	}
	if p, inherits := k.fork(child.id.PID, &testimony{cgroup: "/jobd/7"}); p.label != 7 || inherits != 10 {
		t.Errorf("its child has label %d from %d", p.label, inherits)
	}
	if p, _ := k.fork(child.id.PID, &testimony{cgroup: "/"}); p.label != 0 || p.undecided {
		t.Errorf("its other child has label %d, undecided %v", p.label, p.undecided)
	}
}

// TestDetachedIsOutForGood: what was detached still carries its audit session, and so do its children.
func TestDetachedIsOutForGood(t *testing.T) {
	one := uint32(1)
	k := newCourt(t)
	k.login(10, 7, job.Placement{Cgroup: "/jobd/7", Audit: &one})
	d, _ := k.fork(10, nil)
	d.setLabel(0, -1)
	d.out = true
	k.c.lin.bound(7, []watch.ID{k.c.lin.of(10).id, d.id})
	if p, inherits := k.fork(d.id.PID, &testimony{cgroup: "/", audit: &one}); p.label != 0 || inherits != d.id.PID {
		t.Errorf("its child has label %d from %d", p.label, inherits)
	}
	if p, _ := k.fork(d.id.PID, &testimony{cgroup: "/jobd/7", audit: &one}); p.label != 7 || p.out {
		t.Errorf("a member's child that names it has label %d, out %v", p.label, p.out)
	}
	if p, _ := k.fork(10, &testimony{cgroup: "/jobd/7", audit: &one}); p.label != 7 {
		t.Errorf("the login's own child has label %d", p.label)
	}
}

// TestPutInAgainstItsWitness: what was put into a job by somebody's word may carry the marks of another, or none; so do its
// children, and they are that job's all the same.
func TestPutInAgainstItsWitness(t *testing.T) {
	one, two := uint32(1), uint32(2)
	for _, c := range []struct {
		name string
		has  *uint32
	}{{"another's", &one}, {"nobody's", nil}} {
		k := newCourt(t)
		k.c.Cgroups.Mount = ""
		k.login(10, 7, job.Placement{Audit: &one})
		k.login(20, 8, job.Placement{Audit: &two})
		p, _ := k.fork(10, nil)
		p.label = 0
		stays, _ := k.fork(p.id.PID, nil)
		k.shows(t, p.id.PID, 10, "0::/", c.has)
		k.shows(t, stays.id.PID, p.id.PID, "0::/", c.has)
		_ = k.c.Attach(p.id, 8, -1) // there is no kernel to be told of marks
		if !k.c.lin.ambiguous(p) || stays.label != 0 {
			t.Fatalf("%s: labels don't meet at the process", c.name)
		}
		if child, inherits := k.fork(p.id.PID, &testimony{audit: c.has}); child.label != 8 || inherits != p.id.PID {
			t.Errorf("%s: its child has label %d from %d", c.name, child.label, inherits)
		}
		if k.c.contradicts(p, testimony{audit: c.has}) {
			t.Errorf("%s: selfcheck takes it for a difference", c.name)
		}
		_ = k.c.Forget(7)
		if child, _ := k.fork(p.id.PID, &testimony{audit: c.has}); child.label != 8 {
			t.Errorf("%s: when the other job has ended its child has label %d", c.name, child.label)
		}
	}
}

// shows makes a process in /proc.
func (k *court) shows(t *testing.T, pid, ppid int32, cgroup string, session *uint32) {
	t.Helper()
	text := "4294967295"
	if session != nil {
		text = fmt.Sprint(*session)
	}
	dir := filepath.Join(string(k.c.FS), fmt.Sprint(pid))
	stat := fmt.Sprintf("%d (x) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0", pid, ppid) + strings.Repeat(" 0", 30)
	status, _ := os.ReadFile(filepath.Join(dir, "status")) // from runs
	uids := string(status) + fmt.Sprintf("PPid:\t%d\n", ppid)
	for name, content := range map[string]string{"status": uids, "stat": stat, "cgroup": cgroup + "\n", "sessionid": text, "schedstat": "1 1 1\n"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSessionOfOneThatHasExited: a process that nobody has waited for yet is no stranger in the session of a login below it.
func TestSessionOfOneThatHasExited(t *testing.T) {
	one := uint32(1)
	for state, want := range map[string]*uint32{"Z": &one, "S": nil} {
		k := newCourt(t)
		k.shows(t, 1, 0, "/", nil)
		k.shows(t, 10, 1, "/", &one) // it was 5 that forked it
		k.shows(t, 40, 1, "/", &one)
		stat := statLine(40, "x", state, 1, 1, 0)
		if err := os.WriteFile(filepath.Join(string(k.c.FS), "40", "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := k.c.OwnSession(10); (got == nil) != (want == nil) {
			t.Errorf("beside a process in state %s: %v, want %v", state, got, want)
		}
	}
}

// TestMadeInTheNameOfRoots: root's own process was taken out of a job, and a child of it that is still in there makes others in its
// name. Who was gone before anybody looked is nobody's, and its children are looked at.
func TestMadeInTheNameOfRoots(t *testing.T) {
	k := newCourt(t)
	k.login(20, 7, job.Placement{Cgroup: "/jobd/7"})
	root := k.c.lin.of(5)
	root.out, root.prev = true, 7
	k.runs(t, "self", 0)
	k.runs(t, "5", 0)
	none := &testimony{cgroup: "/"}
	of := func(parent int32, uids ...int) *proc { // no uid: it is gone
		for _, uid := range uids {
			k.runs(t, fmt.Sprint(k.next+1), uid)
			k.shows(t, k.next+1, parent, "/", nil)
		}
		p, _ := k.fork(parent, none)
		return p
	}
	if p := of(5, 0); p.label != 0 || !p.out || k.c.counts.Unwitnessed != 0 {
		t.Errorf("root's own: %+v", p)
	}
	if p := of(5, 1000); p.label != 7 || p.out {
		t.Errorf("a member's: %+v", p)
	}
	for _, lost := range []*proc{of(5), of(of(5).id.PID)} {
		if lost.label != 0 || !lost.out {
			t.Errorf("one that is gone: %+v", lost)
		}
		if p := of(lost.id.PID, 0); p.label != 0 || !p.out {
			t.Errorf("root's own, of one that is gone: %+v", p)
		}
		if p := of(lost.id.PID, 1000); p.label != 7 || p.out {
			t.Errorf("a member's, of one that is gone: %+v", p)
		}
	}
	if k.c.counts.Unwitnessed != 3 {
		t.Errorf("%d unwitnessed", k.c.counts.Unwitnessed)
	}
}

// TestFoundInTheNameOfRoots: the same for those whose forks were lost, or were before jobd.
func TestFoundInTheNameOfRoots(t *testing.T) {
	for uid, want := range map[int]Label{0: 0, 1000: 7} {
		k := newCourt(t)
		k.login(20, 7, job.Placement{Cgroup: "/jobd/7"})
		root := k.c.lin.of(5)
		root.out, root.prev, root.roots = true, 7, true
		k.runs(t, "self", 0)
		for _, pid := range []int32{50, 51} {
			k.runs(t, fmt.Sprint(pid), uid)
			k.shows(t, pid, 5, "/", nil)
		}
		k.c.welcome(seen{Stat: Stat{PID: 50, PPID: 5}}, ignore)
		if p := k.c.lin.of(50); p.label != want || p.out != (want == 0) {
			t.Errorf("uid %d, after a loss: %+v", uid, p)
		}
		p := k.c.found(seen{Stat: Stat{PID: 51, PPID: 5}})
		if out := k.c.isOut(p, root, 0, false); p.label != want || out != (want == 0) {
			t.Errorf("uid %d, after a restart: %+v", uid, p)
		}
	}
}

// TestWorkersOfRootsOutsideTheCgroup: where the job has a cgroup of its own, that says who is in it, whatever uid a worker of
// root's has.
func TestWorkersOfRootsOutsideTheCgroup(t *testing.T) {
	k := newCourt(t)
	k.login(20, 7, job.Placement{Cgroup: "/jobd/7", Own: true})
	root := k.c.lin.of(5)
	root.out, root.prev, root.roots = true, 7, true
	k.runs(t, "self", 0)
	k.runs(t, fmt.Sprint(k.next+1), 33)
	if p, _ := k.fork(5, &testimony{cgroup: "/"}); p.label != 0 || !p.out {
		t.Errorf("a worker: %+v", p)
	}
	if p, _ := k.fork(5, &testimony{cgroup: "/jobd/7"}); p.label != 7 || p.out {
		t.Errorf("a member's: %+v", p)
	}
}

// TestForkedBeforeTakenOut: what was forked before its parent was taken out is a member, whenever that is read.
func TestForkedBeforeTakenOut(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{Cgroup: "/jobd/7"})
	k.c.lin.of(20).setLabel(7, -1)
	p := k.c.lin.of(10)
	p.setLabel(0, 100) // forks are stamped 1
	p.out = true
	if child, _ := k.fork(10, &testimony{cgroup: "/jobd/7"}); child.label != 7 || child.out {
		t.Errorf("%+v", child)
	}
}

// TestMadeInTheNameOfOneThatHasGone: root's own process may be reaped before the queue is read.
func TestMadeInTheNameOfOneThatHasGone(t *testing.T) {
	k := newCourt(t)
	k.login(20, 7, job.Placement{Cgroup: "/jobd/7"})
	root := k.c.lin.of(5) // nothing of it is in /proc
	root.out, root.prev, root.roots = true, 7, true
	k.runs(t, "self", 0)
	k.runs(t, fmt.Sprint(k.next+1), 1000)
	k.shows(t, k.next+1, 1, "/", nil)
	if p, _ := k.fork(5, &testimony{cgroup: "/"}); p.label != 7 || p.out {
		t.Errorf("%+v", p)
	}
}

// runs shows a process with a uid, in jobd's own user namespace.
func (k *court) runs(t *testing.T, pid string, uid int) {
	t.Helper()
	dir := filepath.Join(string(k.c.FS), pid)
	status := fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", uid, uid, uid, uid)
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "ns"), 0o755), os.Symlink("user:[1]", filepath.Join(dir, "ns", "user")),
		os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o644))
	if err != nil {
		t.Fatal(err)
	}
}

// TestForksFromBeforeAnAttach: what was forked before its parent was given a label goes by the label before.
func TestForksFromBeforeAnAttach(t *testing.T) {
	k := newCourt(t)
	k.login(10, 7, job.Placement{Cgroup: "/jobd/7"})
	p := k.c.lin.of(20)
	p.setLabel(8, 100) // forks are stamped 1
	if child, inherits := k.fork(20, nil); child.label != 0 || inherits != 0 {
		t.Errorf("before an attach: label %d from %d", child.label, inherits)
	}
	if !k.c.lin.ambiguous(p) {
		t.Error("a parent with a child of another label is not ambiguous")
	}
	q := k.c.lin.of(10)
	other, _ := k.fork(10, nil)
	q.setLabel(0, 100)
	if child, inherits := k.fork(10, nil); child.label != 7 || inherits != other.id.PID {
		t.Errorf("before a detach: label %d from %d, want 7 from %d", child.label, inherits, other.id.PID)
	}
}

// TestForksFoundByAScanFirst: the scan at the start is faster than the queue.
func TestForksFoundByAScanFirst(t *testing.T) {
	k := newCourt(t)
	k.c.scanned = 1_000
	p := k.c.lin.add(50, 0)
	p.scanned = true
	calls := 0
	count := func(*watch.Event) error { calls++; return nil }
	ev := procEvent{a: 5, b: 5, c: 50, d: 50, time: 900}
	k.c.fork(&ev, count)
	if calls != 0 || k.c.lin.of(50) != p {
		t.Errorf("%d events for a process that the scan had found", calls)
	}
	// Its pid's owner before it, whose whole life is in the queue.
	p.scanned, p.start = true, 500
	ev.time = 300
	k.c.fork(&ev, count)
	if k.c.foundSince(50, 400) != older || calls != 0 || k.c.lin.of(50) != p {
		t.Errorf("%d events for the owner before", calls)
	}
	if k.c.foundSince(50, 600) != itself || k.c.foundSince(50, 2_000) != unknown {
		t.Error("events from after its start are its own, those from after the scan are to be looked at")
	}
	ev.time = 2_000 // the pid's next owner, born after the scan
	k.c.fork(&ev, count)
	if calls != 1 || k.c.lin.of(50) == p {
		t.Errorf("%d events for the pid's next owner", calls)
	}
}

// TestAcknowledgementsAreNoGap: each LISTEN anywhere on the host is acknowledged to every listener, and the
// acknowledgement takes a sequence number of its CPU.
func TestAcknowledgementsAreNoGap(t *testing.T) {
	c := newCourt(t).c
	datagram := func(name string, seq byte) []byte {
		b := slices.Clone(datagrams(t, "connector.hex")[name])
		copy(b[nlHeader+8:], []byte{seq, 0, 0, 0})
		copy(b[offCPU:], []byte{3, 0, 0, 0})
		return b
	}
	for seq, name := range []string{"uid", "ack", "gid", "ack", "ack", "uid"} {
		c.take(datagram(name, byte(seq)), func(*watch.Event) error { return nil })
	}
	if c.lost || c.gaps.lost != 0 {
		t.Errorf("%d events taken for lost", c.gaps.lost)
	}
	c.take(datagram("gid", 7), func(*watch.Event) error { return nil })
	if !c.lost || c.gaps.lost != 1 {
		t.Errorf("%d events lost, want 1", c.gaps.lost)
	}
}

func ExampleLogindSession() {
	fmt.Println(LogindSession("/user.slice/user-1000.slice/session-3.scope"))
	// Output: 3
}

// TestClaims: who is in somebody else's cgroup may have been put there by root; with the job's audit session, or in jobd's own
// cgroup, it was born into the job.
func TestClaims(t *testing.T) {
	one, two := uint32(1), uint32(2)
	b := newBench()
	b.call(7, job.Placement{Cgroup: "/jobd/7", Own: true})
	b.call(8, job.Placement{Cgroup: "/scope", Audit: &one})
	b.call(9, job.Placement{Cgroup: "/other"})
	for _, c := range []struct {
		says testimony
		want Label
	}{
		{testimony{cgroup: "/jobd/7"}, 7},
		{testimony{cgroup: "/jobd/7", audit: &two}, 7},
		{testimony{cgroup: "/scope", audit: &one}, 8},
		{testimony{cgroup: "/elsewhere", audit: &one}, 8},
		{testimony{cgroup: "/scope", audit: &two}, 0},
		{testimony{cgroup: "/scope"}, 0},
		{testimony{cgroup: "/other", audit: &two}, 0},
		{testimony{}, 0},
	} {
		if got := b.claim(c.says); got != c.want {
			t.Errorf("%+v claims %d, want %d", c.says, got, c.want)
		}
	}
}

// TestSharedSession: a session that another job's processes have too speaks for nobody, whether or not it is that job's witness.
func TestSharedSession(t *testing.T) {
	one := uint32(1)
	b := newBench()
	b.call(7, job.Placement{Audit: &one})
	b.share(7, one)
	if got := b.judge(testimony{audit: &one}); got != 7 {
		t.Errorf("alone it speaks for %d", got)
	}
	b.call(8, job.Placement{})
	b.share(8, one)
	if got := b.judge(testimony{audit: &one}); got != 0 || b.heeds(8, one) {
		t.Errorf("shared it speaks for %d", got)
	}
	if got := b.verdict(testimony{audit: &one}, 0); got != 7 {
		t.Errorf("where nothing else is known it is %d's", got)
	}
	b.dismiss(7)
	if got := b.judge(testimony{audit: &one}); got != 0 {
		t.Errorf("when its job has ended it speaks for %d", got)
	}
}
