package control

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// limits is what jobd.sock spends on its callers. Root has no share of its own but what is kept free for it.
type limits struct {
	perUser  int // connections of one ordinary user: those above it are told so, above twice of it closed at once
	total    int // connections of everybody
	reserve  int // of them, for root only
	requests int // of one ordinary user until their answers are taken; kill and wait take long and don't count
	watches  int // of one ordinary user that go on: watch and subscribe
	watching int // of these, of all ordinary users together; root has as many
	large    int // of them, those that read the books or look at every process: what they hold is no longer small
	largest  int // of these, of all ordinary users together

	header, body, idle time.Duration // to send a request line and headers, all of a request, the next request
	answer             time.Duration // to read an answer
	grace              time.Duration // for answers in hand, when jobd stops
}

// defaultLimits leaves room for jobd's own files: a connection is two descriptors, the socket and its process.
func defaultLimits() limits {
	l := limits{
		perUser: 64, total: 4096, reserve: 256, requests: 16, watches: 16, watching: 512, large: 4, largest: 64,
		header: 5 * time.Second, body: 10 * time.Second, idle: time.Minute, answer: 30 * time.Second, grace: time.Second,
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < uint64(4*l.total) {
		l.total = max(int(files.Cur)/4, 16)
		l.reserve = min(l.reserve, l.total/4)
		l.watching = min(l.watching, l.total/4)
	}
	return l
}

// hand is what one request is counted under, until its answer is taken: one who doesn't read must not have jobd keep what it
// read for them a hundred times over.
type hand struct{ leave []func() }

func (h *hand) free() {
	for _, leave := range h.leave {
		leave()
	}
}

// take counts a request, or refuses it.
func (s *Server) take(h *hand, rt route, req Request, p Peer) error {
	if rt.verb == Watch || rt.verb == Subscribe {
		return s.takeWatch(h, p)
	}
	if rt.long || p.Root {
		return nil
	}
	if _, ok := s.requests.add(p.Payer, s.limits.requests, s.limits.total); !ok {
		return &Error{Code: Busy, Message: "you have too many requests in hand", Hint: "try again"}
	}
	h.leave = append(h.leave, func() { s.requests.sub(p.Payer) })
	if !req.large() {
		return nil
	}
	if _, ok := s.large.add(p.Payer, s.limits.large, s.limits.largest); !ok {
		return &Error{Code: Busy, Message: "too many questions about the books are in hand", Hint: "try again"}
	}
	h.leave = append(h.leave, func() { s.large.sub(p.Payer) })
	return nil
}

// takeWatch counts a stream that goes on. Root's are counted apart from the others'.
func (s *Server) takeWatch(h *hand, p Peer) error {
	of, most := s.watches, s.limits.watches
	if p.Root {
		of, most = s.rootWatches, s.limits.watching
	}
	n, ok := of.add(p.Payer, most, s.limits.watching)
	switch {
	case ok:
		h.leave = append(h.leave, func() { of.sub(p.Payer) })
		return nil
	case n >= most:
		return &Error{Code: Busy, Message: fmt.Sprintf("you watch %d times already, and may not more often", n), Hint: "end one of them"}
	}
	return &Error{Code: Busy, Message: fmt.Sprintf("too many watch already: %d", s.limits.watching), Hint: "try again later"}
}

// large reports whether what answers a request may be a large part of the books, or takes a look at every process.
func (r Request) large() bool {
	switch r.Verb {
	case History, Procs, Report:
		return true
	case List:
		return r.All
	case PS:
		return r.Unjobbed
	case Show:
		return r.Related
	}
	return false
}

// tally counts something for each user.
type tally struct {
	mu    sync.Mutex
	all   int
	users map[uint32]int
}

func newTally() *tally { return &tally{users: make(map[uint32]int)} }

// add counts one more unless there are most of the user's, or mostAll of everybody's, and says how many the user has.
func (t *tally) add(uid uint32, most, mostAll int) (n int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = t.users[uid]
	if n >= most || t.all >= mostAll {
		return n, false
	}
	t.users[uid]++
	t.all++
	return n + 1, true
}

func (t *tally) sub(uid uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.users[uid]--; t.users[uid] == 0 {
		delete(t.users, uid)
	}
}

// door is jobd.sock as http.Server sees it: who comes in is identified and counted before a byte is read.
type door struct {
	*net.UnixListener
	peers  *peers
	limits limits
	conns  *tally
	log    *rateLog
	admin  atomic.Pointer[uint32]
}

// Accept gives the next connection that there is room for.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if g := d.admit(c); g != nil {
			return g, nil
		}
		c.Close()
	}
}

func (d *door) admit(c *net.UnixConn) *guest {
	p, h, err := d.peers.of(c)
	if err != nil {
		d.log.warn(Peer{}, "connection refused", "error", err)
		return nil
	}
	p.Admin = p.inAdmin(&d.admin)
	most, mostAll := 2*d.limits.perUser, d.limits.total-d.limits.reserve
	if p.Root {
		most, mostAll = d.limits.total, d.limits.total
	}
	n, ok := d.conns.add(p.Payer, most, mostAll)
	if !ok {
		d.log.warn(p, "connection refused", "why", "too many", "open", n)
		h.close()
		return nil
	}
	leave := sync.OnceFunc(func() { h.close(); d.conns.sub(p.Payer) })
	return &guest{UnixConn: c, peer: p, crowded: !p.Root && n > d.limits.perUser, answer: d.limits.answer, leave: leave}
}

// guest is a connection whose other end is known.
type guest struct {
	*net.UnixConn
	peer    Peer
	crowded bool // one too many: to be told so
	answer  time.Duration
	leave   func()
	streams atomic.Bool // it is being sent an answer that goes on
}

// Read ends where something comes while a stream goes on: nothing is asked there, and http.Server, which reads a byte to hear of the other
// end's going, would hear of it no more.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.UnixConn.Read(b)
	if n > 0 && g.streams.Load() {
		return 0, io.EOF
	}
	return n, err
}

// Close lets go of the process too.
func (g *guest) Close() error {
	defer g.leave()
	return g.UnixConn.Close()
}

// SetWriteDeadline never takes a deadline away: what http.Server writes by itself, between requests, has one too.
func (g *guest) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(2 * g.answer)
	}
	return g.UnixConn.SetWriteDeadline(t)
}
