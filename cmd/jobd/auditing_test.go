package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/cmd/jobd/logs"
	"github.com/jobd-project/jobd/job"
)

func TestAuditValue(t *testing.T) {
	for _, tt := range []struct {
		in   any
		want string
	}{
		{17, "17"}, {uint32(0), "0"}, {true, "true"}, {nil, "?"}, {"", "?"}, {"alice", `"alice"`}, {`a\b`, `"a\b"`},
		{"a b", "612062"}, {`a"b`, "612262"}, {"a'b", "612762"}, {"a\nb", "610A62"}, {"\x7f", "7F"}, {"\xff", "FF"}, {"é", "C3A9"},
		{job.NewJID(1, 2), `"0x0000000100000002"`}, {errors.New("no job"), "6E6F206A6F62"},
		{strings.Repeat("x", 500), `"` + strings.Repeat("x", auditLongest) + `"`},
	} {
		if got := auditValue(slog.AnyValue(tt.in)); got != tt.want {
			t.Errorf("%v is written %s, want %s", tt.in, got, tt.want)
		}
	}
}

// Whatever a name is, its record has the fields that it has, and ends where the kernel ends it.
func TestAuditTextHoldsNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`x" res=success`, "x' msg=audit(1:1):", "x uid=0", "x\nop=job-end"}),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "name")
		r := slog.NewRecord(time.Time{}, slog.LevelWarn, loginFailed, 0)
		r.Add("user", name, "uid", 1000, "error", errors.New(name))
		text := auditText("job-login", r)
		fields := strings.Split(text, " ")
		if len(fields) != 5 || fields[0] != "op=job-login" || fields[2] != "uid=1000" || fields[4] != "res=failed" {
			t.Fatalf("%q gives %q", name, text)
		}
		for i := range len(text) {
			if c := text[i]; c < ' ' || c > '~' || c == '\'' {
				t.Fatalf("%q gives %q", name, text)
			}
		}
		if len(text) > 8560/2 {
			t.Fatalf("%d bytes", len(text))
		}
	})
}

func TestAuditStatus(t *testing.T) {
	answer := func(kind uint16, words ...uint32) []byte {
		b := make([]byte, unix.NLMSG_HDRLEN)
		for _, w := range words {
			b = binary.NativeEndian.AppendUint32(b, w)
		}
		binary.NativeEndian.PutUint32(b, uint32(len(b)))
		binary.NativeEndian.PutUint16(b[4:], kind)
		return b
	}
	eperm := ^uint32(unix.EPERM) + 1
	for _, tt := range []struct {
		in   []byte
		want string
	}{
		{answer(unix.AUDIT_GET, 0, 1, 1, 612, 0, 64), ""},
		{answer(unix.AUDIT_GET, 0, 0, 1, 612), "audit is off"},
		{answer(unix.AUDIT_GET, 0, 1, 1, 0), "no audit daemon"},
		{answer(unix.AUDIT_GET, 0, 1), "of 8 bytes"},
		{answer(unix.NLMSG_ERROR, eperm), "operation not permitted"},
		{answer(unix.NLMSG_ERROR), "cut off"}, {nil, "cut off"}, {answer(77, 0, 1, 1, 612), "a message 77"},
	} {
		err := auditStatus(tt.in)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%x: %v, want %q", tt.in, err, tt.want)
		}
	}
}

// The kernel of this host is asked for real. What it says is its own matter; that it is understood is not.
func TestIntegrationAuditProbe(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("JOBD_INTEGRATION") == "1" {
			t.Fatal("this test needs root, whom the kernel tells")
		}
		t.Skip("this test needs root, whom the kernel tells")
	}
	a, err := openAudit()
	switch {
	case err == nil:
		a.close()
		t.Log("a daemon takes records here")
	case strings.Contains(err.Error(), "the answer is") || strings.Contains(err.Error(), "not permitted"):
		t.Error(err)
	default:
		t.Log(err)
	}
}

// fakeAudit is the other end of an auditor: it takes records and may answer.
func fakeAudit(t *testing.T) (*auditor, int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	return newAuditor(pair[0]), pair[1]
}

func record(t *testing.T, fd int) string {
	t.Helper()
	buf := make([]byte, 9000)
	n, err := unix.Read(fd, buf)
	if err != nil || n < unix.NLMSG_HDRLEN+1 || int(binary.NativeEndian.Uint32(buf)) != n ||
		binary.NativeEndian.Uint16(buf[4:]) != auditTrustedApp || buf[n-1] != 0 {
		t.Fatalf("not a record: %q, %v", buf[:n], err)
	}
	return string(buf[unix.NLMSG_HDRLEN : n-1])
}

// A line of the trail is a record, with the same fields; other lines are none.
func TestAuditedLines(t *testing.T) {
	a, fd := fakeAudit(t)
	var text strings.Builder
	h := &audited{Handler: slog.NewTextHandler(&text, nil), to: a}
	log := slog.New(h)
	log.Info("ready")
	in := job.Info{JID: job.NewJID(1, 17), User: "al ice", UID: 1000, Service: "sshd", RHost: "::1", POE: 42}
	log.Info(jobStarted, identity(&in)...)
	log.Warn("login denied", "uid", 1000, "pid", 7, "why", "not uid 0")
	h.close()
	want := `op=job-start jid="0x0000000100000011" seq=17 acct=616C20696365 uid=1000 service="sshd" terminal=? hostname="::1" ` +
		`rport=? auth_key=? auid=? ses=? logind_session=? poe_pid=42 login_jid=? parent_jid=? res=success`
	if got := record(t, fd); got != want {
		t.Errorf("the record is\n%s, want\n%s", got, want)
	}
	if got, want := record(t, fd), `op=job-login uid=1000 pid=7 why=6E6F74207569642030 res=failed`; got != want {
		t.Errorf("the record is\n%s, want\n%s", got, want)
	}
	if n := strings.Count(text.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, &text)
	}
	if s := h.status(); !s.On || s.Sent != 2 || s.Dropped != 0 || s.Why != "" {
		t.Errorf("status %+v", s)
	}
}

// An audit daemon that takes nothing keeps nobody waiting, and what was dropped is counted.
func TestAuditNeverWaits(t *testing.T) {
	a, fd := fakeAudit(t)
	h := &audited{Handler: slog.DiscardHandler, to: a}
	const many = 5 * auditQueue
	for i := range many {
		r := slog.NewRecord(time.Time{}, slog.LevelInfo, jobFinished, 0)
		r.Add("seq", i, "user", strings.Repeat("x", 100))
		if err := h.Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	waiting := len(a.queue)
	if s := h.status(); s.Dropped == 0 || s.Sent == 0 || int(s.Dropped)+int(s.Sent)+waiting < many-2 {
		t.Errorf("status %+v, %d wait", s, waiting)
	}
	for range many - int(h.status().Dropped) { // nothing is dropped any more; a record can be read before it counts as sent
		record(t, fd)
	}
	h.close()
}

// What the kernel refuses is counted and said.
func TestAuditRefused(t *testing.T) {
	a, fd := fakeAudit(t)
	h := &audited{Handler: slog.NewTextHandler(io.Discard, nil), to: a}
	b := make([]byte, unix.NLMSG_HDRLEN, 64)
	b = binary.NativeEndian.AppendUint32(b, ^uint32(unix.ECONNREFUSED)+1)
	binary.NativeEndian.PutUint16(b[4:], unix.NLMSG_ERROR)
	if _, err := unix.Write(fd, b); err != nil {
		t.Fatal(err)
	}
	slog.New(h).Info(jobStarted, "seq", 1)
	h.close()
	if s := h.status(); s.Dropped != 1 || !strings.Contains(string(s.Why), "connection refused") {
		t.Errorf("status %+v", s)
	}
}

// Every line of the log is one line, whatever names are: nobody writes a line of their own, or another's field.
func TestLogHoldsNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.SampledFrom(hostileNames)).Draw(t, "name")
		var text strings.Builder
		lines := logs.Open(&text, logs.Options{})
		in := job.Info{User: name, Service: job.Text(name), TTY: job.Text(name), RHost: job.Text(name), AuthKey: job.Text(name)}
		slog.New(lines.Handler()).Warn(loginFailed, append(identity(&in), "error", fmt.Errorf("no %s", name))...)
		lines.Close()
		line := text.String()
		if strings.Count(line, "\n") != 1 || strings.IndexFunc(line[:len(line)-1], unprintable) >= 0 {
			t.Fatalf("%q is logged as %q", name, line)
		}
		if strings.Contains(name, " by_uid=0") && !strings.Contains(line, `"`) {
			t.Fatalf("%q is logged as %q", name, line)
		}
	})
}
