package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

var alice = LoginRequest{Verb: "open", User: "alice", UID: 1000, Service: "sshd", Connection: "10.0.0.1 4711 10.0.0.2 22"}

func TestLogin(t *testing.T) {
	noLeaks(t)
	b := &fake{onLogin: func(ctx context.Context, p Peer, r LoginRequest) (LoginAnswer, error) {
		if !p.Root || p.PID != int32(os.Getpid()) || !p.Alive() || p.Admin {
			t.Errorf("peer %+v", p)
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the backend has no deadline")
		}
		return LoginAnswer{JID: job.NewJID(7, 17), Mark: r.User == "bob"}, nil
	}}
	path := serveLogin(t, b, nil, socketDir(t))
	a, err := Login(t.Context(), path, alice)
	if err != nil || a != (LoginAnswer{JID: job.NewJID(7, 17)}) {
		t.Errorf("%+v, %v", a, err)
	}
	bob := alice
	bob.User, bob.Nested = "bob", true
	if a, err := Login(t.Context(), path, bob); err != nil || !a.Mark {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := Login(t.Context(), path, LoginRequest{Verb: "close", User: "bob"}); err != nil || a != (LoginAnswer{}) {
		t.Errorf("close: %+v, %v", a, err)
	}
	if _, logins, _ := b.saw(); len(logins) != 3 || logins[0] != alice || logins[1] != bob {
		t.Errorf("the backend saw %+v", logins)
	}
}

// The protocol has five codes; the backend has more.
func TestLoginErrors(t *testing.T) {
	log := &logText{}
	fails := make(chan error, 1)
	b := &fake{onLogin: func(context.Context, Peer, LoginRequest) (LoginAnswer, error) {
		fail := <-fails
		if fail == nil {
			panic("a bug")
		}
		return LoginAnswer{}, fail
	}}
	path := serveLogin(t, b, log.logger(), socketDir(t))
	for _, c := range []struct {
		err  error
		code Code
		text string
	}{
		{Errorf(BadRequest, "bad"), BadRequest, "bad"},
		{Errorf(Disabled, "drained"), Disabled, "drained"},
		{fmt.Errorf("wrapped: %w", Errorf(Busy, "busy")), Busy, "busy"},
		{Errorf(Denied, "no"), Denied, "no"},
		{Errorf(NoProcess, "gone\nreally"), Unavailable, "gone\nreally"},
		{Errorf(Timeout, "late"), Unavailable, "late"},
		{errors.New("disk"), Unavailable, "disk"},
		{context.Canceled, Unavailable, "jobd is stopping"},
		{context.DeadlineExceeded, Unavailable, "gave up"},
		{nil, Unavailable, "jobd failed"},
	} {
		fails <- c.err
		_, err := Login(t.Context(), path, alice)
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.text) {
			t.Errorf("%v came as %v", c.err, err)
		}
	}
	if !strings.Contains(log.String(), "a bug") {
		t.Errorf("the panic is not in the log: %s", log)
	}
}

// dialLogin opens a bare connection.
func dialLogin(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestLoginBadInput(t *testing.T) {
	noLeaks(t)
	b := &fake{}
	path := serveLogin(t, b, nil, socketDir(t))
	for name, in := range map[string]string{
		"half": "verb=op", "binary": "\x00\x01\xff", "huge": goodOpen + "auth=" + strings.Repeat("a", 100_000) + "\n",
		"just too long": goodOpen + "auth=" + strings.Repeat("a", 8193-len(goodOpen)-6) + "\n", "HTTP": "GET / HTTP/1.1\r\n\r\n",
	} {
		c := dialLogin(t, path)
		if _, err := c.Write([]byte(in)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, longestMessage)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var e *Error
		if _, err := parseLoginAnswer(buf[:n], "open"); !errors.As(err, &e) || e.Code != BadRequest || e.Message == "" {
			t.Errorf("%s: %q", name, buf[:n])
		}
		if n, err := c.Read(buf); n != 0 || err == nil {
			t.Errorf("%s: a second answer, %q", name, buf[:n])
		}
	}
	if _, logins, _ := b.saw(); len(logins) != 0 {
		t.Errorf("the backend saw %+v", logins)
	}
	exact := goodOpen + "auth=" + strings.Repeat("a", 8192-len(goodOpen)-6) + "\n"
	c := dialLogin(t, path)
	c.Write([]byte(exact))
	buf := make([]byte, longestMessage)
	if n, _ := c.Read(buf); !strings.HasPrefix(string(buf[:n]), "status=ok\n") {
		t.Errorf("%d bytes are allowed: %q", len(exact), buf[:n])
	}
}

// The silent are told after 500 ms, and meanwhile others are answered.
func TestLoginSilentClients(t *testing.T) {
	noLeaks(t)
	path := serveLogin(t, &fake{}, nil, socketDir(t))
	var silent []*net.UnixConn
	for range 100 {
		silent = append(silent, dialLogin(t, path))
	}
	start := time.Now()
	for range 20 {
		if _, err := Login(t.Context(), path, alice); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 10*loginRead { // one after the other the silent would take 100
		t.Errorf("20 logins took %s", took)
	}
	for _, c := range silent {
		buf := make([]byte, longestMessage)
		n, err := c.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), "code=bad_request\nmessage=no request came within") {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	if took := time.Since(start); took > 30*loginRead {
		t.Errorf("the silent were kept %s", took)
	}
}

// TestLoginRefusals: whoever says no to a session, it is counted by jobd's own code; what is not about a session is not.
func TestLoginRefusals(t *testing.T) {
	noLeaks(t)
	fails := make(chan error, 1)
	b := &fake{onLogin: func(context.Context, Peer, LoginRequest) (LoginAnswer, error) { return LoginAnswer{}, <-fails }}
	path := socketDir(t) + "/login.sock"
	s, err := ListenLogin(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	codes := make(chan Code, 10)
	s.OnRefused(func(c Code) { codes <- c })
	s.peers.root = uint32(os.Getuid())
	run(t, func(ctx context.Context) error { return s.Serve(ctx, b) })
	next := func(want Code) {
		t.Helper()
		select {
		case got := <-codes:
			if got != want {
				t.Errorf("counted %q, want %q", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("not counted: %q", want)
		}
	}
	for want, err := range map[Code]error{
		Internal: errors.New("by itself"), NoProcess: Errorf(NoProcess, "no"), Disabled: Errorf(Disabled, "no"),
	} {
		fails <- err
		_, _ = Login(t.Context(), path, alice)
		next(want)
	}
	fails <- errors.New("by itself")
	_, _ = Login(t.Context(), path, LoginRequest{Verb: "close"})
	c, err := net.Dial("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("verb=what\n")); err != nil {
		t.Fatal(err)
	}
	next(BadRequest)
}

// When all slots are taken the next are told so, and a slot that is free again is used.
func TestLoginBusy(t *testing.T) {
	noLeaks(t)
	log := &logText{}
	hold := make(chan struct{})
	b := &fake{onLogin: func(context.Context, Peer, LoginRequest) (LoginAnswer, error) {
		<-hold
		return LoginAnswer{JID: 1}, nil
	}}
	path := serveLogin(t, b, log.logger(), socketDir(t))
	var all sync.WaitGroup
	for range loginRequests {
		all.Go(func() {
			if _, err := Login(context.Background(), path, alice); err != nil {
				t.Errorf("one of those that had a slot: %v", err)
			}
		})
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, logins, _ := b.saw(); len(logins) == loginRequests {
			break
		}
	}
	var e *Error
	if _, err := Login(t.Context(), path, alice); !errors.As(err, &e) || e.Code != Busy {
		t.Errorf("one too many: %v", err)
	}
	close(hold)
	all.Wait()
	if _, err := Login(t.Context(), path, alice); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if !strings.Contains(log.String(), "too many at a time") {
		t.Errorf("not logged: %s", log)
	}
}

// Stopping answers what is in hand: a login must not wait for its timeout.
func TestLoginStop(t *testing.T) {
	noLeaks(t)
	b := &fake{onLogin: func(ctx context.Context, _ Peer, _ LoginRequest) (LoginAnswer, error) {
		<-ctx.Done()
		return LoginAnswer{}, ctx.Err()
	}}
	path := socketDir(t) + "/login.sock"
	s, err := ListenLogin(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.peers.root = uint32(os.Getuid())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, b) }()
	time.AfterFunc(50*time.Millisecond, cancel)
	var e *Error
	if _, err := Login(t.Context(), path, alice); !errors.As(err, &e) || e.Code != Unavailable {
		t.Errorf("a login at the end: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := Login(t.Context(), path, alice); !errors.Is(err, ErrUnreachable) {
		t.Errorf("after the end: %v", err)
	}
}

func TestLoginClientGivesUp(t *testing.T) {
	noLeaks(t)
	hold := make(chan struct{})
	b := &fake{onLogin: func(context.Context, Peer, LoginRequest) (LoginAnswer, error) { <-hold; return LoginAnswer{}, nil }}
	path := serveLogin(t, b, nil, socketDir(t))
	defer close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := Login(ctx, path, alice); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow jobd: %v", err)
	}
}
