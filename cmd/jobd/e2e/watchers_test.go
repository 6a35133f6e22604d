package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// The example in Python follows jobs as docs/protocol.md says, over a restart too.
func TestWatchInPython(t *testing.T) {
	python := needProgram(t, "python3")
	h := newHost(t)
	s := h.newTold(aliceUID, true)
	watch := func(args ...string) *exec.Cmd {
		return exec.Command(python, append([]string{"../../../docs/examples/watch.py", filepath.Join(h.runDir(), "jobd.sock")}, args...)...)
	}
	if out, err := watch("job=3999999999").CombinedOutput(); err == nil || !strings.HasPrefix(string(out), "watch.py: ") {
		t.Errorf("no such job: %v, %s", err, out)
	}
	cmd := watch("job="+s.jid.String(), "event=exec,free,job_end")
	cmd.Stderr = h.log
	out := started(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, "it watches", func() bool {
		s.tell("env true")
		return len(out.c) > 0
	})
	s.tell(h.napper("one"))
	await := func(what string) {
		t.Helper()
		for line, ok := out.next(); !strings.Contains(line, what); line, ok = out.next() {
			if !ok {
				t.Fatalf("it ended, and did not say %q", what)
			}
		}
	}
	await("/one")
	h.stop(unix.SIGTERM)
	h.start()
	await("lost - some (restart)")
	s.tell(h.napper("two"))
	await("/two")
	s.tell("exit 0")
	await("job_end - exit")
	if _, ok := out.next(); ok {
		t.Error("it goes on after the end of the job")
	}
}

// Whoever listens on events.sock gets what the process events connector would give them: every event of every process, a message each. Nobody
// but root does.
func TestRelay(t *testing.T) {
	h := plainHost(t)
	h.configure("[watch]\nrelay = true\n")
	h.start()
	h.newWorld(map[string]string{})
	path := filepath.Join(h.runDir(), "events.sock")
	listen := func() *net.UnixConn {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(patience)))
		return c
	}
	deaf, c := listen(), listen()
	s := h.newTold(aliceUID, false)
	buf := make([]byte, 16<<10)
	for end := time.Now().Add(patience); ; {
		must(t, c.SetReadDeadline(time.Now().Add(patience/40)))
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end) { // jobd may have come to this listener only now
			s.tell(h.napper("six"))
			continue
		}
		must(t, err)
		var e control.WatchEvent
		if err := json.Unmarshal(buf[:n], &e); err != nil || !strings.HasSuffix(string(buf[:n]), "}\n") {
			t.Fatalf("%s: %v", buf[:n], err)
		}
		if ranIt(&e, "six") && e.JID == nil {
			break
		}
	}
	deaf.Close()
	cmd := h.world.command(needProgram(t, "setpriv"), "--reuid="+itoa(aliceUID), "--clear-groups", "test", "-w", path)
	if err := cmd.Run(); err == nil {
		t.Error("everybody may listen")
	}
	var crowd []*net.UnixConn
	for range 40 {
		crowd = append(crowd, listen())
	}
	closed := func(c *net.UnixConn) bool {
		must(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := c.Read(buf)
		ne, timeout := err.(net.Error)
		return err != nil && !(timeout && ne.Timeout())
	}
	until(t, "those that are too many are turned away", func() bool { return closed(crowd[39]) })
	if closed(crowd[0]) {
		t.Error("one that came first is turned away")
	}
}

// With watch.audit what is run in jobs, and changes of uid there, are lines of the log.
func TestWatchAudit(t *testing.T) {
	h := plainHost(t)
	h.configure("[watch]\naudit = true\n")
	h.start()
	s := h.newTold(0, true)
	none := h.newTold(0, false)
	none.tell(h.napper("seven"))
	s.tell("setpriv --reuid=" + itoa(bobUID) + " --clear-groups " + h.napper("eight"))
	for _, want := range []string{"/eight ", "msg=\"uid change\" jid=" + logged(s.jid)} {
		until(t, want, func() bool { return strings.Contains(h.log.String(), want) })
	}
	for sc := bufio.NewScanner(strings.NewReader(h.log.String())); sc.Scan(); {
		if line := sc.Text(); strings.Contains(line, "/seven") || strings.Contains(line, "msg=exec") && !strings.Contains(line, "jid="+logged(s.jid)) {
			t.Errorf("a line about nobody's process: %s", line)
		}
	}
}
