package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The test program is the abuser too, as somebody else: it runs one of abuses until its standard input ends.
const abuserEnv = "JOBD_E2E_ABUSER"

// abuse is something that an ordinary user does to jobd.sock, or to job.sock beside it, over and over, until stop is closed. begun is called when it is
// under way, each of its rounds is counted.
type abuse func(path string, rounds *atomic.Int64, stop <-chan struct{})

// The abuses, by name.
func abuses() map[string]abuse {
	return map[string]abuse{
		"a thousand connections": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			hold(path, 1000, "", rounds, stop)
		},
		"half requests": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			hold(path, 100, "POST /v1/jobs/1/tags HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", rounds, stop)
		},
		"a byte at a time": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			feed(path, 60, "", strings.Split("GET /v1/status HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("y", 4000), ""), 100*time.Millisecond, rounds, stop)
		},
		"gigabyte bodies": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			feed(path, 16, "POST /v1/jobs/1/tags HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", []string{strings.Repeat("x", 1<<16)}, 0, rounds, stop)
		},
		"endless chunks": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			feed(path, 16, "POST /v1/jobs/1/tags HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
				[]string{"10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n"}, 0, rounds, stop)
		},
		"endless headers": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			feed(path, 16, "GET /v1/status HTTP/1.1\r\nHost: x\r\n", []string{strings.Repeat("A-B: "+strings.Repeat("c", 500)+"\r\n", 20)}, 0, rounds, stop)
		},
		"answers never read": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			ask := ""
			for _, what := range []string{"records", "history", "jobs?all=true", "report?by=command", "processes?unjobbed=true", "status"} {
				ask += "GET /v1/" + what + " HTTP/1.1\r\nHost: x\r\n\r\n"
			}
			hold(path, 120, strings.Repeat(ask, 20), rounds, stop)
		},
		"streams never read": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			hold(path, 60, "GET /v1/watch?all=true HTTP/1.1\r\nHost: x\r\n\r\n", rounds, stop)
		},
		"streams and garbage": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			hold(path, 60, "GET /v1/watch?all=true HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff{}\r\n\r\nGET /", rounds, stop)
		},
		"subscriptions without end": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			body := fmt.Sprintf(`{"pid":%d,"name":"a"}`, os.Getpid())
			churn(path, 8, fmt.Sprintf("POST /v1/subscribe HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body), rounds, stop)
		},
		"requests without end": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			churn(path, 8, "GET /v1/processes?unjobbed=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", rounds, stop)
		},
		"questions without end": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			ask := strings.Repeat("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 50) + "GET /v1/id HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
			churn(path, 60, ask, rounds, stop)
		},
		"libjob: a thousand connections": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			hold(jobSock(path), 1000, "", rounds, stop)
		},
		"libjob: lists never read": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			hold(jobSock(path), 200, "verb=getjidlist\n", rounds, stop)
		},
		"libjob: requests without end": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			churn(jobSock(path), 60, "verb=getjid\nversion=1\n", rounds, stop)
		},
		"connections without end": func(path string, rounds *atomic.Int64, stop <-chan struct{}) {
			churn(path, 8, "", rounds, stop)
		},
	}
}

// runAbuser is main for an abuser.
func runAbuser(name, path string) int {
	var rounds atomic.Int64
	stop, over := make(chan struct{}), make(chan struct{})
	go func() { abuses()[name](path, &rounds, stop); close(over) }()
	for rounds.Load() < 8 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("on")
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(rounds.Load())
	close(stop)
	<-over
	return 0
}

// hold opens connections, says the same on each, and reads nothing. Those that jobd hangs up on are opened anew.
func hold(path string, n int, say string, rounds *atomic.Int64, stop <-chan struct{}) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for open := true; open; open = !sleep(50*time.Millisecond, stop) {
				c, err := dial(path)
				if err != nil {
					continue
				}
				rounds.Add(1)
				_ = c.SetDeadline(time.Now().Add(patience / 4)) // what is answered without end is over before reap loses its own
				if say != "" {                                  // nothing, where messages are kept apart, is one too
					_, _ = io.WriteString(c, say)
				}
				for !sleep(100*time.Millisecond, stop) && still(c) {
				}
				c.Close()
			}
		})
	}
	all.Wait()
}

// dial connects to jobd.sock, or to job.sock, where messages are kept apart.
func dial(path string) (net.Conn, error) {
	if filepath.Base(path) == "job.sock" {
		return net.Dial("unixpacket", path)
	}
	return net.Dial("unix", path)
}

// jobSock is beside jobd.sock.
func jobSock(path string) string { return filepath.Join(filepath.Dir(path), "job.sock") }

// still reports whether jobd keeps a connection, without reading of it.
func still(c net.Conn) bool {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	kept := true
	_ = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		kept = n > 0 || err == syscall.EAGAIN
	})
	return kept
}

// feed opens connections and writes to each without end.
func feed(path string, n int, first string, then []string, pause time.Duration, rounds *atomic.Int64, stop <-chan struct{}) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for open := true; open; open = !sleep(10*time.Millisecond, stop) {
				c, err := dial(path)
				if err != nil {
					continue
				}
				rounds.Add(1)
				_, err = io.WriteString(c, first)
				for i := 0; err == nil && !sleep(pause, stop); i++ {
					_ = c.SetDeadline(time.Now().Add(time.Second))
					_, err = io.WriteString(c, then[i%len(then)])
				}
				c.Close()
			}
		})
	}
	all.Wait()
}

// churn connects, asks, takes the answer and goes, as fast as it can.
func churn(path string, n int, say string, rounds *atomic.Int64, stop <-chan struct{}) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for !sleep(0, stop) {
				c, err := dial(path)
				if err != nil {
					continue
				}
				rounds.Add(1)
				_ = c.SetDeadline(time.Now().Add(patience / 4)) // what is answered without end is over before reap loses its own
				if say != "" {
					_, _ = io.WriteString(c, say)
					_, _ = io.Copy(io.Discard, c)
				}
				c.Close()
			}
		})
	}
	all.Wait()
}

func sleep(d time.Duration, stop <-chan struct{}) (stopped bool) {
	if d == 0 {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	select {
	case <-stop:
		return true
	case <-time.After(d):
		return false
	}
}

// abuser is one at work.
type abuser struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// abused starts an abuser as a user, and returns when it is under way.
func (h *host) abused(t *testing.T, uid uint32, name string) *abuser {
	t.Helper()
	a := &abuser{cmd: exec.Command("/proc/self/exe")}
	a.cmd.Env = append(os.Environ(), abuserEnv+"="+name+"\n"+h.client.Path, h.token)
	a.cmd.Stderr, a.cmd.Dir = h.log, "/"
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	in, err := a.cmd.StdinPipe()
	must(t, err)
	out, err := a.cmd.StdoutPipe()
	must(t, err)
	must(t, a.cmd.Start())
	a.in, a.out = in, bufio.NewScanner(out)
	if !a.out.Scan() || a.out.Text() != "on" {
		t.Fatalf("the abuser says %q", a.out.Text())
	}
	return a
}

// end gives how many rounds there were.
func (a *abuser) end(t *testing.T) int {
	t.Helper()
	a.in.Close()
	a.out.Scan()
	rounds, err := strconv.Atoi(a.out.Text())
	if err != nil {
		t.Errorf("the abuser says %q", a.out.Text())
	}
	reap(t, a.cmd)
	return rounds
}
