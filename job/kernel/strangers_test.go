package kernel

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/watch"
)

// partialEngine is one that nobody tells of anything.
func partialEngine(fs FS) *engine {
	return &engine{
		FS: fs, Cgroups: &Cgroups{}, Log: slog.New(slog.DiscardHandler), self: int32(os.Getpid()),
		lin: newLineage(), bench: newBench(), partial: true,
	}
}

// comes makes a process in /proc, in the place of one that had its pid.
func comes(t *testing.T, fs FS, pid, ppid int, state string, start int) {
	t.Helper()
	dir := filepath.Join(string(fs), fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"stat": statLine(pid, "x", state, ppid, 1, start), "status": fmt.Sprintf("Tgid:\t%d\nPPid:\t%d\nState:\t%s\nThreads:\t1\n", pid, ppid, state),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func goes(t *testing.T, fs FS, pid int) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(string(fs), fmt.Sprint(pid))); err != nil {
		t.Fatal(err)
	}
}

// met identifies a process that is there.
func met(t *testing.T, c *engine, pid int32) watch.ID {
	t.Helper()
	id, ok := c.Identify(pid)
	if !ok || id.PID != pid || !c.Alive(id) {
		t.Fatalf("process %d is %v, known %v, alive %v", pid, id, ok, c.Alive(id))
	}
	return id
}

// TestStranger: a stranger is who has the pid in /proc, for as long as that is the same.
func TestStranger(t *testing.T) {
	c := partialEngine(FS(t.TempDir()))
	if _, ok := c.Identify(10); ok {
		t.Error("nobody is known")
	}
	comes(t, c.FS, 10, 1, "S", 500)
	first := met(t, c, 10)
	if again := met(t, c, 10); again != first || c.Label(first) != 0 {
		t.Errorf("asked again it is %v, was %v", again, first)
	}
	comes(t, c.FS, 10, 1, "S", 501) // a tick later: with one of the table's own it could be a difference of clocks
	if c.Alive(first) {
		t.Error("another has its pid, and it is alive")
	}
	if err := c.attach(first, 7, 0); err == nil {
		t.Error("another has its pid, and is given its label")
	}
	if next := met(t, c, 10); next == first || len(c.lin.ghosts) != 0 || c.lin.strangers != 1 {
		t.Errorf("the next is %v, the one before was %v, %d ghosts, %d strangers", next, first, len(c.lin.ghosts), c.lin.strangers)
	}
	comes(t, c.FS, 10, 1, "Z", 501)
	if id, ok := c.Identify(10); ok || c.lin.strangers != 0 {
		t.Errorf("a zombie is %v", id)
	}
	goes(t, c.FS, 10)
	if id, ok := c.Identify(10); ok {
		t.Errorf("who has gone is %v", id)
	}
}

// TestStrangerOfUnknownStart: one that was in the middle of an exec has the start that it is found with afterwards.
func TestStrangerOfUnknownStart(t *testing.T) {
	c := partialEngine(FS(t.TempDir()))
	comes(t, c.FS, 10, 1, "S", 500)
	id := c.lin.addStranger(10, 0).id
	if again := met(t, c, 10); again != id {
		t.Errorf("it is %v, was %v", again, id)
	}
	comes(t, c.FS, 10, 1, "S", 600)
	if c.Alive(id) {
		t.Error("it is alive when another has its pid")
	}
}

// TestStrangerIsFollowed: one that is given a label is told of from then on, and /proc is not asked.
func TestStrangerIsFollowed(t *testing.T) {
	c := partialEngine(FS(t.TempDir()))
	comes(t, c.FS, 10, 1, "S", 500)
	id := met(t, c, 10)
	if err := c.attach(id, 7, 0); err != nil {
		t.Fatal(err)
	}
	goes(t, c.FS, 10)
	if again := met(t, c, 10); again != id || c.Label(id) != 7 || c.lin.strangers != 0 {
		t.Errorf("it is %v, was %v, in %d; %d strangers", again, id, c.Label(id), c.lin.strangers)
	}
	c.lin.remove(c.lin.of(10))
	if _, ok := c.Identify(10); ok || c.lin.strangers != 0 {
		t.Errorf("it has gone, and is known; %d strangers", c.lin.strangers)
	}
}

// TestForkTakesTheNumberOfAStranger: a member's child has the pid of a stranger of whose end nobody told.
func TestForkTakesTheNumberOfAStranger(t *testing.T) {
	c := partialEngine(FS(t.TempDir()))
	for _, pid := range []int{10, 20} {
		comes(t, c.FS, pid, 1, "S", 500)
		met(t, c, int32(pid))
	}
	if err := c.attach(met(t, c, 10), 7, 0); err != nil {
		t.Fatal(err)
	}
	child, _ := c.lin.fork(10, 20, 0, 1)
	if id := met(t, c, 20); id != child.id || c.Label(id) != 7 || len(c.lin.ghosts) != 0 || c.lin.strangers != 0 {
		t.Errorf("it is %v, should be %v, in %d; %d ghosts, %d strangers", id, child.id, c.Label(id), len(c.lin.ghosts), c.lin.strangers)
	}
}

// TestFamilyOfStrangers: children are those of /proc, and those that members forked; a zombie is nobody's.
func TestFamilyOfStrangers(t *testing.T) {
	c := partialEngine(FS(t.TempDir()))
	comes(t, c.FS, 1, 0, "S", 0)
	comes(t, c.FS, 10, 1, "S", 500)
	comes(t, c.FS, 11, 10, "S", 501)
	comes(t, c.FS, 12, 11, "S", 502)
	comes(t, c.FS, 13, 11, "Z", 502)
	comes(t, c.FS, 20, 1, "S", 503)
	comes(t, c.FS, 14, 1, "S", 504) // 12 forked it, which is not its parent any more
	if err := c.attach(met(t, c, 12), 7, 0); err != nil {
		t.Fatal(err)
	}
	c.lin.fork(12, 14, 504*nsPerTick, 1)
	for pid, want := range map[int32][]int32{10: {10, 11, 12, 14}, 12: {12, 14}, 20: {20}, 1: {1, 10, 11, 12, 14, 20}} {
		got := pids(c.Children(met(t, c, pid)))
		if got[0] != pid || !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("below %d are %v, want %v", pid, got, want)
		}
	}
	if got := pids(slices.Collect(c.Existing())); !slices.Equal(slices.Sorted(slices.Values(got)), []int32{1, 10, 11, 12, 14, 20}) {
		t.Errorf("there are %v", got)
	}
	old := met(t, c, 10)
	comes(t, c.FS, 10, 1, "S", 600)
	if got := c.Children(old); !slices.Equal(got, []watch.ID{old}) {
		t.Errorf("below one that has gone are %v", got)
	}
}

// TestStrangersAreForgotten: those that have gone do not add up, and who stays is who they were.
func TestStrangersAreForgotten(t *testing.T) {
	c := partialEngine(FS(t.TempDir()))
	comes(t, c.FS, 1, 0, "S", 1)
	stays := met(t, c, 1)
	for pid := 100; pid < 1000; pid++ {
		comes(t, c.FS, pid, 1, "S", pid)
		met(t, c, int32(pid))
		goes(t, c.FS, pid)
		if n := c.lin.live.Len(); n > strangersLeast || n != c.lin.strangers {
			t.Fatalf("%d processes are known, %d strangers", n, c.lin.strangers)
		}
	}
	if now := met(t, c, 1); now != stays {
		t.Errorf("who stays is %v, was %v", now, stays)
	}
	for pid := 100; pid < 500; pid++ { // who stays is known, however many they are
		comes(t, c.FS, pid, 1, "S", pid)
		met(t, c, int32(pid))
	}
	if n := c.lin.strangers; n < 401 || n > 401+strangersLeast {
		t.Errorf("%d strangers, want 401", n)
	}
}

// TestIntegrationStrangers: on the real kernel an engine that hears of nothing knows who is there, and who has gone.
func TestIntegrationStrangers(t *testing.T) {
	c := partialEngine(Proc)
	cmd := exec.Command("sh", "-c", "sleep 60 & sleep 60 & wait")
	done := startGroup(t, cmd)
	id := met(t, c, int32(cmd.Process.Pid))
	for len(c.Children(id)) < 3 {
		if !c.Alive(id) {
			t.Fatal("it has gone")
		}
	}
	family := c.Children(id)
	if above := c.Children(met(t, c, c.self)); family[0] != id || len(family) != 3 || !slices.Contains(above, family[1]) {
		t.Errorf("below the shell are %v, below this test %v", family, above)
	}
	if all := slices.Collect(c.Existing()); !slices.Contains(all, id) || !slices.Contains(pids(all), 1) {
		t.Errorf("%v is not among %d", id, len(all))
	}
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-done
	if now, ok := c.Identify(id.PID); c.Alive(id) || ok && now == id {
		t.Errorf("it has gone, and is %v", now)
	}
}

// TestIntegrationPIDOfAStranger: who has a stranger's pid next is not taken for it.
func TestIntegrationPIDOfAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it chooses a pid")
	}
	c := partialEngine(Proc)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := met(t, c, int32(cmd.Process.Pid))
	time.Sleep(2 * time.Second / ticksPerSecond) // starts are told apart by the tick
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
	takePID(t, id.PID)
	if next := met(t, c, id.PID); next == id || c.Alive(id) {
		t.Errorf("the next owner of its pid is %v, it was %v, alive %v", next, id, c.Alive(id))
	}
}
