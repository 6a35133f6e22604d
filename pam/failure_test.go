package pam

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shortMS is long enough to be seen in a measurement and short for a test.
const shortMS = 300

// endless is how long something that hangs would take: the tests know the
// deadline's order of magnitude, not its precision.
const endless = 20 * time.Second

func closing(t testing.TB, read bool) *server {
	t.Helper()
	return serve(t, func(s *server, c *net.UnixConn) {
		if read {
			s.read(c)
		}
	})
}

func TestNoJob(t *testing.T) {
	tests := []struct {
		name  string
		path  func(t testing.TB) string
		words string // in the one log line
	}{
		{"no socket", func(testing.TB) string { return "/nonexistent/login.sock" }, "cannot connect to .*: No such file"},
		{"nobody listens", deadSocket, "cannot connect to .*: Connection refused"},
		{"silent", path(silent), "cannot get an answer from .*: not within 300 ms"},
		{"full queue", fullQueue, "cannot connect to .*: not within 300 ms"},
		{"closes at once", func(t testing.TB) string { return closing(t, false).path }, "cannot get an answer from .*: Connection reset"},
		{"closes after the request", func(t testing.TB) string { return closing(t, true).path }, "cannot get an answer from .*: Connection reset"},
		{"half an answer", says("status=ok\njid=0x0000002a000000"), "cannot understand"},
		{"no newline", says(strings.TrimSuffix(okAnswer, "\n")), "cannot understand"},
		{"garbage", says("\x00\xff\x01 GET / HTTP/1.1\r\n\r\n"), "cannot understand"},
		{"no key", says("=ok\n"), "cannot understand"},
		{"no equals", says("status\n"), "cannot understand"},
		{"a capital in a key", says("Status=ok\n" + okAnswer), "cannot understand"},
		{"a key too long", says(strings.Repeat("k", 33) + "=1\n" + okAnswer), "cannot understand"},
		{"a key twice", says(okAnswer + "status=ok\n"), "cannot understand"},
		{"no status", says("jid=" + okJID + "\n"), "cannot understand"},
		{"another status", says("status=okay\njid=" + okJID + "\n"), "cannot understand"},
		{"a raw control byte", says("status=ok\nmessage=a\tb\njid=" + okJID + "\n"), "cannot understand"},
		{"a broken escape", says("status=ok\nmessage=%4\njid=" + okJID + "\n"), "cannot understand"},
		{"a lower-case escape", says("status=ok\nmessage=%0a\njid=" + okJID + "\n"), "cannot understand"},
		{"too long", says(strings.Repeat("k=v\n", 2048) + "k=v\n"), "Message too long"},
		{"far too long", says(strings.Repeat("x", 100000)), "Message too long"},
		{"no jid", says("status=ok\nseq=17\n"), "no jid"},
		{"a short jid", says("status=ok\njid=0x2a\n"), "no jid"},
		{"a long jid", says("status=ok\njid=" + okJID + "1\n"), "no jid"},
		{"a jid with more behind it", says("status=ok\njid=" + okJID + "%00\n"), "no jid"},
		{"a jid that is none", says("status=ok\njid=0x0000002a0000001g\n"), "no jid"},
		{"disabled", says("status=error\ncode=disabled\nmessage=jobd is drained\n"), "jobd says disabled: jobd is drained"},
		{"an unknown code", says("status=error\ncode=tired\n"), "jobd says tired: it gives no reason"},
		{"a bare error", says("status=error\n"), "jobd says error: it gives no reason"},
		{"a message for the terminal", says("status=error\ncode=busy\nmessage=a%0Ab%1B[2J%00c\n"), `jobd says busy: a\?b\?\[2J\?c`},
		{"busy before it reads", busyAtOnce, "jobd says busy: too many"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkNoJob(t, "fail=open", tt.path(t), tt.words, pamSuccess)
			checkNoJob(t, "fail=closed", tt.path(t), tt.words, pamSessionErr)
		})
	}
}

func checkNoJob(t *testing.T, fail, socket, words string, want int) {
	t.Helper()
	d := newSession(t, fmt.Sprintf("socket=%s timeout=%d %s", socket, shortMS, fail))
	before := d.do("state")
	rc, took := d.phase("open")
	if rc != want || d.jid() != "" {
		t.Errorf("%s: result %d, JOB_JID %q", fail, rc, d.jid())
	}
	if len(d.logs) != 1 || !regexp.MustCompile("^3 .*cannot open a job for alice: .*"+words).MatchString(d.logs[0]) {
		t.Errorf("%s: log %q, want %s", fail, d.logs, words)
	}
	if took > endless {
		t.Errorf("%s: took %v", fail, took)
	}
	if strings.Contains(words, "not within") && took < shortMS*time.Millisecond {
		t.Errorf("%s: gave up after %v", fail, took)
	}
	if want == pamSuccess { // libpam itself refuses to close what was refused
		d.want("close", pamSuccess)
	}
	if after := d.do("state"); after != before {
		t.Errorf("%s: the process was\n%s\nand is\n%s", fail, before, after)
	}
}

func path(f func(testing.TB) *server) func(testing.TB) string {
	return func(t testing.TB) string { return f(t).path }
}

func says(answer string) func(testing.TB) string {
	return func(t testing.TB) string { return answering(t, answer).path }
}

func deadSocket(t testing.TB) string {
	p, fd := listenRaw(t)
	unix.Close(fd)
	return p
}

// fullQueue listens, never accepts, and has no room: with a backlog of 0 the
// kernel queues one connection (unix_recvq_full in net/unix/af_unix.c).
func fullQueue(t testing.TB) string {
	p, fd := listenRaw(t)
	t.Cleanup(func() { unix.Close(fd) })
	fill(t, p)
	return p
}

func listenRaw(t testing.TB) (string, int) {
	t.Helper()
	p := filepath.Join(publicDir(t), "login.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: p})
	}
	if err == nil {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, fd
}

func fill(t testing.TB, p string) {
	t.Helper()
	for {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: p}); err {
		case nil:
		case unix.EAGAIN:
			return
		default:
			t.Fatal(err)
		}
	}
}

// busyAtOnce answers before it has read, as a server over its limit may.
func busyAtOnce(t testing.TB) string {
	return serve(t, func(_ *server, c *net.UnixConn) {
		c.Write([]byte("status=error\ncode=busy\nmessage=too many\n"))
	}).path
}

// An answer that the kernel gives after the end of its connection is an answer.
func TestEndComesEarly(t *testing.T) {
	d := newSession(t, "socket="+answering(t, okAnswer).path+" timeout=30000 fail=closed")
	d.do("early 1")
	if rc, _ := d.parse(d.do("open")); rc != pamSuccess || d.jid() != okJID {
		t.Errorf("result %d, log %q", rc, d.logs)
	}
	if left := d.do("early"); left != "early 0" {
		t.Errorf("the end did not come early: %q", left)
	}
}

// A full queue that empties in time costs nobody the job.
func TestQueueEmptiesInTime(t *testing.T) {
	p, fd := listenRaw(t)
	defer unix.Close(fd)
	fill(t, p)
	d := newSession(t, "socket="+p+" timeout=30000 fail=closed")
	d.send("open")
	for range 2 { // the one that filled the queue, and the module's
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		unix.Write(c, []byte(okAnswer))
		defer unix.Close(c)
	}
	if rc, _ := d.parse(strings.Join(d.answer(), "\n")); rc != pamSuccess || d.jid() != okJID {
		t.Errorf("result %d, log %q", rc, d.logs)
	}
}

// A host's timer must neither stretch nor cut the deadline.
func TestDeadlineUnderSignals(t *testing.T) {
	for name, p := range map[string]string{"answer": silent(t).path, "connect": fullQueue(t)} {
		d := newSession(t, fmt.Sprintf("socket=%s timeout=%d", p, shortMS))
		d.do("alarm 2")
		rc, took := d.phase("open")
		d.do("alarm 0")
		if rc != pamSuccess || took < shortMS*time.Millisecond || took > endless {
			t.Errorf("%s: result %d after %v", name, rc, took)
		}
		if len(d.logs) != 1 || !strings.Contains(d.logs[0], "not within 300 ms") {
			t.Errorf("%s: log %q", name, d.logs)
		}
	}
}

// A logout waits for 200 ms at the most, whatever the login may wait for.
func TestCloseIsShort(t *testing.T) {
	s := serve(t, func(s *server, c *net.UnixConn) {
		if fields(s.read(c))["verb"] == "open" {
			c.Write([]byte(okAnswer))
			return
		}
		untilGone(c)
	})
	d := newSession(t, s.option())
	d.want("open", pamSuccess)
	rc, took := d.phase("close")
	if rc != pamSuccess || took < 200*time.Millisecond || took > endless {
		t.Errorf("result %d after %v", rc, took)
	}
	if len(d.logs) != 0 {
		t.Errorf("log %q", d.logs)
	}
}

func TestCloseNeverFails(t *testing.T) {
	s := serve(t, func(s *server, c *net.UnixConn) {
		if fields(s.read(c))["verb"] == "open" {
			c.Write([]byte(okAnswer))
			return
		}
		c.Write([]byte("status=error\ncode=unavailable\nmessage=not now\n"))
	})
	d := newSession(t, s.option()+" fail=closed")
	d.want("open", pamSuccess)
	d.want("close", pamSuccess)
}

func TestNoSuchUser(t *testing.T) {
	for fail, want := range map[string]int{"fail=open": pamSuccess, "fail=closed": pamSessionErr} {
		s := answering(t, okAnswer)
		d := newSession(t, s.option()+" "+fail)
		d.setItem("user", "missing")
		d.want("open", want)
		if len(s.seen()) != 0 || len(d.logs) != 1 || !strings.Contains(d.logs[0], "no such user") {
			t.Errorf("requests %d, log %q", len(s.seen()), d.logs)
		}
	}
}
