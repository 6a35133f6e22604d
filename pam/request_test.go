package pam

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The order and the bytes are the module's; docs/protocol.md leaves the order
// open.
const goldenOpen = `verb=open
version=1
user=alice
uid=4242
gid=4343
service=svc
nested=keep
tty=ssh
rhost=client.example.org
ruser=bob
connection=192.0.2.7 50022 192.0.2.1 22
auth=publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0
`

func TestOpenRequest(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	d.setItem("tty", "ssh")
	d.setItem("rhost", "client.example.org")
	d.setItem("ruser", "bob")
	d.putenv("SSH_CONNECTION=192.0.2.7 50022 192.0.2.1 22")
	d.putenv("SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0")
	d.want("open", pamSuccess)
	if diff := cmp.Diff([]string{goldenOpen}, s.seen()); diff != "" {
		t.Error(diff)
	}
	if got := d.jid(); got != okJID {
		t.Errorf("JOB_JID is %q", got)
	}
	if len(d.logs) != 0 {
		t.Errorf("a success without debug is logged: %q", d.logs)
	}
}

func TestCloseRequest(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	d.want("close", pamSuccess)
	if got := s.verbs(); got != "" {
		t.Errorf("a close without an open was reported: %q", got)
	}
	d.want("open", pamSuccess)
	d.want("close", pamSuccess)
	d.want("close", pamSuccess)
	if got := s.verbs(); got != "open close" {
		t.Fatalf("verbs: %q", got)
	}
	const golden = "verb=close\nversion=1\nuser=alice\nservice=svc\n"
	if diff := cmp.Diff(golden, s.seen()[1]); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyFieldsAreLeftOut(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	d.setItem("tty", "")
	d.want("open", pamSuccess)
	const golden = "verb=open\nversion=1\nuser=alice\nuid=4242\ngid=4343\nservice=svc\nnested=keep\n"
	if diff := cmp.Diff([]string{golden}, s.seen()); diff != "" {
		t.Error(diff)
	}
}

func TestHostileValues(t *testing.T) {
	tests := []struct{ name, value, wire string }{
		{"newline", "a\nverb=close\nuid=0", "a%0Averb=close%0Auid=0"},
		{"percent", "100%0A", "100%250A"},
		{"controls", "\x01\x1f\x7f\t\r", "%01%1F%7F%09%0D"},
		{"equals", "a=b=", "a=b="},
		{"UTF-8", "zürich-京", "zürich-京"},
		{"Latin-1", "z\xfcrich\xff\x80", "z\xfcrich\xff\x80"},
		{"space", " a b ", " a b "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := answering(t, okAnswer)
			f := release(t)
			d := newDriver(t, f, confDir(t, "session required "+f.module+" "+s.option()))
			d.start(tt.value)
			for _, item := range []string{"tty", "rhost", "ruser"} {
				d.setItem(item, tt.value)
			}
			d.putenv("SSH_CONNECTION=" + tt.value)
			d.putenv("SSH_AUTH_INFO_0=" + tt.value)
			d.want("open", pamSuccess)
			got := fields(s.seen()[0])
			want := map[string]string{
				"verb": "open", "version": "1", "uid": "4242", "gid": "4343", "service": "svc", "nested": "keep",
				"user": tt.wire, "tty": tt.wire, "rhost": tt.wire, "ruser": tt.wire,
				"connection": tt.wire, "auth": tt.wire,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLongValues(t *testing.T) {
	tests := []struct {
		name            string
		connection, key int
		sent            string // the optional keys that are sent
	}{
		{"the longest key", 10, 4096, "connection auth"},
		{"a longer key", 10, 4097, "connection"},
		{"a connection that fills the message", 9000, 10, "auth"},
		{"a connection that leaves no room for the key", 8000, 400, "connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := answering(t, okAnswer)
			d := newSession(t, s.option())
			d.putenv("SSH_CONNECTION=" + strings.Repeat("c", tt.connection))
			d.putenv("SSH_AUTH_INFO_0=" + strings.Repeat("k", tt.key))
			d.want("open", pamSuccess)
			request := s.seen()[0]
			got := fields(request)
			var sent []string
			for _, k := range []string{"connection", "auth"} {
				if got[k] != "" {
					sent = append(sent, k)
				}
			}
			if strings.Join(sent, " ") != tt.sent || got["user"] != "alice" {
				t.Errorf("sent %q, want %q, in %d bytes", sent, tt.sent, len(request))
			}
			if len(request) > 8192 || !strings.HasSuffix(request, "\n") {
				t.Errorf("a request of %d bytes, ending %q", len(request), request[len(request)-1:])
			}
		})
	}
}

func TestUserTooLong(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	d.setItem("user", strings.Repeat("\x01", 3000)) // three bytes each on the wire
	d.want("open", pamSuccess)
	if len(s.seen()) != 0 || len(d.logs) != 1 || !strings.Contains(d.logs[0], "too long") {
		t.Errorf("requests %d, log %q", len(s.seen()), d.logs)
	}
}
