package main

import (
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/jobd-project/jobd/cmd/jobd/logs"
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// The trail: a line in the log for the start and end of each job, each change of membership, and each refusal, that says whose
// job it is and who asked. With an audit daemon each is an audit record too (auditing.go).

// The lines of the trail, and what the audit record of each is called.
const (
	jobStarted  = "job start"
	jobFinished = "job end"
	sessionMark = "session mark"
	membersMove = "membership"
	tookBack    = "took back a process that the events had placed elsewhere"
	change      = "change"

	changeRefused = "change refused"
	loginFailed   = "login failed"
)

// identity is all that says whose job it is.
func identity(in *job.Info) []any {
	return []any{
		"jid", in.JID, "seq", in.JID.Seq(), "user", in.User, "uid", in.UID, "service", string(in.Service), "tty", string(in.TTY),
		"rhost", string(in.RHost), "rport", number(in.RPort), "auth_key", string(in.AuthKey), "login_uid", number(in.LoginUID),
		"audit_session", number(in.AuditSession), "logind_session", string(in.LogindSession), "poe_pid", in.POE,
		"login_jid", number(in.LoginJID), "parent_jid", number(in.ParentJID),
	}
}

// by is who asked: nil where nobody did.
func by(peer *control.Peer) []any {
	if peer == nil {
		return nil
	}
	login := kernel.Proc.LoginUID(peer.PID)
	if !peer.Alive() { // its pid may be another's
		login = nil
	}
	return []any{"by_uid", peer.UID, "by_pid", peer.PID, "by_login_uid", number(login)}
}

// moved logs that processes came into a job, or left it by somebody's word.
func (d *jobd) moved(how string, in *job.Info, ids []watch.ID, peer *control.Peer) {
	if len(ids) == 0 {
		return
	}
	args := append([]any{"how", how}, identity(in)...)
	args = append(args, "processes", len(ids), "pids", pidList(ids))
	d.log.Info(membersMove, append(args, by(peer)...)...)
}

// pidsNamed is how many processes a line names.
const pidsNamed = 32

func pidList(ids []watch.ID) string {
	var b strings.Builder
	for i, id := range ids[:min(len(ids), pidsNamed)] {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(id.PID)))
	}
	if len(ids) > pidsNamed {
		b.WriteString(",…")
	}
	return b.String()
}

// loginRefused logs a login that got no job. What it says of itself is the other end's word.
func (d *jobd) loginRefused(peer control.Peer, req control.LoginRequest, err error) {
	in := loginInfo(req)
	d.log.Warn(loginFailed, append([]any{
		"verb", req.Verb, "user", in.User, "uid", in.UID, "service", string(in.Service), "tty", string(in.TTY), "rhost", string(in.RHost),
		"rport", number(in.RPort), "auth_key", string(in.AuthKey), "error", err,
	}, by(&peer)...)...)
}

// openLines opens the log, where the trail is too. A burst of logins is a line for each of the first, and a count: the books, and the audit
// records, have all of them.
func openLines(w io.Writer, cfg *config) *logs.Log {
	return logs.Open(w, logs.Options{
		Host: cfg.Host, Level: cfg.level(), Burst: cfg.Log.Burst, Stream: os.Getenv("JOURNAL_STREAM"),
		Many: map[string]string{jobStarted: "jobs started", jobFinished: "jobs ended"},
	})
}

// withAudit makes audit records of the trail too, where somebody takes them. The end sends those that wait.
func withAudit(lines slog.Handler) (log *slog.Logger, end func()) {
	to, err := openAudit()
	h := &audited{Handler: lines, to: to, why: err}
	return slog.New(h), h.close
}

// auditing is where the audit records of the trail go; nil: jobd was started without.
func (d *jobd) auditing() *audited {
	h, _ := d.log.Handler().(*audited)
	return h
}
