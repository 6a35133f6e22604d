package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// rootAnswered asks as root, again and again, and tells how long the slowest answer took.
func rootAnswered(t *testing.T, path string) time.Duration {
	t.Helper()
	var worst time.Duration
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		start := time.Now()
		_, err := NewClient(path).Status(ctx)
		cancel()
		if err != nil {
			t.Fatalf("root is not answered: %v", err)
		}
		worst = max(worst, time.Since(start))
	}
	return worst
}

// A user opens 1,000 connections and says nothing. Root is answered; so is another user; the user is told, or cut off.
func TestThousandConnections(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	log := &logText{}
	path := serveAPI(t, &fake{}, Config{Log: log.logger()}, socketDir(t), nil)
	_, held := who{uid: ownerUID}.start(t, "hold", path)
	if !held.Scan() {
		t.Fatal("the child says nothing")
	}
	if worst := rootAnswered(t, path); worst > 10*time.Second { // a hang, not a figure
		t.Errorf("root waited %s", worst)
	}
	in, out := who{uid: otherUID}.start(t, "api", path)
	fmt.Fprintln(in, "GET /v1/status")
	if !out.Scan() || !strings.HasPrefix(out.Text(), "200") {
		t.Errorf("another user got %q", out.Text())
	}
	in, out = who{uid: ownerUID}.start(t, "api", path)
	fmt.Fprintln(in, "GET /v1/status")
	if !out.Scan() || strings.HasPrefix(out.Text(), "200") {
		t.Errorf("the user with 1,000 connections got %q", out.Text())
	}
	if n := strings.Count(log.String(), "connection refused"); n == 0 || n > linesPerUser {
		t.Errorf("%d lines in the log", n)
	}
}

// One above the share of a user is told so; what is closed is free again.
func TestCrowdedIsTold(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	path := serveAPI(t, &fake{}, Config{}, socketDir(t), func(l *limits) { l.perUser = 500 })
	in, held := who{uid: ownerUID}.start(t, "hold", path)
	if !held.Scan() {
		t.Fatal("the child says nothing")
	}
	_ = in
	ask, out := who{uid: ownerUID}.start(t, "api", path)
	fmt.Fprintln(ask, "GET /v1/status")
	if !out.Scan() || !strings.HasPrefix(out.Text(), "0") { // 1,000 are twice of 500: cut off
		t.Errorf("answered %q", out.Text())
	}
	path = serveAPI(t, &fake{}, Config{}, socketDir(t), func(l *limits) { l.perUser, l.header = 999, time.Second })
	_, held = who{uid: ownerUID}.start(t, "hold", path)
	if !held.Scan() {
		t.Fatal("the child says nothing")
	}
	ask, out = who{uid: ownerUID}.start(t, "api", path)
	fmt.Fprintln(ask, "GET /v1/status")
	if !out.Scan() || !strings.HasPrefix(out.Text(), "429") || !strings.Contains(out.Text(), "too many connections") {
		t.Errorf("answered %q", out.Text())
	}
	time.Sleep(1500 * time.Millisecond) // the silent have been cut off
	fmt.Fprintln(ask, "GET /v1/status")
	if !out.Scan() || !strings.HasPrefix(out.Text(), "200") {
		t.Errorf("afterwards answered %q", out.Text())
	}
}

// No one user takes all the requests that jobd carries out at a time.
func TestRequestsInHand(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	hold := make(chan struct{})
	b := &fake{onDo: func(_ context.Context, p Peer, _ Access, r Request) (any, error) {
		if p.UID == ownerUID && r.Verb == List {
			<-hold
		}
		return struct{}{}, nil
	}}
	path := serveAPI(t, b, Config{}, socketDir(t), func(l *limits) { l.requests = 1 })
	first, out1 := who{uid: ownerUID}.start(t, "api", path)
	fmt.Fprintln(first, "GET /v1/jobs")
	for asked, _, _ := b.saw(); len(asked) == 0; asked, _, _ = b.saw() {
		time.Sleep(time.Millisecond)
	}
	second, out2 := who{uid: ownerUID}.start(t, "api", path)
	for line, want := range map[string]string{"GET /v1/jobs": "429", "POST /v1/jobs/17/wait": "200", "POST /v1/jobs/17/kill": "200"} {
		fmt.Fprintln(second, line)
		if !out2.Scan() || !strings.HasPrefix(out2.Text(), want) {
			t.Errorf("%s was answered %q, want %s", line, out2.Text(), want)
		}
	}
	rootAnswered(t, path)
	close(hold)
	if !out1.Scan() || !strings.HasPrefix(out1.Text(), "200") {
		t.Errorf("the first got %q", out1.Text())
	}
}

// What is read for somebody who does not take it counts as theirs until they go: they get no more of it, and others do.
func TestLargeAnswersNotTaken(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	var under atomic.Int64
	b := &fake{onDo: func(_ context.Context, p Peer, _ Access, r Request) (any, error) {
		if p.UID != ownerUID || r.Verb != Procs {
			return struct{}{}, nil
		}
		return Processes(func(yield func(job.Process) bool) error {
			under.Add(1)
			for yield(job.Process{JID: 17}) { // until nobody takes it
			}
			return nil
		}), nil
	}}
	path := serveAPI(t, b, Config{}, socketDir(t), func(l *limits) { l.large, l.largest = 2, 3 })
	deaf, _ := who{uid: ownerUID}.start(t, "deaf", path)
	fmt.Fprint(deaf, "GET /v1/records\nGET /v1/records\n")
	until := func(what string, met func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !met(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain: %s", what)
			}
		}
	}
	until("two answers", func() bool { return under.Load() == 2 })
	mine, said := who{uid: ownerUID}.start(t, "api", path)
	asked := func(line, want string) bool {
		fmt.Fprintln(mine, line)
		return said.Scan() && strings.HasPrefix(said.Text(), want)
	}
	for _, line := range []string{"GET /v1/records", "GET /v1/history", "GET /v1/report", "GET /v1/jobs?all=true", "GET /v1/processes?unjobbed=true", "GET /v1/jobs/17?related=true"} {
		if !asked(line, "429") {
			t.Errorf("%s was answered %q", line, said.Text())
		}
	}
	for _, line := range []string{"GET /v1/jobs", "GET /v1/jobs/17", "GET /v1/status", "POST /v1/jobs/17/kill"} {
		if !asked(line, "200") {
			t.Errorf("%s was answered %q", line, said.Text())
		}
	}
	other, answer := who{uid: otherUID}.start(t, "api", path)
	fmt.Fprintln(other, "GET /v1/records")
	if !answer.Scan() || !strings.HasPrefix(answer.Text(), "200") {
		t.Errorf("another user got %q", answer.Text())
	}
	rootAnswered(t, path)
	deaf.Close()
	until("an answer, when they have gone", func() bool { return asked("GET /v1/history", "200") })
}

// A hundred that say nothing, a hundred half requests, a hundred who never take their answer.
func TestSilentHalfAndSlow(t *testing.T) {
	noLeaks(t)
	big := make([]job.Info, 3000)
	b := &fake{onDo: func(_ context.Context, _ Peer, _ Access, r Request) (any, error) {
		if r.Verb == List {
			return big, nil
		}
		return struct{}{}, nil
	}}
	dir := socketDir(t)
	login := serveLogin(t, b, nil, dir)
	path := serveAPI(t, b, Config{}, dir, func(l *limits) {
		l.header, l.body, l.answer, l.idle = 2*time.Second, 2*time.Second, 2*time.Second, time.Second
	})
	var conns []*net.UnixConn
	for _, in := range []string{
		"", "GET /v1/sta", "POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		for range 100 {
			c := dialAPI(t, path)
			_, _ = io.WriteString(c, in)
			conns = append(conns, c)
		}
	}
	if worst := rootAnswered(t, path); worst > 10*time.Second {
		t.Errorf("root waited %s", worst)
	}
	start := time.Now()
	if _, err := Login(t.Context(), login, alice); err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("a login took %s: %v", time.Since(start), err)
	}
	time.Sleep(2 * time.Second)
	for i, c := range conns { // all were hung up on: what is still in the buffer ends
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("connection %d is still open: %v", i, err)
		}
	}
}

// A body of a gigabyte is refused after 64 KiB.
func TestGigabyteBody(t *testing.T) {
	noLeaks(t)
	path := serveAPI(t, &fake{}, Config{}, socketDir(t), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, header := range []string{"Content-Length: 1073741824", "Transfer-Encoding: chunked"} {
		c := dialAPI(t, path)
		chunk := strings.Repeat("x", 1<<16)
		if strings.HasPrefix(header, "Tr") {
			chunk = "10000\r\n" + chunk + "\r\n"
		}
		fmt.Fprintf(c, "POST /v1/jobs/17/tags HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", header)
		sent := 0
		for range 1 << 14 {
			n, err := io.WriteString(c, chunk)
			if sent += n; err != nil {
				break
			}
		}
		if sent > 8<<20 {
			t.Errorf("%s: %d bytes were taken", header, sent)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v, %v", header, resp, err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// A client that goes ends its wait; a wait outlives the deadlines for reading and writing; jobd's end ends it too.
func TestWaitIsALongPoll(t *testing.T) {
	noLeaks(t)
	left := make(chan error, 1)
	b := &fake{onDo: func(ctx context.Context, _ Peer, _ Access, r Request) (any, error) {
		if r.Timeout > 0 {
			time.Sleep(r.Timeout)
			return job.Info{JID: 17, State: job.Ended}, nil
		}
		<-ctx.Done()
		left <- ctx.Err()
		return nil, ctx.Err()
	}}
	ctx, stop := context.WithCancel(t.Context())
	path := socketDir(t) + "/jobd.sock"
	s, err := Listen(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.limits.header, s.limits.body, s.limits.answer, s.limits.idle = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, b) }()
	c := NewClient(path)

	if in, err := c.Wait(t.Context(), Request{Job: "17", Timeout: 500 * time.Millisecond}); err != nil || in.State != job.Ended {
		t.Errorf("a wait of half a second: %+v, %v", in, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if _, err := c.Wait(gone, Request{Job: "17"}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("a client that goes: %v", err)
	}
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Fatal("the backend still waits for a client that has gone")
	}
	time.AfterFunc(200*time.Millisecond, stop)
	var e *Error
	if _, err := c.Wait(t.Context(), Request{Job: "17"}); !errors.As(err, &e) || e.Code != Unavailable {
		t.Errorf("jobd stops: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// Stopping doesn't wait for those who say nothing.
func TestStopWithSilentClients(t *testing.T) {
	noLeaks(t)
	ctx, stop := context.WithCancel(t.Context())
	path := socketDir(t) + "/jobd.sock"
	s, err := Listen(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, &fake{}) }()
	for range 50 {
		dialAPI(t, path)
	}
	start := time.Now()
	stop()
	if err := <-served; err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("stopping took %s: %v", time.Since(start), err)
	}
}
