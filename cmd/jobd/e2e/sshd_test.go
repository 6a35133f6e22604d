package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sshd is a real one in the world, and a key that lets root, alice and bob in.
type sshd struct {
	w    *world
	port string
	cmd  *exec.Cmd
	log  *journal
	key  string
}

const sshdConfig = `
ListenAddress 127.0.0.1:%[1]s
HostKey %[2]s/hostkey
AuthorizedKeysFile %[2]s/keys/%%u
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
PidFile none
PrintMotd no
MaxStartups 100
SetEnv %[3]s
Subsystem sftp %[4]s
`

// newSSHD starts sshd, whose PAM service is "sshd".
func (w *world) newSSHD() *sshd {
	t := w.h.t
	t.Helper()
	s, command := w.prepareSSHD()
	s.cmd = w.command(append(command, "-D", "-e")...)
	s.cmd.Stderr = s.log
	s.cmd.WaitDelay = time.Second
	must(t, s.cmd.Start())
	t.Cleanup(s.end)
	s.log.await(t, "Server listening on")
	return s
}

// prepareSSHD gives the command that starts it.
func (w *world) prepareSSHD() (s *sshd, command []string) {
	t := w.h.t
	t.Helper()
	path := needProgram(t, "sshd")
	needProgram(t, "ssh")
	s = &sshd{w: w, log: &journal{}, key: filepath.Join(w.dir, "key")}
	_, s.port, _ = net.SplitHostPort(freeAddress(t))
	for _, key := range []string{s.key, filepath.Join(w.dir, "hostkey")} {
		must(t, tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f", key))
	}
	pub, err := os.ReadFile(s.key + ".pub")
	must(t, err)
	for _, user := range []string{"root", "alice", "bob"} {
		w.write("keys/"+user, string(pub), 0o644)
	}
	config := w.write("sshd_config", fmt.Sprintf(sshdConfig, s.port, w.dir, w.h.token, needProgram(t, "sftp-server")), 0o600)
	return s, []string{path, "-f", config}
}

func (s *sshd) end() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	if s.w.h.t.Failed() {
		s.w.h.t.Logf("sshd's log:\n%s", s.log)
	}
}

func (s *sshd) options() []string {
	return []string{
		"-F", "none", "-i", s.key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + s.w.dir + "/known_hosts", "-o", "LogLevel=ERROR",
	}
}

// ssh is a client command: its options, then what args says.
func (s *sshd) ssh(user string, args ...string) *exec.Cmd {
	all := append(append(s.options(), "-p", s.port, "-l", user), args...)
	cmd := exec.Command("ssh", all...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", s.w.h.token}
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs a command over a connection of its own.
func (s *sshd) run(user, script string) (string, error) {
	out, err := s.ssh(user, "127.0.0.1", script).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// shell is a login shell over ssh that takes one line after the other.
type shell struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *lines
	pid int32 // of the shell itself
}

// login opens a shell and waits for it. opts come before the host's name.
func (s *sshd) login(user string, opts ...string) *shell {
	t := s.w.h.t
	t.Helper()
	sh := &shell{t: t, cmd: s.ssh(user, append(opts, "127.0.0.1", "exec /bin/sh")...)}
	var err error
	sh.in, err = sh.cmd.StdinPipe()
	must(t, err)
	sh.cmd.Stderr = s.log
	sh.out = started(t, sh.cmd)
	t.Cleanup(sh.logout)
	sh.pid = sh.number("echo $$")
	return sh
}

// say sends a line. The shell reads as much as there is: what another program is to read is not sent before it is there.
func (sh *shell) say(line string) {
	sh.t.Helper()
	if _, err := io.WriteString(sh.in, line+"\n"); err != nil {
		sh.t.Fatalf("cannot send %q: %v", line, err)
	}
}

// do has the shell run a line and gives the one line that comes back.
func (sh *shell) do(line string) string {
	sh.t.Helper()
	sh.say(line)
	got, ok := sh.out.next()
	if !ok {
		sh.t.Fatalf("no answer to %q", line)
	}
	return got
}

func (sh *shell) number(line string) int32 {
	sh.t.Helper()
	text := sh.do(line)
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		sh.t.Fatalf("%q gives %q, want a number", line, text)
	}
	return int32(n)
}

// logout ends the shell and waits for the client; a second time it does nothing.
func (sh *shell) logout() {
	sh.in.Close()
	reap(sh.t, sh.cmd)
}

// hangUp ends the client without a word.
func (sh *shell) hangUp() {
	_ = sh.cmd.Process.Kill()
	_ = sh.cmd.Wait()
}
