package pam

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestNested(t *testing.T) {
	for option, want := range map[string]string{"": "keep", "nested=keep": "keep", "nested=new": "new"} {
		s := answering(t, okAnswer)
		d := newSession(t, s.option()+" "+option)
		d.want("open", pamSuccess)
		if got := fields(s.seen()[0])["nested"]; got != want {
			t.Errorf("%q sends nested=%s", option, got)
		}
	}
}

func TestSkip(t *testing.T) {
	tests := []struct {
		options string
		skips   bool
	}{
		{"skip_user=alice", true},
		{"skip_user=bob,alice,carol", true},
		{"skip_user=bob skip_user=carol,alice", true},
		{"skip_user=alic,alicex,,ALICE", false},
		{"skip_user=svc", false},
		{"skip_service=svc", true},
		{"skip_service=cron,svc", true},
		{"skip_service=sv", false},
		{"skip_service=alice", false},
	}
	for _, tt := range tests {
		s := answering(t, okAnswer)
		d := newSession(t, s.option()+" fail=closed "+tt.options)
		d.want("open", pamSuccess)
		d.want("close", pamSuccess)
		if skipped := len(s.seen()) == 0; skipped != tt.skips {
			t.Errorf("%s: skipped is %v", tt.options, skipped)
		}
		if len(d.logs) != 0 {
			t.Errorf("%s: logged %q", tt.options, d.logs)
		}
	}
}

// Nobody is locked out by a typing error, and each is logged once.
func TestMalformedOptions(t *testing.T) {
	options := []string{
		"fail=close", "fail=", "timeout=", "timeout=0", "timeout=-1", "timeout=5s",
		"timeout=30001", "timeout=99999999999999999999", "socket=", "socket=login.sock",
		"socket=/" + strings.Repeat("x", 107), "nested=yes", "account=yes", "skip_user=",
		"skip_service=", "Debug", "nosuch", "nosuch=1", "fail", "debug=1",
	}
	for _, option := range options {
		s := answering(t, okAnswer)
		d := newSession(t, s.option()+" "+option)
		d.want("open", pamSuccess)
		d.want("close", pamSuccess)
		if got := s.verbs(); got != "open close" {
			t.Errorf("%s: requests %q", option, got)
		}
		if len(d.logs) != 1 || !strings.HasPrefix(d.logs[0], "3 ") || !strings.Contains(d.logs[0], option+":") {
			t.Errorf("%s: log %q", option, d.logs)
		}
	}
}

func TestMalformedFailIsOpen(t *testing.T) {
	d := newSession(t, "socket=/nonexistent/login.sock fail=closde")
	d.want("open", pamSuccess)
	if len(d.logs) != 2 {
		t.Errorf("log %q", d.logs)
	}
}

func TestDebug(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option()+" debug")
	d.want("open", pamSuccess)
	d.want("close", pamSuccess)
	want := regexp.MustCompile(`^7 .*job ` + okJID + ` \(new\) for alice\n7 .*closed for alice$`)
	if got := strings.Join(d.logs, "\n"); !want.MatchString(got) {
		t.Errorf("log:\n%s", got)
	}
}

func TestNotRoot(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option()+" fail=closed debug")
	d.do("euid 1000")
	d.want("open", pamSuccess)
	d.want("close", pamSuccess)
	if len(s.seen()) != 0 || len(d.logs) != 1 || !strings.HasPrefix(d.logs[0], "7 ") {
		t.Errorf("requests %d, log %q", len(s.seen()), d.logs)
	}
}

// (sd-pam) drops its rights before it closes.
func TestCloseWithoutRoot(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	d.want("open", pamSuccess)
	d.do("euid 1000")
	d.want("close", pamSuccess)
	if got := s.verbs(); got != "open" || len(d.logs) != 0 {
		t.Errorf("requests %q, log %q", got, d.logs)
	}
}

func TestIntegrationRealUIDs(t *testing.T) {
	needRoot(t)
	s := answering(t, okAnswer)
	d := newSession(t, s.option()+" fail=closed")
	d.do("euid -1")
	d.want("open", pamSuccess)
	if got := d.do("setuid 65534"); got != "rc 0" {
		t.Fatal(got)
	}
	d.want("close", pamSuccess)
	d.want("open", pamSuccess)
	if got := s.verbs(); got != "open" {
		t.Errorf("requests %q", got)
	}
}

// A line in the wrong stack has no say: pam_permit decides.
func TestOtherStacks(t *testing.T) {
	f := release(t)
	line := " required " + f.module + " socket=/nonexistent/login.sock fail=closed"
	conf := confDir(t, "auth"+line, "auth required pam_permit.so", "account"+line, "account required pam_permit.so")
	d := newDriver(t, f, conf)
	d.start("alice")
	for _, phase := range []string{"auth", "setcred", "acct"} {
		d.want(phase, pamSuccess)
	}
	if len(d.logs) != 0 {
		t.Errorf("log %q", d.logs)
	}
}

func TestAccountCreate(t *testing.T) {
	s := answering(t, okAnswer)
	f := release(t)
	conf := confDir(t, "account required "+f.module+" account=create "+s.option(),
		"session required "+f.module+" "+s.option())
	d := newDriver(t, f, conf)
	d.start("alice")
	d.want("acct", pamSuccess)
	if got := s.verbs(); got != "open" {
		t.Fatalf("after the account phase: %q", got)
	}
	d.want("open", pamSuccess)
	if d.jid() != okJID || s.verbs() != "open" {
		t.Errorf("JOB_JID %q, requests %q", d.jid(), s.verbs())
	}
	d.want("close", pamSuccess)
	if got := s.verbs(); got != "open close" {
		t.Errorf("requests %q", got)
	}
}

func TestAccountCreateFails(t *testing.T) {
	for option, want := range map[string]int{"fail=open": pamSuccess, "fail=closed": pamPermDenied} {
		f := release(t)
		d := newDriver(t, f, confDir(t, "account required "+f.module+
			" account=create socket=/nonexistent/login.sock "+option))
		d.start("alice")
		d.want("acct", want)
		if len(d.logs) != 1 {
			t.Errorf("%s: log %q", option, d.logs)
		}
	}
}

func TestOneRequestAHandle(t *testing.T) {
	s := answering(t, okAnswer)
	d := newSession(t, s.option())
	d.want("open", pamSuccess)
	d.want("open", pamSuccess)
	if got := s.verbs(); got != "open" {
		t.Errorf("one handle: %q", got)
	}
	d.do("handle 1")
	d.start("alice")
	d.want("open", pamSuccess)
	if d.jid() != okJID || s.verbs() != "open open" {
		t.Errorf("two handles: JOB_JID %q, requests %q", d.jid(), s.verbs())
	}
	d.want("close", pamSuccess)
	d.end()
	d.do("handle 0")
	d.want("close", pamSuccess)
	if got := s.verbs(); got != "open open close close" {
		t.Errorf("two handles: %q", got)
	}
}

// The stack must pass alone and beside others, required and optional.
func TestFailOpenPassesEveryStack(t *testing.T) {
	f := release(t)
	line := " " + f.module + " socket=/nonexistent/login.sock"
	for _, stack := range [][]string{
		{"session required" + line},
		{"session optional" + line},
		{"session requisite" + line, "session required pam_permit.so"},
		{"session required pam_permit.so", "session optional" + line},
	} {
		d := newDriver(t, f, confDir(t, stack...))
		d.start("alice")
		d.want("open", pamSuccess)
		d.want("close", pamSuccess)
	}
}

func TestManualNamesEveryOption(t *testing.T) {
	manual, err1 := os.ReadFile("module/pam_job.8")
	source, err2 := os.ReadFile("module/options.c")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, m := range regexp.MustCompile(`"([a-z_]+=?)(create)?"`).FindAllSubmatch(source, -1) {
		word := string(m[1])
		if !strings.HasSuffix(word, "=") && word != "debug" {
			continue // a value
		}
		if !strings.Contains(string(manual), word) {
			t.Errorf("pam_job(8) does not name %s", word)
		}
	}
}
