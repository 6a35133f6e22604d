package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"
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
	datagrams
	peers   *peers
	slots   chan struct{}
	refused func(Code)
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
		datagrams: newDatagrams(l, "login.sock", newRateLog(log), loginRefusals), peers: ps, slots: make(chan struct{}, loginRequests),
		refused: func(Code) {},
	}
}

// OnRefused has f called, from any goroutine, with the code of each session that was not opened. It comes before Serve.
func (s *LoginServer) OnRefused(f func(Code)) { s.refused = f }

// Serve answers until the context ends or the server is closed, and returns when the last request has been answered: a
// login that has got through gets its job, also from a jobd that is told to stop.
func (s *LoginServer) Serve(ctx context.Context, b Backend) error {
	return s.each(ctx, func(c *net.UnixConn) { s.take(ctx, b, c) })
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
		s.refused(Denied)
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
		s.refused(Busy)
		s.refuse(c, Errorf(Busy, "jobd is busy with %d logins", loginRequests))
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
		s.refused(BadRequest)
		answer(c, formatLoginError(Errorf(BadRequest, "%s", err)))
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginWork)
	defer cancel()
	ans, err := s.login(ctx, b, p, req)
	if err != nil {
		if req.Verb == "open" {
			s.refused(asError(err).Code)
		}
		answer(c, formatLoginError(loginError(err)))
		return
	}
	answer(c, ans.format(req.Verb))
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
