package pam

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// permit is a service that lets everybody in, with these session lines.
func permit(t testing.TB, session ...string) string {
	t.Helper()
	return confDir(t, append([]string{"auth required pam_permit.so", "account required pam_permit.so"}, session...)...)
}

func permitAll(t testing.TB) string { return permit(t, "session required pam_permit.so") }

// runAs runs a shell command as user and gives what it printed.
func runAs(t *testing.T, user, conf, script string, change func(*Options)) (Result, string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := Options{Service: "svc", User: user, ConfDir: conf, Cmd: []string{"sh", "-c", script}, Stdout: w, Stderr: w}
	if change != nil {
		change(&o)
	}
	result, err := Run(context.Background(), o)
	w.Close()
	out, rerr := io.ReadAll(r)
	if rerr != nil {
		t.Fatal(rerr)
	}
	return result, string(out), err
}

// me is the user that the tests run as, who may always run for themselves.
func me(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]Result{
		"exit 0":        {},
		"exit 7":        {Code: 7},
		"exit 255":      {Code: 255},
		"kill -KILL $$": {Code: 137, Signal: unix.SIGKILL},
		"kill -TERM $$": {Code: 143, Signal: unix.SIGTERM},
	} {
		got, out, err := runAs(t, me(t), permitAll(t), script, nil)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v; %s", script, got, err, want, out)
		}
	}
}

func TestEmptyUserIsTheCaller(t *testing.T) {
	_, out, err := runAs(t, "", permitAll(t), "id -un; echo $USER", nil)
	if want := me(t); err != nil || out != want+"\n"+want+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestNeedsServiceAndCommand(t *testing.T) {
	for _, o := range []Options{{Cmd: []string{"true"}}, {Service: "svc"}, {Service: "svc", Cmd: []string{""}}} {
		if _, err := Run(context.Background(), o); err == nil || !strings.HasPrefix(err.Error(), "cannot open a session: no ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestIntegrationIdentity(t *testing.T) {
	needRoot(t)
	want, err := exec.Command("sh", "-c", "id -u nobody; id -g nobody; id -G nobody; echo /").Output()
	if err != nil {
		t.Fatal(err)
	}
	before, err := unix.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := runAs(t, "nobody", permitAll(t), "id -u; id -g; id -G; pwd", nil)
	if err != nil || out != string(want) {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
	if after, err := unix.Getgroups(); err != nil || !slices.Equal(before, after) {
		t.Errorf("the caller's groups were %v and are %v, %v", before, after, err)
	}
}

func TestIntegrationEnvironment(t *testing.T) {
	needRoot(t)
	t.Setenv("LEAK", "from the caller")
	conf := permit(t, "session required pam_env.so readenv=0 conffile="+envFile(t))
	_, out, err := runAs(t, "nobody", conf, "exec env", func(o *Options) {
		o.Env = []string{"ADDED=a=b", "USER=other", "malformed"}
	})
	if err != nil {
		t.Fatal(err, out)
	}
	got := fields(out)
	for k, want := range map[string]string{
		"HOME": "/nonexistent", "USER": "other", "LOGNAME": "nobody", "SHELL": "/usr/sbin/nologin",
		"PATH": "/usr/local/bin:/usr/bin:/bin", "ADDED": "a=b", "FROM_PAM": "yes", "LEAK": "", "malformed": "",
	} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
}

func envFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(publicDir(t), "env.conf")
	if err := os.WriteFile(file, []byte("FROM_PAM DEFAULT=yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// The process that calls Run is the point of entry, the command starts when
// the job is there, and the close comes after its end.
func TestIntegrationJob(t *testing.T) {
	needRoot(t)
	dir := publicDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(dir, "ran")
	var early, late error
	s := serve(t, func(s *server, c *net.UnixConn) {
		switch fields(s.read(c))["verb"] {
		case "open":
			_, early = os.Stat(marker)
		case "close":
			_, late = os.Stat(marker)
		}
		c.Write([]byte(okAnswer))
	})
	conf := permit(t, "session required "+moduleSO(t)+" "+s.option())
	r, out, err := runAs(t, "nobody", conf, "echo $JOB_JID; : > "+marker, func(o *Options) {
		o.TTY, o.RHost = "pts/9", "h.example.org"
	})
	if err != nil || r != (Result{}) || out != okJID+"\n" {
		t.Fatalf("%+v, %q, %v", r, out, err)
	}
	if got := s.verbs(); got != "open close" || early == nil || late != nil {
		t.Errorf("%q, at open %v, at close %v", got, early, late)
	}
	open := fields(s.seen()[0])
	if open["user"] != "nobody" || open["uid"] != "65534" || open["tty"] != "pts/9" ||
		open["rhost"] != "h.example.org" || open["ruser"] != me(t) {
		t.Errorf("open: %v", open)
	}
	if s.pids[0] != int32(os.Getpid()) {
		t.Errorf("opened by %d, this is %d", s.pids[0], os.Getpid())
	}
}

func TestIntegrationRefusals(t *testing.T) {
	needRoot(t)
	closed := "session required " + moduleSO(t) + " socket=/nonexistent/login.sock fail=closed"
	tests := []struct {
		name, user, conf, words string
	}{
		{"no job", "nobody", permit(t, closed), "cannot open a session for nobody under svc: session: "},
		{"account", "nobody", confDir(t, "session required pam_permit.so"), "cannot open a session for nobody under svc: account: "},
		{"no such module", "nobody", permit(t, "session required pam_nosuch.so"), "cannot open a session for nobody under svc: "},
		{"no such user", "no-such-user", permitAll(t), "cannot open a session for no-such-user under svc: user: no such user"},
		{"no configuration", "nobody", "/nonexistent", "cannot open a session for nobody under svc: start: "},
	}
	for _, tt := range tests {
		_, out, err := runAs(t, tt.user, tt.conf, "echo ran", nil)
		if err == nil || !strings.HasPrefix(err.Error(), tt.words) || out != "" {
			t.Errorf("%s: %q, %v", tt.name, out, err)
		}
	}
}

func TestIntegrationCommandThatCannotStart(t *testing.T) {
	needRoot(t)
	s := answering(t, okAnswer)
	conf := permit(t, "session required "+moduleSO(t)+" "+s.option())
	for _, name := range []string{"no-such-command", "/no/such/command", "/etc/passwd"} {
		_, _, err := runAs(t, "nobody", conf, "", func(o *Options) { o.Cmd = []string{name} })
		if err == nil || !strings.HasPrefix(err.Error(), "cannot run "+name+" as nobody: ") {
			t.Errorf("%v", err)
		}
	}
	if got := s.verbs(); got != "open close open close open close" {
		t.Errorf("requests %q", got)
	}
}

func TestConversation(t *testing.T) {
	conf := permit(t, "session optional pam_echo.so hello %u")
	_, out, err := runAs(t, "", conf, "echo ran", nil)
	if err != nil || out != "hello "+me(t)+"\nran\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAuthenticate(t *testing.T) {
	conf := confDir(t, "auth required pam_ftp.so users="+me(t), "auth required pam_permit.so", "account required pam_permit.so",
		"session required pam_permit.so")
	ask := func(o *Options) { o.Authenticate = true }
	_, _, err := runAs(t, "", conf, ":", ask)
	if err == nil || !strings.Contains(err.Error(), " under svc: authentication: ") {
		t.Errorf("nobody to ask, and yet: %v", err)
	}
	var asked string
	_, _, err = runAs(t, "", conf, ":", func(o *Options) {
		o.Authenticate = true
		o.Prompt = func(question string, echo bool) (string, error) {
			asked += question
			return "me@example.org", nil
		}
	})
	if err != nil || !regexp.MustCompile("(?i)password|mail").MatchString(asked) {
		t.Errorf("asked %q, %v", asked, err)
	}
}

func TestLeavesNoDescriptors(t *testing.T) {
	run := func() int {
		if _, _, err := runAs(t, "", permitAll(t), ":", nil); err != nil {
			t.Fatal(err)
		}
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := run()
	for range 5 {
		run()
	}
	if after := run(); after != before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
}
