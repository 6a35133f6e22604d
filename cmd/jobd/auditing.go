package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// auditor sends the trail to the kernel's audit, which hands it to auditd. It never lets anybody wait: what does not fit its
// queue is counted and dropped, and the line in the log is still there.
type auditor struct {
	fd            int
	queue         chan string
	end           chan struct{}
	ended         sync.WaitGroup
	sent, dropped atomic.Uint64
	failed        atomic.Pointer[error] // the last time that the kernel refused a record
}

// auditQueue is how many records may wait: a storm of logins while auditd is slow.
const auditQueue = 1024

// errNoAuditd: the kernel writes records into its log where no daemon takes them. That is no use to anybody.
var errNoAuditd = errors.New("no audit daemon has registered")

// openAudit asks the kernel whether somebody takes audit records, which takes CAP_AUDIT_CONTROL: so once, at the start.
func openAudit() (*auditor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = probeAudit(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newAuditor(fd), nil
}

func newAuditor(fd int) *auditor {
	a := &auditor{fd: fd, queue: make(chan string, auditQueue), end: make(chan struct{})}
	a.ended.Go(a.run)
	return a
}

// probeTime is how long the kernel may take to say how audit is: a thread of its own answers.
const probeTime = 2 * time.Second

// probeAudit is nil when audit is on and a daemon has registered.
func probeAudit(fd int) error {
	wait := unix.NsecToTimeval(int64(probeTime))
	err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) // the kernel
	}
	if err == nil {
		_, err = unix.Write(fd, auditMessage(unix.AUDIT_GET, ""))
	}
	buf := make([]byte, 4096)
	n := 0
	if err == nil {
		n, err = unix.Read(fd, buf)
	}
	if err != nil {
		return fmt.Errorf("cannot ask how audit is: %w", err)
	}
	return auditStatus(buf[:n])
}

// auditStatus reads the answer to AUDIT_GET: struct audit_status (linux/audit.h), in which enabled is the second word and the
// daemon's pid the fourth; or an error (netlink(7)).
func auditStatus(b []byte) error {
	ne := binary.NativeEndian
	if len(b) < unix.NLMSG_HDRLEN+4 {
		return errors.New("cannot ask how audit is: the answer is cut off")
	}
	body := b[unix.NLMSG_HDRLEN:]
	switch kind := ne.Uint16(b[4:]); {
	case kind == unix.NLMSG_ERROR:
		return fmt.Errorf("cannot ask how audit is: %w", unix.Errno(-int32(ne.Uint32(body))))
	case kind != unix.AUDIT_GET || len(body) < 16:
		return fmt.Errorf("cannot ask how audit is: the answer is a message %d of %d bytes", kind, len(body))
	case ne.Uint32(body[4:]) == 0:
		return errors.New("audit is off")
	case ne.Uint32(body[12:]) == 0:
		return errNoAuditd
	}
	return nil
}

// auditMessage is a netlink message to audit. No answer is asked for: only errors come.
func auditMessage(kind uint16, text string) []byte {
	ne := binary.NativeEndian
	b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(text)+1)
	if text != "" {
		b = append(append(b, text...), 0)
	}
	ne.PutUint32(b, uint32(len(b)))
	ne.PutUint16(b[4:], kind)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST)
	return b
}

// put queues a record.
func (a *auditor) put(text string) {
	select {
	case a.queue <- text:
	default:
		a.dropped.Add(1)
	}
}

// run sends what is queued. The kernel may make it wait while auditd is behind.
func (a *auditor) run() {
	for {
		select {
		case text := <-a.queue:
			a.send(text)
		case <-a.end:
			for {
				select {
				case text := <-a.queue:
					a.send(text)
				default:
					return
				}
			}
		}
	}
}

// auditTrustedApp is the type of records whose text is the program's own (AUDIT_TRUSTED_APP, linux/audit.h).
const auditTrustedApp = 1121

func (a *auditor) send(text string) {
	_, err := unix.Write(a.fd, auditMessage(auditTrustedApp, text))
	if err == nil {
		err = a.refused()
	}
	if err != nil {
		a.dropped.Add(1)
		a.failed.Store(&err)
		return
	}
	a.sent.Add(1)
}

// refused reads the errors that the kernel has answered: before the write returned, if at all.
func (a *auditor) refused() (last error) {
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(a.fd, buf, unix.MSG_DONTWAIT)
		if err != nil || n < unix.NLMSG_HDRLEN+4 {
			return last
		}
		ne := binary.NativeEndian
		if code := int32(ne.Uint32(buf[unix.NLMSG_HDRLEN:])); ne.Uint16(buf[4:]) == unix.NLMSG_ERROR && code != 0 {
			last = unix.Errno(-code)
		}
	}
}

// closeTime is how long the end of jobd waits for records that are queued.
const closeTime = time.Second

func (a *auditor) close() {
	close(a.end)
	done := make(chan struct{})
	go func() { a.ended.Wait(); close(done) }()
	select {
	case <-done:
		unix.Close(a.fd)
	case <-time.After(closeTime):
	}
}

// audited is a log whose lines of the trail are audit records too.
type audited struct {
	slog.Handler
	to  *auditor // nil: nobody takes them …
	why error    // … and why
}

func (h *audited) close() {
	if h.to != nil {
		h.to.close()
	}
}

// status is how the records fare.
func (h *audited) status() (s control.AuditStatus) {
	if h == nil {
		return s
	}
	if h.to == nil {
		s.Why = job.Text(h.why.Error())
		return s
	}
	s.On, s.Sent, s.Dropped = true, h.to.sent.Load(), h.to.dropped.Load()
	if err := h.to.failed.Load(); err != nil {
		s.Why = job.Text("the kernel refused a record: " + (*err).Error())
	}
	return s
}

// Handle sends the record on its way and writes the line.
func (h *audited) Handle(ctx context.Context, r slog.Record) error {
	if op := auditOp(r.Message); op != "" && h.to != nil {
		h.to.put(auditText(op, r))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps what jobd does not use from losing the records.
func (h *audited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &audited{Handler: h.Handler.WithAttrs(attrs), to: h.to, why: h.why}
}

// WithGroup does as well.
func (h *audited) WithGroup(name string) slog.Handler {
	return &audited{Handler: h.Handler.WithGroup(name), to: h.to, why: h.why}
}
