package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// The test program is its own client under another uid or in another user namespace: see child.
const childEnv = "JOBD_CONTROL_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		child(what, os.Args[1])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child does what it is told on a socket: "job" sends each line to job.sock, with a newline for each ";", and prints what comes, "api" sends the requests that stdin names and prints each answer, "login" sends
// one to login.sock, "deaf" sends them and never reads, "watch" opens ten streams, says how many it got, and keeps them, "hold" opens connections, says how many, and keeps them until stdin ends.
func child(what, path string) {
	in := bufio.NewScanner(os.Stdin)
	switch what {
	case "api":
		for in.Scan() {
			method, rest, _ := strings.Cut(in.Text(), " ")
			url, body, _ := strings.Cut(rest, " ")
			status, text, err := rawRequest(path, method, url, body)
			fmt.Printf("%d %q %v\n", status, text, err)
		}
	case "job":
		for in.Scan() {
			fmt.Printf("%q\n", rawJob(path, strings.ReplaceAll(in.Text(), ";", "\n")))
		}
	case "login":
		for in.Scan() {
			_, err := Login(context.Background(), path, LoginRequest{Verb: "close"})
			fmt.Printf("%v\n", err)
		}
	case "deaf":
		for in.Scan() {
			if c, err := net.Dial("unix", path); err == nil {
				fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\n\r\n", in.Text())
				defer c.Close()
			}
		}
	case "watch":
		n := 0
		for range 10 {
			if _, err := NewClient(path).Watch(context.Background(), Request{All: true}); err == nil {
				n++
			}
		}
		fmt.Println(n)
		for in.Scan() {
		}
	case "hold":
		var conns []net.Conn
		network := "unix"
		if strings.HasSuffix(path, "/job.sock") {
			network = "unixpacket"
		}
		for range 1000 {
			if c, err := net.Dial(network, path); err == nil {
				conns = append(conns, c)
			}
		}
		fmt.Println(len(conns))
		for in.Scan() {
		}
	}
}

// rawJob sends bytes to job.sock and gives the first datagram that comes, or an error's text.
func rawJob(path, request string) string {
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = c.Write([]byte(request))
	buf := make([]byte, longestMessage+1)
	n, err := readAnswer(c, buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

func rawRequest(path, method, url, body string) (int, string, error) {
	t := &http.Transport{DisableKeepAlives: true, DialContext: NewClient(path).dial}
	req, err := http.NewRequest(method, "http://jobd"+url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// who is a caller of another process.
type who struct {
	uid    uint32
	groups []uint32
	userNS bool // uid 0 of a child user namespace
}

// start runs child as somebody. It gives the child's stdin and stdout; the child ends with the test.
func (w who) start(t *testing.T, what, path string) (io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", path)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: w.uid, Gid: w.uid, Groups: w.groups}}
	if w.userNS {
		whole := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: whole, GidMappings: whole}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		cantTest(t, "cannot start a caller as %+v: %s", w, err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child %+v: %s", w, err)
		}
	})
	return in, bufio.NewScanner(out)
}

// cantTest skips, but fails where the integration tests are to run: a skip must not hide a regression.
func cantTest(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("JOBD_INTEGRATION") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		cantTest(t, "needs root, to be somebody else too")
	}
}

// socketDir is a directory that everybody may enter, with a short name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noLeaks fails the test when it leaves goroutines or descriptors behind. It is called first, so that it is run last.
func noLeaks(t *testing.T) {
	t.Helper()
	count := func() (int, int) {
		fds, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(fds)
	}
	goroutines, fds := count()
	t.Cleanup(func() {
		var g, f int
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if g, f = count(); g <= goroutines && f <= fds {
				return
			}
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines and %d descriptors, were %d and %d\n%s", g, f, goroutines, fds, stacks[:runtime.Stack(stacks, true)])
	})
}

// fake is a Backend that answers what it is told to.
type fake struct {
	mu      sync.Mutex
	asked   []Request
	peers   []Peer
	logins  []LoginRequest
	jobs    []JobRequest
	onDo    func(ctx context.Context, p Peer, a Access, r Request) (any, error)
	onLogin func(ctx context.Context, p Peer, r LoginRequest) (LoginAnswer, error)
	onJob   func(ctx context.Context, p Peer, r JobRequest) (JobAnswer, error)
}

func (f *fake) Login(ctx context.Context, p Peer, r LoginRequest) (LoginAnswer, error) {
	f.mu.Lock()
	f.logins, f.peers = append(f.logins, r), append(f.peers, p)
	f.mu.Unlock()
	if f.onLogin == nil {
		return LoginAnswer{JID: job.NewJID(0x12ab, 17)}, nil
	}
	return f.onLogin(ctx, p, r)
}

func (f *fake) Do(ctx context.Context, p Peer, a Access, r Request) (any, error) {
	f.mu.Lock()
	f.asked, f.peers = append(f.asked, r), append(f.peers, p)
	f.mu.Unlock()
	if f.onDo == nil {
		return struct{}{}, nil
	}
	return f.onDo(ctx, p, a, r)
}

func (f *fake) Job(ctx context.Context, p Peer, r JobRequest) (JobAnswer, error) {
	f.mu.Lock()
	f.jobs, f.peers = append(f.jobs, r), append(f.peers, p)
	f.mu.Unlock()
	if f.onJob == nil {
		return JobAnswer{JID: job.NewJID(0x12ab, 17)}, nil
	}
	return f.onJob(ctx, p, r)
}

// saw gives what came so far. The race detector does not see what a socket puts in order, so it takes the lock.
func (f *fake) saw() (asked []Request, logins []LoginRequest, peers []Peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked), slices.Clone(f.logins), slices.Clone(f.peers)
}

// sawJobs is saw for job.sock.
func (f *fake) sawJobs() []JobRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.jobs)
}

// logText is a log that a test may read while it is written.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logText) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// serveAPI runs a Server until the test ends and gives its path. Whoever runs the test is root to it. Change, where given,
// sets limits.
func serveAPI(t testing.TB, b Backend, cfg Config, dir string, change func(*limits)) string {
	t.Helper()
	path := filepath.Join(dir, "jobd.sock")
	s, err := Listen(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.door.peers.root = uint32(os.Getuid())
	if change != nil {
		change(&s.limits)
		s.door.limits = s.limits
	}
	run(t, func(ctx context.Context) error { return s.Serve(ctx, b) })
	return path
}

func serveLogin(t testing.TB, b Backend, log *slog.Logger, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "login.sock")
	s, err := ListenLogin(path, log)
	if err != nil {
		t.Fatal(err)
	}
	s.peers.root = uint32(os.Getuid())
	run(t, func(ctx context.Context) error { return s.Serve(ctx, b) })
	return path
}

// serveJob runs a JobServer until the test ends and gives its path. Change, where given, sets limits.
func serveJob(t testing.TB, b Backend, cfg Config, dir string, change func(*jobLimits)) string {
	t.Helper()
	path := filepath.Join(dir, "job.sock")
	s, err := ListenJob(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.peers.root = uint32(os.Getuid())
	if change != nil {
		change(&s.limits)
	}
	run(t, func(ctx context.Context) error { return s.Serve(ctx, b) })
	return path
}

func run(t testing.TB, serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %s", err)
		}
	})
}

// answerError reads {"error":…}.
func answerError(t *testing.T, body string) *Error {
	t.Helper()
	var a struct{ Error *Error }
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Error == nil {
		t.Fatalf("no error in %q: %v", body, err)
	}
	return a.Error
}
