package control

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
)

const goodOpen = "verb=open\nversion=1\nuser=alice\nuid=1000\nservice=sshd\n"

func TestLoginRequestRefused(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "no verb"},
		{"no newline", "verb=open", "newline"},
		{"last line cut off", goodOpen + "tty=ss", "newline"},
		{"no equals sign", "verb\n", "key=value"},
		{"empty line", "\n", "key=value"},
		{"upper case key", "Verb=open\n", "key=value"},
		{"key with a digit first", "1verb=open\n", "key=value"},
		{"empty key", "=x\n", "key=value"},
		{"long key", strings.Repeat("k", 33) + "=x\n", "key=value"},
		{"key twice", goodOpen + "user=bob\n", "twice"},
		{"unknown key twice", goodOpen + "new=1\nnew=2\n", "twice"},
		{"empty key twice", goodOpen + "tty=\ntty=\n", "twice"},
		{"too long", goodOpen + "auth=" + strings.Repeat("a", 8192) + "\n", "too many"},
		{"escape cut off", goodOpen + "tty=a%2\n", "cut off"},
		{"lower case escape", goodOpen + "tty=a%0a\n", "bad escape"},
		{"no hexadecimal escape", goodOpen + "tty=a%GG\n", "bad escape"},
		{"control byte", goodOpen + "tty=a\tb\n", "not escaped"},
		{"NUL", goodOpen + "tty=a\x00b\n", "not escaped"},
		{"DEL", goodOpen + "tty=a\x7fb\n", "not escaped"},
		{"carriage return", "verb=open\r\n", "not escaped"},
		{"no verb", "version=1\nuser=alice\n", "no verb"},
		{"unknown verb", "verb=kill\n", "not known"},
		{"version", "verb=close\nversion=2\n", "version"},
		{"no user", "verb=open\nuid=1\nservice=x\n", "no user"},
		{"empty user", "verb=open\nuser=\nuid=1\nservice=x\n", "no user"},
		{"no uid", "verb=open\nuser=a\nservice=x\n", "no uid"},
		{"no service", "verb=open\nuser=a\nuid=1\n", "no service"},
		{"uid is a name", "verb=open\nuser=a\nuid=alice\nservice=x\n", "uid"},
		{"uid below 0", "verb=open\nuser=a\nuid=-1\nservice=x\n", "uid"},
		{"uid too large", "verb=open\nuser=a\nuid=4294967296\nservice=x\n", "uid"},
		{"gid is a name", goodOpen + "gid=users\n", "gid"},
		{"gid that is none", goodOpen + "gid=4294967295\n", "gid"},
		{"uid that is none", "verb=open\nuser=a\nuid=4294967295\nservice=x\n", "uid"},
		{"nested", goodOpen + "nested=maybe\n", "nested"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseLoginRequest([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestLoginRequestRead(t *testing.T) {
	in := "nested=new\nservice=sshd\nfuture_key=%00\nuid=1000\nuser=al%25ice %0A\xff\nverb=open\ntty=ssh\nrhost=10.0.0.1\nruser=bob\n" +
		"connection=10.0.0.1 4711 10.0.0.2 22\nauth=publickey ssh-ed25519 AAAA\n"
	want := LoginRequest{
		Verb: "open", User: "al%ice \n\xff", UID: 1000, Service: "sshd", TTY: "ssh", RHost: "10.0.0.1", RUser: "bob",
		Connection: "10.0.0.1 4711 10.0.0.2 22", Auth: "publickey ssh-ed25519 AAAA", Nested: true,
	}
	got, err := parseLoginRequest([]byte(in))
	if err != nil || got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := parseLoginRequest([]byte("verb=close\nuid=nonsense\n")); err != nil || got.Verb != "close" {
		t.Errorf("close: %+v, %v: what it doesn't need doesn't matter", got, err)
	}
}

func TestLoginAnswers(t *testing.T) {
	jid := job.NewJID(0x12ab, 17)
	for _, c := range []struct {
		a    LoginAnswer
		verb string
		want string
	}{
		{LoginAnswer{JID: jid}, "open", "status=ok\njid=0x000012ab00000011\nseq=17\nkind=new\n"},
		{LoginAnswer{JID: jid, Mark: true}, "open", "status=ok\njid=0x000012ab00000011\nseq=17\nkind=mark\n"},
		{LoginAnswer{}, "close", "status=ok\n"},
	} {
		b := c.a.format(c.verb)
		if string(b) != c.want {
			t.Errorf("%+v is written %q, want %q", c.a, b, c.want)
		}
		if got, err := parseLoginAnswer(b, c.verb); err != nil || got != c.a {
			t.Errorf("%q is read %+v, %v", b, got, err)
		}
	}
	b := formatLoginError(&Error{Code: Disabled, Message: "jobd is drained\n" + strings.Repeat("é", 5000)})
	_, err := parseLoginAnswer(b, "open")
	var e *Error
	if len(b) > longestMessage || !errors.As(err, &e) || e.Code != Disabled || !strings.HasPrefix(e.Message, "jobd is drained\né") {
		t.Errorf("an error of %d bytes came back as %v", len(b), err)
	}
	for _, bad := range []string{"", "status=ok\n", "status=ok\njid=17x\n", "status=maybe\n", "status=ok"} {
		if a, err := parseLoginAnswer([]byte(bad), "open"); err == nil {
			t.Errorf("answer %q was read as %+v", bad, a)
		}
	}
}

func TestRequestTooLongToSend(t *testing.T) {
	r := LoginRequest{Verb: "open", User: "a", Service: "x", Auth: strings.Repeat("%", 4096)}
	if b, err := r.format(); err == nil {
		t.Errorf("%d bytes would be sent", len(b))
	}
}

func FuzzPairs(f *testing.F) {
	f.Add([]byte(goodOpen))
	f.Add([]byte("a=%41%0A\nb=\n"))
	f.Add([]byte("status=error\ncode=busy\nmessage=x%25\n"))
	f.Add([]byte("a=1\na=2\n=\n%"))
	f.Fuzz(func(t *testing.T, in []byte) {
		pairs, err := parsePairs(in)
		_, _ = parseLoginRequest(in)
		_, _ = parseLoginAnswer(in, "open")
		if err != nil {
			return
		}
		var b []byte
		for _, k := range slices.Sorted(maps.Keys(pairs)) {
			b = appendPair(b, k, pairs[k])
		}
		maps.DeleteFunc(pairs, func(_, v string) bool { return v == "" })
		if len(b) > longestMessage {
			t.Fatalf("%d bytes became %d: an escape is never longer than what was read", len(in), len(b))
		}
		again, err := parsePairs(b)
		if err != nil || !reflect.DeepEqual(again, pairs) {
			t.Fatalf("%q became %q and %v, want %v (%v)", in, b, again, pairs, err)
		}
	})
}

func FuzzLoginRequest(f *testing.F) {
	f.Add("alice", uint32(1000), uint32(100), "sshd", "ssh", "10.0.0.1", "", "10.0.0.1 1 10.0.0.2 22", "publickey a b", true)
	f.Add("%\n\x00", uint32(0), uint32(0), "\x7f", "=", "é", "\xff", "", "", false)
	f.Fuzz(func(t *testing.T, user string, uid, gid uint32, service, tty, rhost, ruser, connection, auth string, nested bool) {
		hasGID := gid != 0 && gid != noID
		if !hasGID {
			gid = 0
		}
		for _, r := range []LoginRequest{
			{"open", user, uid, gid, hasGID, service, tty, rhost, ruser, connection, auth, nested},
			{Verb: "close", User: user, Service: service},
		} {
			b, err := r.format()
			if err != nil {
				return // too long
			}
			got, err := parseLoginRequest(b)
			if r.Verb == "open" && (user == "" || service == "" || uid == noID) {
				if err == nil {
					t.Fatalf("%q lacks something and was taken", b)
				}
				continue
			}
			if err != nil || got != r {
				t.Fatalf("%+v became %+v: %v", r, got, err)
			}
		}
	})
}

func FuzzJobRef(f *testing.F) {
	for _, s := range []string{"17", "host:17", "0x12ab00000011", "self", "0", "-1", "+1", "0x", "h:0x1", ":1", "1/kill", "a b:1", "00017", "0X1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := JobRef(s)
		if ref.check() != nil || ref == Self {
			return
		}
		host := ""
		if i := strings.LastIndexByte(s, ':'); i >= 0 {
			host = s[:i]
		}
		if _, err := job.ParseJID(s, 1, host); err != nil {
			t.Fatalf("%q passes here and is no JID: %s", s, err)
		}
		if strings.ContainsAny(s, "/?#% \n\\") {
			t.Fatalf("%q would not survive in a path", s)
		}
	})
}

func TestJobRefs(t *testing.T) {
	for ref, good := range map[JobRef]bool{
		"17": true, "4294967295": true, "login03:17": true, "a.b-c_d:1": true, "0x1": true, "0x000012ab00000011": true, Self: true,
		"": false, "0": false, "4294967296": false, "-1": false, "+1": false, "17 ": false, "0x0": false, "0x": false, "0xg": false,
		"0x00000000000000001": false, ":1": false, "a/b:1": false, "..": false, "SELF": false, "host:0x1": false, "0x1_0": false,
		JobRef(strings.Repeat("a", 400) + ":1"): false,
	} {
		if err := ref.check(); (err == nil) != good {
			t.Errorf("%q: %v, want good %v", ref, err, good)
		}
	}
}

// FuzzLoginAnswer throws anything at the reader of answers: what it takes for one has a JID, or an error a code.
func FuzzLoginAnswer(f *testing.F) {
	f.Add([]byte("status=ok\njid=0x000012ab00000011\nseq=17\nkind=new\n"))
	f.Add([]byte("status=error\ncode=disabled\nmessage=x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ans, err := parseLoginAnswer(b, "open")
		if err == nil && ans.JID == 0 {
			t.Errorf("%q is an answer without a job", b)
		}
	})
}
