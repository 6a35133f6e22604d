package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What they ask who are not what they seem: a session as root, what only root may ask, and what everybody may.
const (
	rootsSession = "verb=open\nversion=1\nuser=root\nuid=0\nservice=sshd\n"
	rootsRequest = "GET /v1/selfcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	anyRequest   = "GET /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)

// knock runs testdata/knock.c and gives what it prints.
func (h *host) knock(ask string, args ...string) string {
	h.t.Helper()
	program := args[0]
	if !filepath.IsAbs(program) {
		program = needProgram(h.t, program)
	}
	cmd := exec.Command(program, args[1:]...)
	cmd.Stdin, cmd.Dir, cmd.Env = strings.NewReader(ask), "/", []string{h.token, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return string(out)
}

// TestWhoKnocks: who asks is who connected, by the kernel's word, and root is uid 0 of jobd's own user namespace that is still
// there.
func TestWhoKnocks(t *testing.T) {
	h := newHost(t)
	knock := built.knock
	setuid := filepath.Join(h.dir, "setuid-knock")
	b, err := os.ReadFile(knock)
	must(t, err)
	must(t, os.WriteFile(setuid, b, 0o755))
	must(t, os.Chmod(setuid, 0o755|os.ModeSetuid))
	api, login, lib := h.client.Path, h.loginSocket(), jobSock(h.client.Path)
	alice := itoa(aliceUID)
	asAlice := []string{"setpriv", "--reuid=" + alice, "--regid=" + alice, "--clear-groups", "--"}
	asContainer := []string{"unshare", "-U", "-r", "--"} // uid 0 of a user namespace of its own
	with := func(who []string, args ...string) []string { return append(append([]string{}, who...), args...) }
	for _, tt := range []struct {
		name, ask string
		args      []string
		want      string
	}{
		{"a user", rootsSession, with(asAlice, knock, "login", login), "cannot connect: Permission denied"},
		{"a user", rootsRequest, with(asAlice, knock, "api", api), "403"},
		{"a user", anyRequest, with(asAlice, knock, "api", api), "200"},
		{"a user's container", rootsSession, with(with(asAlice, asContainer...), knock, "login", login), "cannot connect: Permission denied"},
		{"a user's container", rootsRequest, with(with(asAlice, asContainer...), knock, "api", api), "403"},
		{"a user's container", anyRequest, with(with(asAlice, asContainer...), knock, "api", api), "200"}, // it is that user
		{"root's container", rootsSession, with(asContainer, knock, "login", login), "code=denied"},
		{"root's container", rootsRequest, with(asContainer, knock, "api", api), "user namespace"},
		{"root's container", anyRequest, with(asContainer, knock, "api", api), "403"},
		{"a user with root's program", rootsSession, with(asAlice, knock, "-t", "login", login, setuid, "-3"), "cannot connect"},
		{"a user with root's program", rootsRequest, with(asAlice, knock, "-t", "api", api, setuid, "-3"), "403"},
		{"root with a user's socket", rootsRequest, []string{knock, "-p", alice, "api", api}, "403"},
		{"root with a dead user's socket", rootsRequest, []string{knock, "-d", alice, "api", api}, "403"},
		{"a user", "verb=runcsa\nrun=1\n", with(asAlice, knock, "login", lib), "code=denied"},
		{"a user's container", "verb=runcsa\nrun=1\n", with(with(asAlice, asContainer...), knock, "login", lib), "code=denied"},
		{"root's container", "verb=runcsa\nrun=1\n", with(asContainer, knock, "login", lib), "code=denied"},
		{"root's container", "verb=getjidcnt\n", with(asContainer, knock, "login", lib), "code=denied"},
		{"a user with root's program", "verb=runcsa\nrun=1\n", with(asAlice, knock, "-t", "login", lib, setuid, "-3"), "code=denied"},
		{"root with a user's socket", "verb=runcsa\nrun=1\n", []string{knock, "-p", alice, "login", lib}, "code=denied"},
		{"root", "verb=runcsa\nrun=1\n", []string{knock, "login", lib}, "status=ok"},
		{"root's other namespaces", rootsRequest, []string{"unshare", "-p", "-f", "-m", "-i", "-n", "--", knock, "api", api}, "200"}, // it is root
	} {
		if got := h.knock(tt.ask, tt.args...); !strings.Contains(got, tt.want) {
			t.Errorf("%s asks %q and gets %q, want %q", tt.name, tt.ask, got, tt.want)
		}
	}
	if jobs := h.knock(anyRequest, knock, "api", api); !strings.Contains(jobs, "[]") {
		t.Errorf("somebody got a job: %s", jobs)
	}
}

// Root connects and has gone before jobd looks: nobody knows who would have been asked for, so nothing is done.
func TestGoneBeforeJobdLooks(t *testing.T) {
	h := newHost(t)
	knock := built.knock
	for _, tt := range []struct{ kind, path, ask, want string }{
		{"login", h.loginSocket(), rootsSession, "code=denied"}, {"api", h.client.Path, rootsRequest, "403"},
	} {
		must(t, h.cmd.Process.Signal(unix.SIGSTOP))
		until(t, "jobd stands", func() bool { return stat(int32(h.cmd.Process.Pid))[0] == "T" })
		cmd := exec.Command(knock, "-d", "0", tt.kind, tt.path)
		cmd.Stdin, cmd.Env = strings.NewReader(tt.ask), []string{h.token}
		out := started(t, cmd)
		if line, _ := out.next(); line != "connected" {
			t.Errorf("knock says %q", line)
		}
		must(t, h.cmd.Process.Signal(unix.SIGCONT))
		text := ""
		for line, ok := out.next(); ok; line, ok = out.next() {
			text += line + "\n"
		}
		reap(t, cmd)
		if !strings.Contains(text, tt.want) {
			t.Errorf("%s: the dead gets %q, want %q", tt.kind, text, tt.want)
		}
	}
}
