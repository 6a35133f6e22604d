package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What login.sock spends on its callers. They are root: the limits are against accidents.
const (
	loginRequests = 256                    // carried out, or waited for, at a time
	loginRefusals = 64                     // being told no; more are closed without a word
	loginRead     = 500 * time.Millisecond // for a request to come
	loginWork     = 10 * time.Second       // for the backend: nobody's timeout is longer
	acceptPause   = 10 * time.Millisecond  // after an accept that failed: out of descriptors, most likely
)

// LoginServer answers login.sock. It shares no limit and no goroutine with the other sockets.
type LoginServer struct {
	listener *net.UnixListener
	peers    *peers
	log      *rateLog
	slots    chan struct{}
	refusals chan struct{}
	busy     sync.WaitGroup
}

// ListenLogin makes login.sock, for root only. It fails when another jobd answers there, and replaces what a dead one left.
func ListenLogin(path string, log *slog.Logger) (*LoginServer, error) {
	ps, err := newPeers("/proc")
	if err != nil {
		return nil, err
	}
	l, err := listenUnix("unixpacket", path, 0o600)
	if err != nil {
		return nil, err
	}
	return newLoginServer(l, ps, log), nil
}

func newLoginServer(l *net.UnixListener, ps *peers, log *slog.Logger) *LoginServer {
	return &LoginServer{
		listener: l, peers: ps, log: newRateLog(log),
		slots: make(chan struct{}, loginRequests), refusals: make(chan struct{}, loginRefusals),
	}
}

// Close takes the socket away; Serve returns.
func (s *LoginServer) Close() error { return ignoreClosed(s.listener.Close()) }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Serve answers until the context ends or the server is closed, and returns when the last request has been answered: a
// login that has got through gets its job, also from a jobd that is told to stop.
func (s *LoginServer) Serve(ctx context.Context, b Backend) error {
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	defer s.busy.Wait()
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			s.take(ctx, b, c)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			s.log.warn(Peer{PID: int32(os.Getpid())}, "cannot accept on login.sock", "error", err)
			time.Sleep(acceptPause)
		}
	}
}

// take decides what becomes of a connection. It does nothing that could wait.
func (s *LoginServer) take(ctx context.Context, b Backend, c *net.UnixConn) {
	p, h, err := s.peers.of(c)
	if err != nil {
		s.log.warn(Peer{}, "login refused", "error", err)
		c.Close()
		return
	}
	if !p.Root {
		s.log.warn(p, "login denied", "why", p.notRoot())
		h.close()
		s.refuse(c, Errorf(Denied, "only root of jobd's own user namespace may open and close sessions"))
		return
	}
	select {
	case s.slots <- struct{}{}:
		s.busy.Go(func() {
			defer func() { h.close(); c.Close(); <-s.slots }()
			s.serve(ctx, b, c, p)
		})
	default:
		s.log.warn(p, "login refused", "why", "too many at a time")
		h.close()
		s.refuse(c, Errorf(Busy, "jobd is busy with %d logins", loginRequests))
	}
}

// refuse says no before the request has been read. The request is then waited for: a socket that is closed with a
// request unread gives the client ECONNRESET in place of the answer.
func (s *LoginServer) refuse(c *net.UnixConn, e *Error) {
	select {
	case s.refusals <- struct{}{}:
		s.busy.Go(func() {
			defer func() { c.Close(); <-s.refusals }()
			s.send(c, formatLoginError(e))
			_, _ = readDatagram(c)
		})
	default:
		c.Close()
	}
}

// serve answers one request.
func (s *LoginServer) serve(ctx context.Context, b Backend, c *net.UnixConn, p Peer) {
	msg, err := readDatagram(c)
	if errors.Is(err, io.EOF) {
		return // somebody tried whether jobd is there
	}
	var req LoginRequest
	if err == nil {
		req, err = parseLoginRequest(msg)
	}
	if err != nil {
		s.log.warn(p, "bad login request", "error", err)
		s.send(c, formatLoginError(Errorf(BadRequest, "%s", err)))
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginWork)
	defer cancel()
	ans, err := s.login(ctx, b, p, req)
	if err != nil {
		s.send(c, formatLoginError(loginError(err)))
		return
	}
	s.send(c, ans.format(req.Verb))
}

// login carries a request out. A panic of the backend costs one login its job, not all of them jobd.
func (s *LoginServer) login(ctx context.Context, b Backend, p Peer, req LoginRequest) (ans LoginAnswer, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.log.Error("panic in a login", "panic", r, "stack", string(debug.Stack()))
			err = Errorf(Internal, "jobd failed, its log says how")
		}
	}()
	return b.Login(ctx, p, req)
}

// loginError keeps to the codes that the protocol has: what is not the caller's fault is unavailable.
func loginError(err error) *Error {
	e := asError(err)
	switch e.Code {
	case BadRequest, Denied, Disabled, Busy, Unavailable:
		return e
	}
	return &Error{Code: Unavailable, Message: e.Message}
}

// send writes an answer. It fits the empty buffer of a new connection; the deadline is for what can't happen.
func (s *LoginServer) send(c *net.UnixConn, msg []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(loginRead))
	_, _ = c.Write(msg) // a client that has gone wants no answer
}

// readDatagram reads one message whole, or says what is wrong with it.
func readDatagram(c *net.UnixConn) ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(loginRead)); err != nil {
		return nil, err
	}
	buf := make([]byte, longestMessage)
	n, _, flags, _, err := c.ReadMsgUnix(buf, nil)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("no request came within %s", loginRead)
	case err != nil:
		return nil, err
	case flags&unix.MSG_TRUNC != 0:
		return nil, fmt.Errorf("more than %d bytes", longestMessage)
	}
	return buf[:n], nil
}
