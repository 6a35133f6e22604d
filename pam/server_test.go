package pam

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	okAnswer = "status=ok\njid=0x0000002a00000011\nseq=17\nkind=new\n"
	okJID    = "0x0000002a00000011"
)

// server stands in for jobd on a login.sock.
type server struct {
	path string
	ln   *net.UnixListener
	wg   sync.WaitGroup

	mu       sync.Mutex
	requests []string
	pids     []int32
}

// serve answers each connection with handle, one after the other.
func serve(t testing.TB, handle func(s *server, c *net.UnixConn)) *server {
	t.Helper()
	s := &server{path: filepath.Join(publicDir(t), "login.sock")}
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: s.path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	s.ln = ln
	s.wg.Go(func() {
		for {
			c, err := ln.AcceptUnix()
			if err != nil {
				return
			}
			handle(s, c)
			c.Close()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.wg.Wait()
	})
	return s
}

// answering gives every request the same answer.
func answering(t testing.TB, answer string) *server {
	t.Helper()
	return serve(t, func(s *server, c *net.UnixConn) {
		s.read(c)
		c.Write([]byte(answer))
	})
}

// silent reads and says nothing until the client has gone.
func silent(t testing.TB) *server {
	t.Helper()
	return serve(t, func(s *server, c *net.UnixConn) {
		s.read(c)
		untilGone(c)
	})
}

func untilGone(c *net.UnixConn) {
	var one [1]byte
	c.Read(one[:])
}

// read takes one request, and notes it and who sent it.
func (s *server) read(c *net.UnixConn) string {
	buf := make([]byte, 16384)
	n, _ := c.Read(buf)
	pid := peer(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, string(buf[:n]))
	s.pids = append(s.pids, pid)
	return string(buf[:n])
}

func peer(c *net.UnixConn) int32 {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	pid := int32(-1)
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = cred.Pid
		}
	})
	return pid
}

// seen gives the requests so far. The module has its answer before that is
// asked, so they are all there.
func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// verbs gives the verb of each request so far.
func (s *server) verbs() string {
	var verbs []string
	for _, r := range s.seen() {
		verbs = append(verbs, fields(r)["verb"])
	}
	return strings.Join(verbs, " ")
}

func fields(request string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(request) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		m[k] = v
	}
	return m
}

// option is the socket= of this server, with a time that no answer needs.
func (s *server) option() string { return fmt.Sprintf("socket=%s timeout=30000", s.path) }
