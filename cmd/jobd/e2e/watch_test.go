package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// told is a sh of somebody's that does as it is told.
type told struct {
	h   *host
	cmd *exec.Cmd
	in  io.WriteCloser
	jid job.JID // 0: in none
}

// newTold starts one, in a job of its own where that is said.
func (h *host) newTold(uid int, inJob bool) *told {
	h.t.Helper()
	s := &told{h: h, cmd: exec.Command("sh")}
	s.cmd.Env = []string{h.token, "PATH=/usr/bin:/bin"}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	var err error
	s.in, err = s.cmd.StdinPipe()
	must(h.t, err)
	must(h.t, s.cmd.Start())
	h.t.Cleanup(func() { s.in.Close(); _ = s.cmd.Wait() })
	until(h.t, "sh runs", func() bool { return procText(s.pid(), "comm") == "sh" })
	if !inJob {
		return s
	}
	u := uint32(uid)
	in, err := h.client.Create(h.soon(), control.Request{Hold: true, User: "user" + itoa(uid), UID: &u})
	must(h.t, err)
	s.jid = in.JID
	_, err = h.client.Attach(h.soon(), control.Request{Job: ref(s.jid), PID: s.pid()})
	must(h.t, err)
	must(h.t, h.client.Release(h.soon(), ref(s.jid)))
	return s
}

// napper gives a program that does nothing for as long as it is told, long enough to be looked at, under a name of its own.
func (h *host) napper(name string) string {
	h.t.Helper()
	sleep, err := os.ReadFile(needProgram(h.t, "sleep"))
	must(h.t, err)
	path := filepath.Join(h.dir, name)
	if _, err := os.Stat(path); err != nil { // else it may be running
		must(h.t, os.WriteFile(path, sleep, 0o755))
	}
	return path + " 0.2"
}

func (s *told) pid() int32 { return int32(s.cmd.Process.Pid) }

func (s *told) tell(line string) {
	s.h.t.Helper()
	_, err := io.WriteString(s.in, line+"\n")
	must(s.h.t, err)
}

// seen is what a stream has brought so far.
type seen struct {
	t    *testing.T
	w    *control.Watching
	mu   sync.Mutex
	list []control.WatchEvent
	err  error // why it ended
}

// gather reads a stream to its end.
func gather(t *testing.T, w *control.Watching, err error) *seen {
	t.Helper()
	must(t, err)
	s := &seen{t: t, w: w}
	go func() {
		for {
			e, err := w.Next()
			s.mu.Lock()
			if s.err = err; err == nil {
				s.list = append(s.list, e)
			}
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { w.Close() })
	return s
}

func (s *seen) so() ([]control.WatchEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list), s.err
}

// await waits for an event, and gives it.
func (s *seen) await(what string, met func(e *control.WatchEvent) bool) (found control.WatchEvent) {
	s.t.Helper()
	defer func() {
		if found.Event == "" {
			list, err := s.so()
			for _, e := range list {
				s.t.Logf("it was told %s", e.Line)
			}
			s.t.Logf("and %v", err)
		}
	}()
	until(s.t, what, func() bool {
		list, _ := s.so()
		i := slices.IndexFunc(list, func(e control.WatchEvent) bool { return met(&e) })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// end waits for the end of the stream.
func (s *seen) end() ([]control.WatchEvent, error) {
	s.t.Helper()
	until(s.t, "the stream's end", func() bool { _, err := s.so(); return err != nil })
	return s.so()
}

func kinds(list []control.WatchEvent) (out []string) {
	for _, e := range list {
		out = append(out, e.Event)
	}
	return out
}

func ranIt(e *control.WatchEvent, program string) bool {
	return e.Event == control.EventExec && strings.HasSuffix(string(e.Exe), "/"+program)
}

// Everything that happens in a job is told, each time in its order, to the end of the job and of the stream.
func TestWatch(t *testing.T) {
	h := newHost(t)
	all := h.watch(t, control.Request{All: true})
	few := h.watch(t, control.Request{All: true, Event: "exec,job_end"})
	s := h.newTold(aliceUID, true)
	one := h.watch(t, control.Request{Job: ref(s.jid)})
	s.tell("sleep 0.2; exit 3")
	list, err := one.end()
	if err != io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
	want := []string{"clone", "exec", "exit", "free", "exit", "free", "job_end"}
	if got := kinds(list); !slices.Equal(got, want) {
		t.Fatalf("got %s, want %s", got, want)
	}
	clone, exec, free, end := list[0], list[1], list[5], list[6]
	child := *clone.PID
	switch {
	case *clone.PPID != s.pid() || *clone.JID != s.jid || *clone.Seq != s.jid.Seq() || *clone.TGID != child || clone.Estimated:
		t.Errorf("clone: %s", clone.Line)
	case (clone.Flags != nil) != h.kept():
		t.Errorf("flags: %s", clone.Line)
	case *exec.PID != child || !ranIt(&exec, "sleep"):
		t.Errorf("exec: %s", exec.Line)
	case *free.PID != s.pid() || *free.ExitStatus != 3:
		t.Errorf("free: %s", free.Line)
	case *end.JID != s.jid || end.EndReason != job.EndExit || *end.UID != aliceUID || *end.ExitStatus != 3:
		t.Errorf("job_end: %s", end.Line)
	}
	over := all.await("the end of the job", func(e *control.WatchEvent) bool { return e.Event == control.EventJobEnd })
	if over.Cursor != end.Cursor {
		t.Errorf("the same event has the cursors %s and %s", over.Cursor, end.Cursor)
	}
	list, _ = all.so()
	if list[0].Event != control.EventJobStart || *list[0].JID != s.jid {
		t.Errorf("the first event is %s", list[0].Line)
	}
	few.await("the end of the job", func(e *control.WatchEvent) bool { return e.Event == control.EventJobEnd })
	if list, _ := few.so(); !slices.Equal(kinds(list), []string{"exec", "job_end"}) {
		t.Errorf("with a filter: %s", kinds(list))
	}
	_, err = h.client.Watch(h.soon(), control.Request{Job: ref(s.jid)})
	codeIs(t, err, control.Conflict)
	_, err = h.client.Watch(h.soon(), control.Request{Job: "3999999999"})
	codeIs(t, err, control.NoSuchJob)
	again := h.watch(t, control.Request{Job: ref(s.jid), Cursor: clone.Cursor}) // what is over can be read on
	if list, err := again.end(); err != io.EOF || !slices.Equal(kinds(list), want[1:]) {
		t.Errorf("read on: %s, %v", kinds(list), err)
	}
}

func (h *host) watch(t *testing.T, req control.Request) *seen {
	t.Helper()
	w, err := h.client.Watch(context.Background(), req)
	return gather(t, w, err)
}

func codeIs(t *testing.T, err error, want control.Code) {
	t.Helper()
	var no *control.Error
	if !errors.As(err, &no) || no.Code != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Ids that change, threads, and forks that are refused.
func TestWatchTellsWhatBelongsToAnEvent(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{})
	s := h.newTold(0, true)
	one := h.watch(t, control.Request{Job: ref(s.jid)})
	s.tell("setpriv --reuid=" + itoa(bobUID) + " --regid=" + itoa(bobUID) + " --clear-groups true")
	uid := one.await("a change of uid", func(e *control.WatchEvent) bool { return e.Event == control.EventUID })
	if *uid.UID != bobUID || *uid.EUID != bobUID {
		t.Errorf("uid: %s", uid.Line)
	}
	gid := one.await("a change of gid", func(e *control.WatchEvent) bool { return e.Event == control.EventGID })
	if *gid.GID != bobUID || *gid.EGID != bobUID {
		t.Errorf("gid: %s", gid.Line)
	}
	s.tell(built.threads + " >/dev/null 2>&1 &")
	none := 1
	h.limit(s.jid, &none)
	s.tell("sleep 900")
	no := one.await("a refusal", func(e *control.WatchEvent) bool { return e.Event == control.EventRefuse })
	if no.How != "killed" && (no.How != "failed" || !h.kept()) {
		t.Errorf("refuse: %s", no.Line)
	}
}

// An ordinary user sees their own jobs, and may not so much as ask for others'.
func TestWatchOwnOnly(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	l := w.login("svc", "bob", nil, "sleep", "900")
	id := itoa(aliceUID)
	cmd := w.command(needProgram(t, "setpriv"), "--reuid="+id, "--regid="+id, "--clear-groups", "--", built.jobctl, "--run-dir", h.runDir(), "watch", "--all")
	out := started(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, "alice sees a login", func() bool { // she may not watch yet
		w.login("svc", "bob", nil, "true").wait()
		w.login("svc", "alice", nil, "true").wait()
		return len(out.c) > 0
	})
	for line, ok := out.next(); ; line, ok = out.next() {
		if !ok || strings.Contains(line, " bob ") || len(line) > 80 {
			t.Fatalf("alice sees %q", line)
		}
		if strings.Contains(line, " job_end alice ") {
			break
		}
	}
	for _, args := range [][]string{{"watch", l.jid.String()}, {"watch", "--host"}} {
		if text, errs, code := h.jobctl(aliceUID, args...); code != 1 || text != "" || !strings.Contains(errs, "not yours") && !strings.Contains(errs, "only root") {
			t.Errorf("%v: %d %q %q", args, code, text, errs)
		}
	}
}

// A client goes on with its cursor: without a gap while jobd runs, and with one that is said where it was restarted.
func TestWatchResume(t *testing.T) {
	h := newHost(t)
	s := h.newTold(aliceUID, true)
	first := h.watch(t, control.Request{All: true, Event: "exec"})
	s.tell(h.napper("one"))
	at := first.await("one", func(e *control.WatchEvent) bool { return ranIt(e, "one") })
	first.w.Close()
	s.tell(h.napper("two"))
	s.tell(h.napper("three"))
	second := h.watch(t, control.Request{All: true, Event: "exec", Cursor: at.Cursor})
	last := second.await("three", func(e *control.WatchEvent) bool { return ranIt(e, "three") })
	if list, _ := second.so(); list[0].Event == control.EventLost || !ranIt(&list[0], "two") {
		t.Errorf("it goes on with %s", list[0].Line)
	}
	h.stop(unix.SIGTERM)
	if _, err := second.end(); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("the end of jobd ends the stream with %v", err)
	}
	h.start()
	third := h.watch(t, control.Request{All: true, Cursor: last.Cursor})
	lost := third.await("the gap", func(*control.WatchEvent) bool { return true })
	if lost.Event != control.EventLost || lost.Why != "restart" || lost.Lost != nil {
		t.Errorf("after a restart it goes on with %s", lost.Line)
	}
	s.tell(h.napper("four"))
	third.await("four", func(e *control.WatchEvent) bool { return ranIt(e, "four") })
	at.Cursor = fmt.Sprint(lost.Cursor, "0000")
	_, err := h.client.Watch(h.soon(), control.Request{All: true, Cursor: at.Cursor})
	codeIs(t, err, control.BadRequest)
}

// The whole host is heard of while root wants to, and what runs in no job too.
func TestWatchHost(t *testing.T) {
	h := newHost(t)
	s := h.newTold(aliceUID, false)
	all := h.watch(t, control.Request{Host: true, Event: "exec"})
	jobs := h.watch(t, control.Request{All: true})
	s.tell(h.napper("five"))
	e := all.await("five", func(e *control.WatchEvent) bool { return ranIt(e, "five") })
	if e.JID != nil || e.Seq != nil {
		t.Errorf("in no job: %s", e.Line)
	}
	if list, _ := jobs.so(); len(list) != 0 {
		t.Errorf("those who watch jobs hear of %s", list[0].Line)
	}
}
