package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"
)

// Config is how jobd.sock is to be served. Everything in it may be left out.
type Config struct {
	Log *slog.Logger
	// AdminGID is the group whose members may what root may, on this socket.
	AdminGID *uint32
	// Observe is told of each request that had a verb, with the code of its error, "" for none. It must not wait.
	Observe func(Verb, Code)
}

// Server answers jobd.sock.
type Server struct {
	door                 *door
	limits               limits
	cfg                  Config
	log                  *rateLog
	requests             *tally
	large                *tally
	watches, rootWatches *tally
}

// Listen makes jobd.sock, for everybody. It fails when another jobd answers there, and replaces what a dead one left.
func Listen(path string, cfg Config) (*Server, error) {
	ps, err := newPeers("/proc")
	if err != nil {
		return nil, err
	}
	l, err := listenUnix("unix", path, 0o666)
	if err != nil {
		return nil, err
	}
	return newServer(l, ps, cfg, defaultLimits()), nil
}

func newServer(l *net.UnixListener, ps *peers, cfg Config, lim limits) *Server {
	log := newRateLog(cfg.Log)
	if cfg.Observe == nil {
		cfg.Observe = func(Verb, Code) {}
	}
	d := &door{UnixListener: l, peers: ps, limits: lim, conns: newTally(), log: log}
	d.admin.Store(cfg.AdminGID)
	return &Server{door: d, limits: lim, cfg: cfg, log: log, requests: newTally(), large: newTally(),
		watches: newTally(), rootWatches: newTally()}
}

// SetAdminGID changes the admin group (nil: there is none) for who connects from now on.
func (s *Server) SetAdminGID(gid *uint32) { s.door.admin.Store(gid) }

// Close takes the socket away; Serve returns.
func (s *Server) Close() error { return ignoreClosed(s.door.Close()) }

// guestKey finds a request's connection in its context.
type guestKey struct{}

// Serve answers until the context ends or the server is closed. Requests in hand then see their context end, and get a
// moment to answer.
func (s *Server) Serve(ctx context.Context, b Backend) error {
	srv := &http.Server{
		Handler:           s.handler(b),
		ReadHeaderTimeout: s.limits.header, ReadTimeout: s.limits.body, IdleTimeout: s.limits.idle,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, guestKey{}, c) },
		ErrorLog:                     slog.NewLogLogger(s.log.log.Handler(), slog.LevelDebug),
	}
	down := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(down)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.grace)
		defer cancel()
		_ = srv.Shutdown(grace) // what has not ended by then is closed below
	})
	err := srv.Serve(s.door)
	if !stop() {
		<-down
	}
	srv.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return ignoreClosed(err)
}

// handler sends each request to its route.
func (s *Server) handler(b Backend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", noRoute)
	for _, rt := range routes {
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, rt, b) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := r.Context().Value(guestKey{}).(*guest)
		s.deadline(w)
		switch {
		case g.crowded:
			w.Header().Set("Connection", "close")
			writeError(w, &Error{Code: Busy, Message: "you have too many connections to jobd", Hint: "close some, or try again"})
		case path.Clean(r.URL.Path) != r.URL.Path: // ServeMux would redirect to the clean one
			noRoute(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// deadline gives the client so long to take what is written from now on.
func (s *Server) deadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.answer))
}

func noRoute(w http.ResponseWriter, r *http.Request) {
	writeError(w, &Error{
		Code: BadRequest, Message: "there is no " + clip(r.Method, 16) + " " + clip(strings.ToValidUTF8(r.URL.Path, "?"), 128),
		Hint: "docs/protocol.md lists what there is; is jobd older than its client?",
	})
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt route, b Backend) {
	g := r.Context().Value(guestKey{}).(*guest)
	h := &hand{}
	defer h.free()
	v, err := s.carryOut(w, r, rt, b, g.peer, h)
	s.deadline(w)
	if err != nil {
		e := asError(err)
		s.cfg.Observe(rt.verb, e.Code)
		writeError(w, e)
		return
	}
	if stream, ok := v.(Stream); ok {
		s.stream(w, rt, g.peer, stream)
		return
	}
	s.cfg.Observe(rt.verb, "")
	if lines, ok := v.(Lines); ok {
		s.lines(w, r, lines)
		return
	}
	writeAnswer(w, v, func() { s.deadline(w) })
}

// carryOut checks access before anything of the request is looked at. A panic costs one answer.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, rt route, b Backend, p Peer, h *hand) (v any, err error) {
	req := Request{Verb: rt.verb, Job: JobRef(r.PathValue("job"))}
	defer func() {
		if fault := recover(); fault != nil {
			s.log.log.Error("panic in a request", "verb", string(rt.verb), "panic", fault, "stack", string(debug.Stack()))
			err = Errorf(Internal, "jobd failed, its log says how")
		}
		if err != nil && asError(err).Code == Denied {
			s.log.warn(p, "request denied", "verb", string(rt.verb), "job", clip(string(req.Job), longestKey), "why", denial(p, asError(err)))
		}
	}()
	if err := rt.admit(p); err != nil {
		return nil, err
	}
	if req, err = rt.decode(w, r); err != nil {
		return nil, err
	}
	if err := s.take(h, rt, req, p); err != nil {
		return nil, err
	}
	if req.Verb == ID && req.PID == 0 {
		req.PID = p.PID
	}
	return b.Do(r.Context(), p, rt.access, req)
}

// admit enforces what needs no look at the job.
func (rt route) admit(p Peer) error {
	if rt.op != "" {
		return admit(p, rt.access, "use "+string(rt.verb)+" "+rt.op)
	}
	return admit(p, rt.access, string(rt.verb))
}

// admit says whether a peer may do what is called what, as far as that can be said without a look at the job. Owner is the
// backend's, but uid 0 of another namespace is nobody's owner.
func admit(p Peer, need Access, what string) error {
	if need == Owner {
		need = Anyone
	}
	switch {
	case p.May(need, 0):
		return nil
	case p.UID == 0:
		return &Error{
			Code: Denied, Message: "you are not root of jobd's own user namespace",
			Hint: "ask from outside the container, or as a user of your own",
		}
	}
	return Errorf(Denied, "only %s may %s", need, what)
}
