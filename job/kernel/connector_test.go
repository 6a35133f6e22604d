package kernel

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// integration reports whether what cannot run here is a failure.
func integration() bool { return os.Getenv("JOBD_INTEGRATION") == "1" }

// realEngine opens the connector on the real kernel. It needs root; where it must run, it fails instead of skipping.
func realEngine(t *testing.T, options ...Option) *Connector {
	t.Helper()
	if os.Geteuid() != 0 {
		if integration() {
			t.Fatal("needs root")
		}
		t.Skip("needs root: it listens to the kernel's process events")
	}
	cgroups, err := FindCgroups(Proc, CgroupRead)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenConnector(Proc, cgroups, slog.New(slog.NewTextHandler(os.Stderr, nil)), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// drained is an engine as whoever drains it sees it.
type drained interface {
	Drain(emit Emit) error
	Rest()
	Ready() <-chan time.Time
	Identify(pid int32) (watch.ID, bool)
	Counts() Counts
}

// until drains as events come, and now and then, until enough says so.
func until(t *testing.T, c drained, emit Emit, enough func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if err := c.Drain(emit); err != nil {
			t.Fatal(err)
		}
		if enough() {
			return
		}
		c.Rest()
		select {
		case <-c.Ready():
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("it did not come to pass in 20 s")
		}
	}
}

func ignore(*watch.Event) error { return nil }

// shell starts a shell that does nothing before it is told to: label it first.
func shell(t *testing.T, c drained, script string) (id watch.ID, begin func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	startGroup(t, cmd)
	until(t, c, ignore, func() bool {
		var ok bool
		id, ok = c.Identify(int32(cmd.Process.Pid))
		return ok
	})
	return id, func() {
		if _, err := in.Write([]byte("go\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// startGroup starts a command in a process group of its own, reaps it when it exits, and at the end of the test kills
// what is left of the group.
func startGroup(t *testing.T, cmd *exec.Cmd) (done chan struct{}) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done = make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH: it left nothing behind
		<-done
	})
	return done
}

func TestIntegrationMembersAreFollowedAndAccounted(t *testing.T) {
	c := realEngine(t)
	id, begin := shell(t, c, `i=0; while [ $i -lt 50 ]; do /bin/true; (sleep 0 &); i=$((i+1)); done; exit 3`)
	if err := c.Attach(id, 7, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	begin()
	born, freed, execs := map[watch.ID]bool{id: true}, map[watch.ID]bool{}, 0
	var status int64 = -1
	until(t, c, func(e *watch.Event) error {
		switch {
		case e.Kind == watch.Clone && born[e.Parent] && !e.Thread:
			born[e.Proc] = true
		case e.Kind == watch.Exec && born[e.Proc]:
			execs++
		case e.Kind == watch.Free && born[e.Proc]:
			freed[e.Proc] = true
			if e.Usage == nil || e.Usage.Threads != 1 || !e.Usage.Groups.Has(watch.GroupBasic|watch.GroupCPU) {
				t.Errorf("process %d left without its record: %+v", e.Proc.PID, e.Usage)
			}
			if e.Proc == id {
				status = e.Value
			}
		}
		return nil
	}, func() bool { return freed[id] && len(freed) == len(born) })
	if want := 1 + 50 + 2*50; len(born) != want || execs < 100 || job.ExitStatus(status) != 3 {
		t.Errorf("%d processes of %d, %d execs, exit status %d", len(born), want, execs, job.ExitStatus(status))
	}
	if n := c.Counts(); n.Lost != 0 || n.RecordsMissed != 0 {
		t.Errorf("lost %d events, missed %d records", n.Lost, n.RecordsMissed)
	}
}

// truth is who lives, as /proc says.
func truth(t *testing.T) []int32 {
	t.Helper()
	pids, err := Proc.PIDs()
	if err != nil {
		t.Fatal(err)
	}
	var out []int32
	for _, pid := range pids {
		if st, err := Proc.Stat(pid); err == nil && !st.Dead() {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}

// matches reports whether the engine's table is what /proc says, at a moment when both could be read without a change.
func matches(t *testing.T, c *Connector) func() bool {
	return func() bool {
		before := truth(t)
		if err := c.Drain(ignore); err != nil {
			t.Fatal(err)
		}
		var got []int32
		for id := range c.Existing() {
			got = append(got, id.PID)
		}
		slices.Sort(got)
		return slices.Equal(got, before) && slices.Equal(before, truth(t))
	}
}

// storm forks and exits for as long as the test lives.
func storm(t *testing.T, n int) (wait func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt "+strconv.Itoa(n)+" ]; do (:); (:) & i=$((i+1)); done; wait")
	done := startGroup(t, cmd)
	return func() { <-done }
}

func TestIntegrationNoGapAtTheStart(t *testing.T) {
	if os.Geteuid() == 0 {
		storm(t, 500)
	}
	c := realEngine(t) // its first scan is in the middle of the storm
	until(t, c, ignore, matches(t, c))
}

func TestIntegrationLossIsMadeGood(t *testing.T) {
	c := realEngine(t)
	id, begin := shell(t, c, "(sleep 30 & sleep 30 & wait) & sleep 30 & wait")
	if err := c.Attach(id, 7, readClocks().mono); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(c.events.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // as small as it can be
		t.Fatal(err)
	}
	begin()
	storm(t, 300)() // nobody reads meanwhile
	lost, inferred := int64(0), 0
	until(t, c, func(e *watch.Event) error {
		if e.Kind == watch.Lost {
			lost += e.Value
		}
		if e.Kind == watch.Clone && e.Inferred && !e.Thread {
			inferred++
		}
		return nil
	}, func() bool { return lost > 0 && matches(t, c)() })
	n := c.Counts()
	if n.Resyncs == 0 || int64(n.Lost) < lost || inferred == 0 {
		t.Errorf("counts %+v, %d lost told, %d inferred", n, lost, inferred)
	}
	for _, pid := range c.Children(id) {
		if got := c.Label(pid); got != 7 {
			t.Errorf("process %d below the job has label %d", pid.PID, got)
		}
	}
	if got := len(c.Children(id)); got != 5 {
		t.Errorf("%d processes in the job's tree, want 5", got)
	}
}

// sawItsChildKilled refuses the child of a shell that ends as that does, and looks how it ended.
func sawItsChildKilled(t *testing.T, c drained, id watch.ID) {
	t.Helper()
	status := int64(-1)
	until(t, c, func(e *watch.Event) error {
		if e.Kind == watch.Clone && e.Parent == id && !e.Thread {
			return watch.ErrRefuse
		}
		if e.Kind == watch.Free && e.Proc == id {
			status = e.Value
		}
		return nil
	}, func() bool { return status >= 0 })
	if got := job.ExitStatus(status); got != 137 || c.Counts().Refused != 1 {
		t.Errorf("the shell saw status %d, %d refused; want its child killed", got, c.Counts().Refused)
	}
}

func TestIntegrationRefusedProcessIsKilled(t *testing.T) {
	c := realEngine(t)
	id, begin := shell(t, c, "sleep 60 & wait $!; exit $?")
	begin()
	sawItsChildKilled(t, c, id)
}

func TestIntegrationHandleIsNeverAnothers(t *testing.T) {
	c := realEngine(t)
	id, begin := shell(t, c, "exit 0")
	drain := func() error { return c.Drain(ignore) }
	hs, err := c.Open([]watch.ID{id, {PID: id.PID, Gen: id.Gen + 100}}, drain)
	if err != nil || len(hs) != 1 || hs[0].ID != id {
		t.Fatalf("handles %v, %v: want the one that is alive", hs, err)
	}
	begin()
	until(t, c, ignore, func() bool {
		_, err := Proc.Stat(id.PID) // until it is reaped it takes signals
		return !c.Alive(id) && errors.Is(err, ErrGone)
	})
	if err := hs[0].Signal(9); !errors.Is(err, ErrGone) {
		t.Errorf("signal to a process that has gone: %v", err)
	}
	hs[0].Close()
	if hs, err := c.Open([]watch.ID{id}, drain); err != nil || len(hs) != 0 {
		t.Errorf("handles %v, %v for a process that has gone", hs, err)
	}
}

// A pid that has gone to somebody else since the engine last looked gives no handle.
func TestIntegrationHandleOfAPidUsedAgain(t *testing.T) {
	c := realEngine(t)
	id, begin := shell(t, c, "exit 0")
	begin()
	for _, err := Proc.Stat(id.PID); !errors.Is(err, ErrGone); _, err = Proc.Stat(id.PID) { // the engine does not read on
		time.Sleep(time.Millisecond)
	}
	next := takePID(t, id.PID)
	drained := 0
	hs, err := c.Open([]watch.ID{id}, func() error { drained++; return c.Drain(ignore) })
	if err != nil || len(hs) != 0 || drained == 0 {
		t.Errorf("handles %v, %v, for a process whose pid is another's", hs, err)
	}
	now, ok := c.Identify(id.PID)
	if hs, err := c.Open([]watch.ID{now}, func() error { return c.Drain(ignore) }); !ok || now == id || err != nil || len(hs) != 1 {
		t.Errorf("handles %v, %v, of the next owner %v", hs, err, now)
	}
	if err := next.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the next owner: %v", err)
	}
}

// takePID starts a process that has a certain pid, which is free.
func takePID(t *testing.T, pid int32) *exec.Cmd {
	t.Helper()
	const last = "/proc/sys/kernel/ns_last_pid"
	if _, err := os.Stat(last); err != nil {
		t.Skip("needs CONFIG_CHECKPOINT_RESTORE: " + err.Error())
	}
	for range 1000 {
		if err := os.WriteFile(last, strconv.AppendInt(nil, int64(pid-1), 10), 0); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		if cmd.Process.Pid == int(pid) {
			t.Cleanup(end)
			return cmd
		}
		end()
	}
	t.Skipf("somebody else takes pid %d each time", pid)
	return nil
}

func TestIntegrationCgroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes cgroups")
	}
	cg, err := FindCgroups(Proc, CgroupAuto)
	if err != nil {
		t.Fatal(err)
	}
	if !cg.CanMake() {
		t.Skip("no cgroups can be made here: " + cg.Why)
	}
	c := realEngine(t)
	c.Cgroups = cg
	id, begin := shell(t, c, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 30")
	jid := job.NewJID(uint32(os.Getpid()), uint32(time.Now().UnixNano())|1)
	p, err := c.Place(id.PID, jid)
	if err != nil || !p.Own || !strings.HasPrefix(p.Cgroup, cgroupDir+"/") {
		t.Fatalf("placement %+v, %v", p, err)
	}
	t.Cleanup(func() {
		if err := cg.Kill(p.Cgroup); err != nil {
			t.Error(err)
		}
		until(t, c, ignore, func() bool { return c.Unplace(p) == nil })
	})
	begin()
	until(t, c, ignore, func() bool { cpu, ok := CgroupCPU(cg, p); return ok && cpu.Total > 0 && cpu.User > 0 })
	if err := c.Unplace(p); err == nil {
		t.Error("a cgroup with a process in it was removed")
	}
	if err := c.Leave(id.PID, p); err != nil {
		t.Fatal(err)
	}
	if got, err := Proc.Cgroup(id.PID); err != nil || got != "/" {
		t.Errorf("after it left it is in %q, %v", got, err)
	}
	if err := c.Join(id.PID, p); err != nil {
		t.Fatal(err)
	}
	if got, err := cg.Members(p.Cgroup); err != nil || !slices.Contains(got, id.PID) {
		t.Errorf("after it joined the cgroup has %v, %v", got, err)
	}
	if err := cg.Remove("/"); err == nil {
		t.Error("jobd would remove a cgroup that is not its own")
	}
}
