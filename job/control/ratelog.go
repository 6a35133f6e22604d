package control

import (
	"log/slog"
	"sync"
	"time"
)

// A user who asks for what is denied in a loop must not fill the log, nor hide what others do.
const (
	linesPerUser  = 5
	linesEvery    = 10 * time.Second
	usersWatched  = 1024
	suppressedKey = "suppressed"
)

// rateLog lets a few lines per user through in a while, and says with the next how many it kept back, also of those whom it forgot.
type rateLog struct {
	log   *slog.Logger
	mu    sync.Mutex
	users map[uint32]*lineCount // by who pays
	kept  int                   // of those that are forgotten
}

type lineCount struct {
	since time.Time
	lines int
	kept  int
}

func newRateLog(log *slog.Logger) *rateLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &rateLog{log: log, users: make(map[uint32]*lineCount)}
}

// warn logs a line about what a peer did.
func (r *rateLog) warn(p Peer, msg string, args ...any) {
	kept, ok := r.pass(p.Payer, time.Now())
	if !ok {
		return
	}
	args = append([]any{"uid", p.UID, "pid", p.PID, "login_uid", p.loginUID()}, args...)
	if kept > 0 {
		args = append(args, suppressedKey, kept)
	}
	r.log.Warn(msg, args...)
}

// loginUID is who somebody logged in as, whoever they have become since; nil where that is not known.
func (p Peer) loginUID() any {
	uid, known := loginUID("/proc", p.PID)
	if !known || p.Alive == nil || !p.Alive() { // its pid may be another's
		return nil
	}
	return uid
}

func (r *rateLog) pass(uid uint32, now time.Time) (kept int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.users[uid]
	if c == nil {
		if len(r.users) >= usersWatched { // many uids at once: forget rather than grow
			for _, old := range r.users {
				r.kept += old.kept
			}
			clear(r.users)
		}
		c = &lineCount{since: now}
		r.users[uid] = c
	}
	if now.Sub(c.since) >= linesEvery {
		kept = c.kept
		*c = lineCount{since: now}
	}
	if c.lines >= linesPerUser {
		c.kept++
		return 0, false
	}
	c.lines++
	kept, r.kept = kept+r.kept, 0
	return kept, true
}
