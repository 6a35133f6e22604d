package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUnreachable(t *testing.T) {
	noLeaks(t)
	dir := socketDir(t)
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	missing := filepath.Join(dir, "missing")
	for path, want := range map[string]string{
		missing:                              "cannot reach jobd at " + missing + ": connect: no such file or directory: is it running?",
		stale:                                "cannot reach jobd at " + stale + ": connect: connection refused: is it running?",
		dir + "/" + strings.Repeat("x", 200): "invalid argument",
	} {
		_, err := NewClient(path).Status(t.Context())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want) || ExitCode(err) != 4 {
			t.Errorf("%v, exit code %d, want %q", err, ExitCode(err), want)
		}
		if _, err := Login(t.Context(), path, alice); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("login: %v, want %q", err, want)
		}
	}
}

func TestUnreachableByPermission(t *testing.T) {
	needRoot(t)
	dir := socketDir(t)
	path := serveLogin(t, &fake{}, nil, dir)
	in, out := who{uid: otherUID}.start(t, "login", path)
	fmt.Fprintln(in, "close")
	if !out.Scan() || !strings.Contains(out.Text(), "cannot reach jobd") || !strings.Contains(out.Text(), "permission denied") {
		t.Errorf("%q", out.Text())
	}
}

// raw serves one connection with a fixed answer and hangs up.
func raw(t *testing.T, answer string) *Client {
	t.Helper()
	path := filepath.Join(socketDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 4096))
		_, _ = c.Write([]byte(answer))
		c.Close()
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return NewClient(path)
}

func TestStrangeAnswers(t *testing.T) {
	noLeaks(t)
	for _, c := range []struct {
		answer, want string
		reached      bool
	}{
		{"", "EOF", false},
		{"garbage", "malformed", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"jid\":", "cannot read the answer", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\"a text\"", "cannot read the answer", false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[{}\r\n", "cannot read the answer", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "it is no array", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[{},", "cannot read the answer", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[{}", "cannot read the answer", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", "it is no array", false},
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\n400 Bad Request", "jobd answered 400 Bad Request", true},
		{"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "jobd answered 302", true},
		{"HTTP/1.1 500 x\r\nContent-Length: 12\r\n\r\n{\"error\":{}}", "jobd answered 500", true},
	} {
		_, err := raw(t, c.answer).List(t.Context(), Request{})
		var e *Error
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUnreachable) == c.reached || errors.As(err, &e) != c.reached {
			t.Errorf("%q gave %v, want %q", c.answer, err, c.want)
		}
	}
}

func TestClientDeadline(t *testing.T) {
	noLeaks(t)
	b := &fake{onDo: func(ctx context.Context, _ Peer, _ Access, _ Request) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	c := NewClient(serveAPI(t, b, Config{}, socketDir(t), nil))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Status(ctx)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("%v", err)
	}
}

// What the server would refuse, and what it would never see, the client refuses itself.
func TestClientRefuses(t *testing.T) {
	c := NewClient("/nonexistent")
	x := t.Context()
	calls := map[string]func() error{
		"no job is named":        func() error { _, err := c.Show(x, ""); return err },
		"does not name a job":    func() error { _, err := c.Show(x, "17/kill"); return err },
		`"../x" does not name`:   func() error { return c.Release(x, "../x") },
		`kill knows no "hold"`:   func() error { _, err := c.Kill(x, Request{Job: "17", Hold: true}); return err },
		`list knows no "job"`:    func() error { _, err := c.List(x, Request{Job: "17"}); return err },
		"no pid is given":        func() error { _, err := c.Attach(x, Request{Job: "17"}); return err },
		`report knows no "sort"`: func() error { _, err := c.Report(x, Request{Sort: "cpu"}); return err },
		"regular expression": func() error {
			_, err := c.History(x, Request{Command: "("})
			var e *Error
			errors.As(err, &e)
			return Errorf(e.Code, "%s, %s", e.Message, e.Hint)
		},
		"a minimum below 0": func() error { _, err := c.Procs(x, Request{MinIO: -1}); return err },
		"no tags are given": func() error { _, err := c.Tag(x, "17", nil); return err },
		"more than 65536 bytes": func() error {
			_, err := c.Tag(x, "17", map[string]string{"a": strings.Repeat("x", longestBody)})
			return err
		},
	}
	for want, call := range calls {
		err := call()
		var e *Error
		if !errors.As(err, &e) || e.Code != BadRequest || !strings.Contains(e.Message, want) || ExitCode(err) != 2 {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for want, errs := range map[int][]error{
		0: {nil},
		1: {errors.New("x"), Errorf(Denied, "x"), Errorf(Timeout, "x"), Errorf(NoProcess, "x"), Errorf(Internal, "x"), context.Canceled},
		2: {Errorf(BadRequest, "x"), fmt.Errorf("w: %w", Errorf(BadRequest, "x"))},
		3: {Errorf(NoSuchJob, "x")},
		4: {ErrUnreachable, fmt.Errorf("%w: %w", ErrUnreachable, os.ErrNotExist)},
	} {
		for _, err := range errs {
			if got := ExitCode(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
		}
	}
}
