package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// jobLimits is what job.sock spends on its callers. Who waits for a job keeps a connection meanwhile.
type jobLimits struct {
	perUser  int // connections of one ordinary user
	total    int // connections of everybody
	reserve  int // of them, for root only
	requests int // of one ordinary user in hand; killjid and waitjid take long and don't count
	refusals int // being told no; more are closed without a word
	work     time.Duration
	answer   time.Duration // to take each datagram of an answer
}

func defaultJobLimits() jobLimits {
	l := defaultLimits()
	return jobLimits{
		perUser: l.perUser, total: l.total / 4, reserve: l.reserve / 4, requests: l.requests, refusals: loginRefusals,
		work: loginWork, answer: 5 * time.Second,
	}
}

// JobServer answers job.sock, which libjob speaks. It shares no limit and no goroutine with the other sockets.
type JobServer struct {
	datagrams
	peers    *peers
	limits   jobLimits
	cfg      Config
	conns    *tally
	requests *tally
	admin    atomic.Pointer[uint32] // whose members may what root may
}

// ListenJob makes job.sock, for everybody. It fails when another jobd answers there, and replaces what a dead one left.
func ListenJob(path string, cfg Config) (*JobServer, error) {
	ps, err := newPeers("/proc")
	if err != nil {
		return nil, err
	}
	l, err := listenUnix("unixpacket", path, 0o666)
	if err != nil {
		return nil, err
	}
	return newJobServer(l, ps, cfg, defaultJobLimits()), nil
}

func newJobServer(l *net.UnixListener, ps *peers, cfg Config, lim jobLimits) *JobServer {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Verb, Code) {}
	}
	s := &JobServer{
		datagrams: newDatagrams(l, "job.sock", newRateLog(cfg.Log), lim.refusals), peers: ps, limits: lim, cfg: cfg,
		conns: newTally(), requests: newTally(),
	}
	s.admin.Store(cfg.AdminGID)
	return s
}

// SetAdminGID changes the admin group (nil: there is none) for who connects from now on.
func (s *JobServer) SetAdminGID(gid *uint32) { s.admin.Store(gid) }

// Serve answers until the context ends or the server is closed, and returns when the last request has been answered: those
// that wait for something are then told that jobd is stopping.
func (s *JobServer) Serve(ctx context.Context, b Backend) error {
	return s.each(ctx, func(c *net.UnixConn) { s.take(ctx, b, c) })
}

// take decides what becomes of a connection.
func (s *JobServer) take(ctx context.Context, b Backend, c *net.UnixConn) {
	p, h, err := s.peers.of(c)
	if err != nil {
		s.log.warn(Peer{}, "connection refused", "error", err)
		c.Close()
		return
	}
	p.Admin = p.inAdmin(&s.admin)
	most, mostAll := s.limits.perUser, s.limits.total-s.limits.reserve
	if p.Root {
		most, mostAll = s.limits.total, s.limits.total
	}
	if _, ok := s.conns.add(p.Payer, most, mostAll); !ok {
		s.log.warn(p, "connection refused", "why", "too many")
		h.close()
		s.refuse(c, Errorf(Busy, "too many connections to job.sock are open"))
		return
	}
	s.busy.Go(func() {
		defer func() { h.close(); c.Close(); s.conns.sub(p.Payer) }()
		s.serve(ctx, b, c, p)
	})
}

// serve answers one request.
func (s *JobServer) serve(ctx context.Context, b Backend, c *net.UnixConn, p Peer) {
	msg, err := readDatagram(c)
	if errors.Is(err, io.EOF) {
		return // somebody tried whether jobd is there
	}
	var req JobRequest
	var v jobVerb
	if err == nil {
		req, v, err = parseJobRequest(msg)
	}
	if err != nil {
		s.log.warn(p, "bad request on job.sock", "error", err)
		s.send(c, formatLoginError(Errorf(BadRequest, "%s", err)))
		return
	}
	if !p.Root && !v.long { // until the answer is taken: see hand
		if _, ok := s.requests.add(p.Payer, s.limits.requests, s.limits.total); !ok {
			s.cfg.Observe(v.verb, Busy)
			s.send(c, formatLoginError(Errorf(Busy, "you have too many requests in hand")))
			return
		}
		defer s.requests.sub(p.Payer)
	}
	ans, err := s.carryOut(ctx, b, c, p, req, v)
	if err != nil {
		e := asError(err)
		if ctx.Err() != nil && e.Code == Timeout { // it is not the caller who gave up
			e = Errorf(Unavailable, "jobd is stopping")
		}
		if e.Code == Denied {
			s.log.warn(p, "request denied", "verb", req.Verb, "jid", req.JID, "why", denial(p, e))
		}
		s.cfg.Observe(v.verb, e.Code)
		s.send(c, formatLoginError(e))
		return
	}
	s.cfg.Observe(v.verb, "")
	s.send(c, ans.format(req.Verb)...)
}

// carryOut checks access before the backend is asked. A panic costs one answer.
func (s *JobServer) carryOut(ctx context.Context, b Backend, c *net.UnixConn, p Peer, req JobRequest, v jobVerb) (ans JobAnswer, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.log.log.Error("panic in a request of job.sock", "verb", req.Verb, "panic", fault, "stack", string(debug.Stack()))
			err = Errorf(Internal, "jobd failed, its log says how")
		}
	}()
	if err := admit(p, v.access, "use "+v.name); err != nil {
		return ans, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !v.long { // what is begun is answered, also by a jobd that is told to stop
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.limits.work)
		defer cancel()
	} else {
		s.busy.Go(func() { awaitHangUp(c); cancel() })
		defer c.CloseRead()
	}
	return b.Job(ctx, p, req)
}

// awaitHangUp returns when the client has gone, or says more than it may. Reading ends with the connection.
func awaitHangUp(c *net.UnixConn) {
	_ = c.SetReadDeadline(time.Time{})
	_, _ = c.Read(make([]byte, 1))
}

// send writes an answer. Most fit the empty buffer of a new connection; a long list is taken while it is written.
func (s *JobServer) send(c *net.UnixConn, msgs ...[]byte) {
	for _, msg := range msgs {
		_ = c.SetWriteDeadline(time.Now().Add(s.limits.answer))
		if _, err := c.Write(msg); err != nil {
			return // a client that has gone wants no answer
		}
	}
}
