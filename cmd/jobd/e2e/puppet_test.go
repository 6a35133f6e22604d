package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stage is where puppets (testdata/puppet.c) say hello, and the first of them, which makes the others.
type stage struct {
	t       *testing.T
	l       *net.UnixListener
	serial  int
	early   map[string]*puppet // have said hello before they were waited for
	first   *puppet
	starter *exec.Cmd
}

// puppet is the connection of one thread of a process that does as it is told.
type puppet struct {
	conn *net.UnixConn
	pid  int32 // of its process, by the kernel's word
	tid  int32
}

// newStage starts the first puppet. It has the host's token in its environment, and is in no job.
func (h *host) newStage() *stage {
	h.t.Helper()
	name := h.dir[strings.LastIndexByte(h.dir, '/')+1:]
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: "@" + name, Net: "unixpacket"})
	must(h.t, err)
	s := &stage{t: h.t, l: l, early: make(map[string]*puppet)}
	h.t.Cleanup(s.end)
	s.starter = exec.Command(built.puppet, "first")
	s.starter.Env = []string{h.token, "PUPPET=" + name, "LOGIN_SOCKET=" + h.loginSocket()}
	s.starter.Stderr, s.starter.WaitDelay = h.log, time.Second // the others hold it open
	must(h.t, s.starter.Start())
	s.first, err = s.await("first")
	must(h.t, err)
	_, err = s.first.tell("ignore")
	must(h.t, err)
	return s
}

func (s *stage) end() {
	s.l.Close()
	if s.starter != nil {
		_ = s.starter.Process.Kill()
		_ = s.starter.Wait()
	}
}

// key names somebody who is to say hello.
func (s *stage) key() string {
	s.serial++
	return "k" + itoa(s.serial)
}

// await waits for the hello of a key.
func (s *stage) await(key string) (*puppet, error) {
	end := time.Now().Add(patience)
	for s.early[key] == nil {
		must(s.t, s.l.SetDeadline(end))
		conn, err := s.l.AcceptUnix()
		if err != nil {
			return nil, fmt.Errorf("%s did not say hello: %w", key, err)
		}
		p := &puppet{conn: conn}
		if p.pid, err = peerPID(conn); err != nil {
			return nil, err
		}
		p.tid = p.pid
		words, err := p.read()
		if err != nil || len(words) != 2 || words[0] != "hello" {
			return nil, fmt.Errorf("process %d says %q: %w", p.pid, words, err)
		}
		s.early[words[1]] = p
	}
	p := s.early[key]
	delete(s.early, key)
	return p, nil
}

func peerPID(conn *net.UnixConn) (pid int32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	err = errors.Join(raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }), err)
	if err != nil {
		return 0, err
	}
	return cred.Pid, nil
}

func (p *puppet) read() ([]string, error) {
	buf := make([]byte, 8<<10)
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	n, err := p.conn.Read(buf)
	if errors.Is(err, io.EOF) { // Linux may say the end before what came with it
		n, err = p.conn.Read(buf)
	}
	return strings.Fields(string(buf[:n])), err
}

// order gives an order without waiting for an answer.
func (p *puppet) order(order ...any) error {
	_, err := p.conn.Write([]byte(strings.TrimSuffix(fmt.Sprintln(order...), "\n")))
	return err
}

// tell gives an order and waits until it is carried out. It gives the words behind "ok".
func (p *puppet) tell(order ...any) ([]string, error) {
	if err := p.order(order...); err != nil {
		return nil, err
	}
	words, err := p.read()
	if err != nil || len(words) == 0 || words[0] != "ok" {
		return nil, fmt.Errorf("process %d, told to %v, says %q: %w", p.pid, order, words, err)
	}
	return words[1:], nil
}

// number is tell for an answer that is one number.
func (p *puppet) number(order ...any) (int32, error) {
	words, err := p.tell(order...)
	if err != nil || len(words) != 1 {
		return 0, fmt.Errorf("%q, %w", words, err)
	}
	n, err := strconv.ParseInt(words[0], 10, 32)
	return int32(n), err
}

func (p *puppet) close() { _ = p.conn.Close() }

// threadGone reports whether a task has exited; a first thread stays as a zombie.
func threadGone(pid, tid int32) bool {
	b, err := os.ReadFile(procFile(pid, "task/"+itoa(int(tid))+"/stat"))
	if err != nil {
		return true
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return len(f) > 0 && (f[0] == "Z" || f[0] == "X")
}

// gone waits for a condition, as until does, and says so where it does not come.
func gone(what string, met func() bool) error {
	for end := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain for %s", what)
		}
	}
	return nil
}
