package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// host is a jobd with directories of its own, and what a test does with it.
type host struct {
	t       *testing.T
	dir     string
	metrics string   // host:port
	args    []string // beside the directories
	env     []string // of jobd, beside the test's own
	token   string   // in the environment of what the test starts
	labels  string   // where the kernel keeps them; "": nowhere
	mayLose bool     // events may be lost, and jobd's log may have errors

	holder  *holder  // nil: nobody holds jobd's sockets
	program string   // jobd's; "": the one that is tested
	stderr  *os.File // jobd's; nil: log

	cmd    *exec.Cmd
	exited chan error
	log    *journal
	frees  *frees // nil: the engine does not ask when tasks are freed
	client *control.Client
	world  *world
}

// newHost starts a jobd. At the end of the test it is checked, and stopped.
func newHost(t *testing.T, args ...string) *host {
	t.Helper()
	h := plainHost(t, args...)
	h.start()
	return h
}

// plainHost is a host on which jobd has not been started yet.
func plainHost(t *testing.T, args ...string) *host {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("/tmp", "jobd") // a socket's path is short
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	h := &host{
		t: t, dir: dir, metrics: freeAddress(t), args: args,
		token: "JOBD_E2E=" + filepath.Base(dir), log: &journal{},
	}
	h.client = control.NewClient(filepath.Join(h.runDir(), "jobd.sock"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	if !slices.Contains(args, "--engine") {
		h.args = append(slices.Clone(args), "--engine", engine())
	}
	if slices.Contains(h.args, "bpf") && !slices.Contains(args, keepsLabels) {
		h.args = append(h.args, keepsLabels)
	}
	if i := slices.Index(h.args, keepsLabels); i >= 0 {
		h.args = slices.Delete(slices.Clone(h.args), i, i+1)
		h.labels = filepath.Join(dir, "bpf")
	}
	if h.kept() {
		h.frees = hearFrees(t)
	}
	t.Cleanup(h.finish) // before the listener ends: the check at the end asks it
	h.configure("")
	return h
}

// engine is the one that tests run with which do not say themselves which: JOBD_E2E_ENGINE, else the one that works everywhere.
func engine() string { return cmp.Or(os.Getenv("JOBD_E2E_ENGINE"), "connector") }

// ofConnector is said to jobd by tests of what only that engine can meet with: events that name another parent, and sockets.
var ofConnector = []string{"--engine", "connector"}

// keepsLabels among jobd's arguments is a configuration by which the kernel keeps labels, which outlive jobd and not the test.
const keepsLabels = "labels"

// kept reports whether the kernel keeps who is in which job.
func (h *host) kept() bool { return slices.Contains(h.args, "bpf") }

// withheld is of how many processes jobd cannot have been told the end. The bpf engine says so, and estimates.
func (h *host) withheld() uint64 {
	if h.frees == nil {
		return 0
	}
	return h.frees.withheld()
}

// guessed reports whether a job is marked as estimated without a reason.
func (h *host) guessed(in job.Info) bool {
	h.t.Helper()
	if !in.Estimated {
		return false
	}
	st, err := h.client.Status(h.soon())
	return err != nil || st.RecordsUntold == 0 || st.RecordsUntold > h.withheld()
}

// measures is where the CPU of a job comes from that has ended.
func (h *host) measures() job.Text {
	if h.kept() {
		return job.SourceBPF
	}
	return job.SourceCgroup
}

// configure gives jobd a configuration file. Tests look for lines that a burst would be without.
func (h *host) configure(text string) {
	h.t.Helper()
	if h.labels != "" {
		if !strings.Contains(text, "[label]\n") {
			text += "[label]\n"
		}
		text = strings.Replace(text, "[label]\n", fmt.Sprintf("[label]\ndir = %q\n", h.labels), 1)
	}
	if !strings.Contains(text, "[log]\n") {
		text += "[log]\nburst = 0\n"
	}
	path := filepath.Join(h.dir, "jobd.toml")
	must(h.t, os.WriteFile(path, []byte(text), 0o600))
	if !slices.Contains(h.args, path) {
		h.args = append(h.args, "--config", path)
	}
}

// unload takes out what outlives jobd.
func (h *host) unload() {
	if h.labels == "" {
		return
	}
	out, err := exec.Command(built.jobd, "engine", "unload", "--run-dir", h.runDir(), "--config", filepath.Join(h.dir, "jobd.toml")).CombinedOutput()
	if err != nil {
		h.t.Errorf("unload: %v: %s", err, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (h *host) runDir() string      { return filepath.Join(h.dir, "run") }
func (h *host) stateDir() string    { return filepath.Join(h.dir, "state") }
func (h *host) loginSocket() string { return filepath.Join(h.runDir(), "login.sock") }

func (h *host) flags() []string {
	return append([]string{"--run-dir", h.runDir(), "--state-dir", h.stateDir(), "--metrics-listen", h.metrics}, h.args...)
}

// start starts jobd and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	program := cmp.Or(h.program, built.jobd)
	h.cmd = exec.Command(program, h.flags()...)
	h.cmd.Env = os.Environ()
	if h.holder != nil {
		h.cmd = h.holder.command(program, h.flags())
	}
	h.cmd.Stderr, h.cmd.Env = h.log, append(h.cmd.Env, h.env...)
	if h.stderr != nil {
		h.cmd.Stderr = h.stderr
	}
	must(h.t, h.launch())
	h.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(h.cmd, h.exited)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := h.client.Status(h.soon()); err == nil {
			return
		}
		select {
		case err := <-h.exited:
			h.cmd = nil
			h.t.Fatalf("jobd ended: %v\n%s", err, h.log)
		default:
		}
		if time.Now().After(end) {
			_ = h.cmd.Process.Signal(unix.SIGQUIT) // where it is stuck goes to the log
			<-h.exited
			h.cmd = nil
			h.t.Fatalf("jobd does not answer\n%s", h.log)
		}
	}
}

// launch starts it, and its holder's files stay as they are meanwhile.
func (h *host) launch() error {
	if h.holder != nil {
		h.holder.mu.Lock()
		defer h.holder.mu.Unlock()
	}
	return h.cmd.Start()
}

// stop ends jobd by a signal and gives its exit code, -1 when a signal killed it.
func (h *host) stop(sig unix.Signal) int {
	h.t.Helper()
	_ = h.cmd.Process.Signal(sig)
	select {
	case <-h.exited:
	case <-time.After(patience):
		_ = h.cmd.Process.Kill()
		<-h.exited
		h.t.Errorf("jobd does not end at %v", sig)
	}
	code := h.cmd.ProcessState.ExitCode()
	h.cmd = nil
	return code
}

func (h *host) soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// finish leaves nothing behind: first what the test started ends, then its jobs have to, then jobd.
func (h *host) finish() {
	defer os.RemoveAll(h.dir)
	h.sweep()
	if h.cmd != nil {
		h.check()
		if h.cmd != nil {
			if code := h.stop(unix.SIGTERM); code != 0 {
				h.t.Errorf("jobd ended with %d", code)
			}
		}
	}
	if h.world != nil {
		h.world.end()
	}
	h.unload()
	h.checkCgroups()
	if text := h.log.String(); strings.Contains(text, "panic") || strings.Contains(text, "level=ERROR") && !h.mayLose {
		h.t.Error("jobd logged an error")
	}
	if h.t.Failed() {
		h.t.Logf("jobd's log:\n%s", h.log)
	}
}

// use makes failures those of a subtest, while it runs.
func (h *host) use(t *testing.T) {
	outer := h.t
	h.t = t
	t.Cleanup(func() { h.t = outer })
}

// sweep ends whatever the test has left running; jobs may rightly have members left at its end.
func (h *host) sweep() {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left := withToken(h.token)
		if h.world != nil {
			left = append(left, h.world.processes()...)
		}
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = signal(pid, unix.SIGKILL) // gone already, or gone next time
		}
		if time.Now().After(end) {
			h.t.Errorf("still running:%s", describe(left))
			return
		}
	}
}

// check holds at the end of every test: all jobs have ended, the table is as the kernel's, the books balance, and nothing
// was missed.
func (h *host) check() {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		jobs, err := h.client.List(h.soon(), control.Request{})
		if err != nil {
			h.t.Errorf("list: %v", err)
			return
		}
		if len(jobs) == 0 {
			break
		}
		if time.Now().After(end) {
			h.t.Errorf("%d jobs have not ended, one is %+v", len(jobs), jobs[0])
			break
		}
	}
	h.awaitCgroups()
	h.checkBooks()
}

// checkBooks is what can be checked at any time.
func (h *host) checkBooks() {
	h.t.Helper()
	h.selfcheck()
	st, err := h.client.Status(h.soon())
	if err != nil {
		h.t.Errorf("status: %v", err)
		return
	}
	if h.mayLose {
		return
	}
	if st.EventsLost != 0 || st.DegradedSince != nil || st.Store.Dropped != 0 || st.Store.Errors != 0 || st.RecordsMissed != 0 ||
		st.RecordsUntold > h.withheld() {
		h.t.Errorf("status: %d events lost, %d records missed, %d untold and %d withheld, degraded %v (%s), store %+v",
			st.EventsLost, st.RecordsMissed, st.RecordsUntold, h.withheld(), st.DegradedSince, st.DegradedWhy, st.Store)
	}
}

// selfcheck has to come out clean. Where a process is just exiting it may be looked at again: TestSelfcheckUnderLoad holds
// that it need not.
func (h *host) selfcheck() {
	h.t.Helper()
	for end := time.Now().Add(patience / 4); ; time.Sleep(50 * time.Millisecond) {
		sc, err := h.client.Selfcheck(h.soon())
		if err == nil && sc.OK && sc.Balance.Error() == 0 {
			return
		}
		if err != nil || sc.Balance.Error() != 0 || time.Now().After(end) {
			h.t.Errorf("selfcheck: %+v, %v", sc, err)
			return
		}
	}
}

var placed = regexp.MustCompile(`msg="job start" .* cgroup=(/jobd/\S+)`)

// cgroupsLeft lists those of the cgroups that this jobd made that are still there.
func (h *host) cgroupsLeft() []string {
	var left []string
	for _, m := range placed.FindAllStringSubmatch(h.log.String(), -1) {
		if _, err := os.Stat(cgroupMount(h.t) + m[1]); !errors.Is(err, os.ErrNotExist) {
			left = append(left, m[1])
		}
	}
	return left
}

// awaitCgroups: a cgroup can be busy for a moment after its last process has left.
func (h *host) awaitCgroups() {
	for end := time.Now().Add(patience); len(h.cgroupsLeft()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return // checkCgroups says so
		}
	}
}

func (h *host) checkCgroups() {
	if left := h.cgroupsLeft(); len(left) > 0 {
		h.t.Errorf("cgroups are left: %v", left)
		for _, place := range left {
			_ = os.Remove(cgroupMount(h.t) + place) // the log says that they were this jobd's
		}
	}
}

func cgroupMount(t *testing.T) string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && f[3] == "/" {
			return f[4]
		}
	}
	lacking(t, "cgroup v2")
	return ""
}
