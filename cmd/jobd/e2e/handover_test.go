package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// heldHost is a host with somebody who holds jobd's sockets.
func heldHost(t *testing.T, args ...string) *host {
	t.Helper()
	h := plainHost(t, args...)
	h.holder = newHolder(t, h.dir)
	h.start()
	until(t, "all sockets are held", func() bool { return len(h.holder.held()) == h.holds() })
	return h
}

// holds counts the sockets that are held for jobd: what people come by, and where they are needed those of the events.
func (h *host) holds() int {
	if h.kept() {
		return 4
	}
	return 6
}

// Where somebody holds the sockets, jobd is restarted in the middle of a storm, again and again, at last with another version,
// and nothing is lost or guessed: every process is counted, with its exit record.
func TestHandover(t *testing.T) {
	const each = 12_000
	h := heldHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	storm, _ := w.stormPrograms()
	quiet, dies := h.newSurvivor("quiet"), h.newSurvivor("dies")
	quiet.grow(t)
	dies.pids = pidsIn(t, dies.out, 1)
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, storm, "1", itoa(each))
	for i := range 3 {
		so := h.show(l.jid).TotalProcesses
		until(t, "the storm goes on", func() bool { return h.show(l.jid).TotalProcesses > so+each/20 })
		if code := h.stop(unix.SIGTERM); code != 0 {
			t.Fatalf("jobd ended with %d", code)
		}
		switch i {
		case 1: // while nobody listens: one ends with its job, one forks
			kill(t, dies.pids[0])
			quiet.grow(t)
		case 2:
			h.program = filepath.Join(h.dir, "jobd-next")
			must(t, tool("env", "CGO_ENABLED=0", "go", "build", "-ldflags", "-X main.version=next", "-o", h.program, ".."))
		}
		h.start()
		quiet.check(h)
	}
	kill(t, pidsIn(t, out, 1)[0])
	l.wait()
	in := h.ended(l.jid)
	if want := each + 3; in.TotalProcesses != want || h.guessed(in) || in.EndReason != job.EndExit {
		t.Errorf("%d processes, want %d; estimated %v, ended by %q", in.TotalProcesses, want, in.Estimated, in.EndReason)
	}
	h.checkSum(t, in)
	if in := h.ended(dies.jid); in.EndReason != job.EndExit || in.Estimated || in.ExitStatus == nil || *in.ExitStatus != 128+9 {
		t.Errorf("the job that ended meanwhile is %+v", in)
	}
	for _, pid := range quiet.pids {
		kill(t, pid)
	}
	if in := h.ended(quiet.jid); in.Estimated || in.TotalProcesses != 3 {
		t.Errorf("the job that grew meanwhile is %+v", in)
	}
	if st, err := h.client.Status(h.soon()); err != nil || st.Version != "next" {
		t.Errorf("the version is %q, %v", st.Version, err)
	}
	for _, m := range h.moments() {
		if m.Kind == job.MomentGap {
			t.Errorf("a gap in the books: %+v", m)
		}
	}
	if n := strings.Count(h.settled(), "went on where the jobd before stopped"); n != 3 {
		t.Errorf("jobd went on %d times, not 3", n)
	}
}

// Who logs in while jobd is being restarted waits, and gets a job.
func TestLoginWhileRestarted(t *testing.T) {
	h := heldHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	for range 3 {
		h.stop(unix.SIGTERM)
		late := make(chan *login)
		go func() { late <- w.login("svc", "alice", nil, "true") }()
		until(t, "somebody waits at login.sock", func() bool { return waitsAt(t, h.loginSocket()) })
		h.start()
		l := <-late
		if l.jid == 0 {
			t.Error("the login has no job")
		}
		l.wait()
	}
}

// waitsAt reports whether somebody has connected whom nobody has accepted: the other end stands in /proc/net/unix with the
// listening socket's name.
func waitsAt(t *testing.T, path string) bool {
	b, err := os.ReadFile("/proc/net/unix")
	must(t, err)
	return strings.Count(string(b), " "+path+"\n") > 1
}

// A jobd that is killed leaves its queue behind: what it tells of is on the books, marked, and nothing is there twice.
func TestKilledWithHeldSockets(t *testing.T) {
	const each = 6_000
	h := heldHost(t)
	h.mayLose = true // exec records of what nobody looked at, and what was read and not yet written
	w := h.newWorld(map[string]string{"svc": plainStack})
	storm, _ := w.stormPrograms()
	s := h.newSurvivor("stays")
	s.grow(t)
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, storm, "1", itoa(each))
	until(t, "the storm goes on", func() bool { return h.show(l.jid).TotalProcesses > each/10 })
	h.stop(unix.SIGKILL)
	s.grow(t)
	h.start()
	s.check(h)
	kill(t, pidsIn(t, out, 1)[0])
	l.wait()
	in := h.ended(l.jid)
	records, err := h.client.Procs(h.soon(), control.Request{Job: ref(l.jid)})
	must(t, err)
	t.Logf("%d of %d processes counted, %d records, since %v", in.TotalProcesses, each+3, len(records), in.Started)
	if !in.Estimated || in.TotalProcesses > each+3 || in.TotalProcesses < each/2 || len(records) > in.TotalProcesses {
		t.Errorf("the job is %+v, %d records", in, len(records))
	}
	if age := time.Since(in.Started); age < 0 || age > 10*patience {
		t.Errorf("the job began %v ago", age)
	}
	h.checkBooks()
}

// What is held for jobd wakes nobody in it twice: its copies of the kernel's sockets are gone when it has taken them over.
func TestHeldSocketsWakeOnce(t *testing.T) {
	h := heldHost(t)
	fresh := polled(t, int32(h.cmd.Process.Pid))
	h.stop(unix.SIGTERM)
	h.start()
	if n := polled(t, int32(h.cmd.Process.Pid)); n != fresh {
		t.Errorf("jobd waits for %d of the kernel's sockets, and for %d after a restart", fresh, n)
	}
}

// polled counts the netlink sockets that a process has in its instances of epoll(7).
func polled(t *testing.T, pid int32) (n int) {
	t.Helper()
	sockets, err := os.ReadFile("/proc/net/netlink")
	must(t, err)
	infos, err := filepath.Glob(procFile(pid, "fdinfo/*"))
	must(t, err)
	for _, info := range infos {
		b, _ := os.ReadFile(info) // it may have been closed
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != "tfd:" {
				continue
			}
			link, _ := os.Readlink(procFile(pid, "fd/"+f[1]))
			inode, ok := strings.CutPrefix(strings.TrimSuffix(link, "]"), "socket:[")
			if ok && slices.Contains(strings.Fields(string(sockets)), inode) {
				n++
			}
		}
	}
	return n
}
