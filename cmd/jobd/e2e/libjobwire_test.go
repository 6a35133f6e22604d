package e2e

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// sanitizedClient is the client with the library in it, with the address and undefined-behaviour checkers, where the compiler has them.
func sanitizedClient(t *testing.T) string {
	t.Helper()
	sources, err := filepath.Glob("../../../libjob/*.c")
	must(t, err)
	out := filepath.Join(t.TempDir(), "libjob")
	flags := []string{"-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}
	if err := cc(out, flags, append(sources, "testdata/libjob.c")...); err != nil {
		t.Logf("no sanitizers, the release build is used: %v", err)
		return built.libClient
	}
	return out
}

// badServer answers every request of job.sock with what it is told to: datagrams, and then the end.
func badServer(t *testing.T, dir string) *atomic.Pointer[[]string] {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, "job.sock"), Net: "unixpacket"})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	answers := &atomic.Pointer[[]string]{}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1<<16))
			for _, a := range *answers.Load() {
				_, _ = c.Write([]byte(a))
			}
			c.Close()
		}
	}()
	return answers
}

// libCalls is a call of every function that asks.
var libCalls = []string{
	"create 0 0", "getjid 1", "killjid 1 0", "getjidcnt", "getjidlist 4096", "getpidcnt 1", "getpidlist 1 4096", "getuid 1",
	"getprimepid 1", "sethid 1", "detachjid 1", "detachpid 1", "attachpid 1 1", "runcsa 1",
}

// Whatever jobd answers, the library gives an error or a value, and the program it lives in goes on.
func TestLibjobBadAnswers(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	answers := badServer(t, dir)
	c := startLibjob(t, sanitizedClient(t), dir, 0)
	for _, tt := range []struct {
		name    string
		answers []string
		call    string
		errno   unix.Errno
	}{
		{"nothing", nil, "getjidcnt", unix.ECONNRESET},
		{"no newline", []string{"status=ok\ncount=1"}, "getjidcnt", unix.EPROTO},
		{"a NUL", []string{"status=ok\ncount=1\n\x00\n"}, "getjidcnt", unix.EPROTO},
		{"too long", []string{"status=ok\ncount=1\nx=" + strings.Repeat("x", 8200) + "\n"}, "getjidcnt", unix.EPROTO},
		{"no status", []string{"count=1\n"}, "getjidcnt", unix.EIO},
		{"no code", []string{"status=error\n"}, "getjidcnt", unix.EIO},
		{"no number", []string{"status=ok\ncount=x\n"}, "getjidcnt", unix.EPROTO},
		{"a large number", []string{"status=ok\ncount=2147483648\n"}, "getjidcnt", unix.EPROTO},
		{"a huge number", []string{"status=ok\ncount=99999999999999999999\n"}, "getjidcnt", unix.EPROTO},
		{"below 0", []string{"status=ok\ncount=-1\n"}, "getjidcnt", unix.EPROTO},
		{"a list of words", []string{"status=ok\ncount=2\npids=1,x\n"}, "getpidlist 1 4096", unix.EPROTO},
		{"a list that breaks off", []string{"status=ok\ncount=2\npids=1\nmore=1\n"}, "getpidlist 1 4096", unix.ECONNRESET},
		{"busy", []string{"status=error\ncode=busy\n"}, "getjidcnt", unix.EAGAIN},
		{"no uid", []string{"status=ok\n"}, "getuid 1", unix.EPROTO},
	} {
		answers.Store(&tt.answers)
		c.tell("%s", tt.call)
		if w := c.answer(); w[0] != "-1" || w[1] != itoa(int(tt.errno)) {
			t.Errorf("%s: %s gives %v, want %v", tt.name, tt.call, w, tt.errno)
		}
	}
	c.wantJID(noJID, unix.ENODATA, "getjid 1") // as an answer without a jid says
	busy := []string{"status=error\ncode=busy\n"}
	answers.Store(&busy)
	c.tell("waitjid 11")
	if w := c.answer(); w[1] != itoa(int(unix.EAGAIN)) { // it has tried for a while
		t.Errorf("a wait that is refused for ever gives %v", w)
	}
	good := []string{
		"status=ok\njid=0x000012ab00000011\nwait_status=9\nalready=1\n", "status=ok\ncount=3\npids=1,2,3\n", "status=ok\ncount=2\njids=0x1,0x2\nmore=1\n",
		"status=ok\nuid=1\npid=2\nhid=3\n", "status=error\ncode=conflict\nmessage=a%0Ab\n",
	}
	for range 3000 {
		mutated := []string{mutate(good[rand.IntN(len(good))]), mutate(good[rand.IntN(len(good))])}
		answers.Store(&mutated)
		call := libCalls[rand.IntN(len(libCalls))]
		c.tell("%s", call)
		if w := c.answer(); len(w) < 2 {
			t.Fatalf("%s with %q gives %v", call, mutated, w)
		}
	}
}

// An answer that the kernel gives after the end of its connection is an answer.
func TestLibjobEndComesEarly(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	answers := badServer(t, dir)
	c := startLibjob(t, sanitizedClient(t), dir, 0)
	one := []string{"status=ok\ncount=1\n"}
	answers.Store(&one)
	c.wantNumber(1, 0, "early 1")
	c.wantNumber(1, 0, "getjidcnt")
	c.wantNumber(0, 0, "early") // so it was seen early
}

// mutate changes a few bytes, or cuts.
func mutate(s string) string {
	b := []byte(s)
	for range rand.IntN(4) {
		switch i := rand.IntN(len(b)); rand.IntN(3) {
		case 0:
			b[i] = byte(rand.IntN(256))
		case 1:
			b[i] = "=\n,0x-%"[rand.IntN(7)]
		default:
			b = b[:i+1]
		}
	}
	return string(b)
}

// lists is a backend that has long ones.
type lists struct{ n int }

func (lists) Login(context.Context, control.Peer, control.LoginRequest) (control.LoginAnswer, error) {
	return control.LoginAnswer{}, control.Errorf(control.Unavailable, "not here")
}

func (lists) Do(context.Context, control.Peer, control.Access, control.Request) (any, error) {
	return nil, control.Errorf(control.Unavailable, "not here")
}

func (l lists) Job(context.Context, control.Peer, control.JobRequest) (control.JobAnswer, error) {
	ans := control.JobAnswer{Count: l.n}
	for i := range l.n {
		ans.JIDs, ans.PIDs = append(ans.JIDs, job.NewJID(1, uint32(i+1))), append(ans.PIDs, int32(i+1))
	}
	return ans, nil
}

// Lists longer than a datagram, and longer than the socket holds, come whole, or as far as there is room.
func TestLibjobLongLists(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	s, err := control.ListenJob(filepath.Join(dir, "job.sock"), control.Config{})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	const n = 200_000
	go func() { served <- s.Serve(ctx, lists{n}) }()
	t.Cleanup(func() { cancel(); must(t, <-served); os.RemoveAll(dir) })
	c := startLibjob(t, sanitizedClient(t), dir, 0)
	sum := func(n uint64) uint64 { return n * (n + 1) / 2 }
	for _, room := range []uint64{0, 1, 1000, 2000, 99_999, n, n + 1000} {
		got := min(room, n)
		if pids, all := c.list("getpidlist 1 %d", 4*room+3); uint64(pids) != got || all != sum(got) {
			t.Errorf("with room for %d: %d processes, sum %d", room, pids, all)
		}
		if jids, all := c.list("getjidlist %d", 8*room); uint64(jids) != got || all != got<<32+sum(got) {
			t.Errorf("with room for %d: %d jobs, sum %#x", room, jids, all)
		}
	}
}
