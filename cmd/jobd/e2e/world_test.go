package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// The users of the world; uids that are nobody's on a usual host.
const (
	aliceUID = 23101
	bobUID   = 23102
	guestUID = 23110 // the first of some more
	guests   = 30
)

// world is a mount namespace with users, PAM stacks and a system log of its own; see testdata/world.sh.
type world struct {
	h      *host
	dir    string
	holder *exec.Cmd
	hold   interface{ Close() error }
	ns     string // as readlink has it
	syslog *journal
	log    net.PacketConn
	logins []*exec.Cmd
}

// newWorld makes the host's world. stacks gives the session lines of each PAM service; %m is pam_job.so with its socket.
func (h *host) newWorld(stacks map[string]string) *world {
	h.t.Helper()
	w := &world{h: h, dir: filepath.Join(h.dir, "world"), syslog: &journal{}}
	for _, d := range []string{"etc/pam.d", "etc/none", "dev", "crontabs", "home/alice", "home/bob", "home/root", "keys"} {
		must(h.t, os.MkdirAll(filepath.Join(w.dir, d), 0o755))
	}
	must(h.t, os.Chown(filepath.Join(w.dir, "home/alice"), aliceUID, aliceUID))
	must(h.t, os.Chown(filepath.Join(w.dir, "home/bob"), bobUID, bobUID))
	w.writeAccounts()
	for service, lines := range stacks {
		w.stack(service, lines)
	}
	w.stack("other", "session required pam_deny.so")
	w.listenLog()
	w.unshare()
	h.world = w
	return w
}

func (w *world) write(name, text string, mode os.FileMode) string {
	w.h.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.h.t, os.WriteFile(path, []byte(text), mode))
	return path
}

var rootLine = regexp.MustCompile(`(?m)^root:[^:]*:0:0:.*$`)

// writeAccounts copies the host's and adds the world's users, who have no password and need none.
func (w *world) writeAccounts() {
	w.h.t.Helper()
	more := make(map[string]string)
	users := map[string]int{"alice": aliceUID, "bob": bobUID}
	for i := range guests {
		users[fmt.Sprintf("guest%d", i)] = guestUID + i
	}
	for user, uid := range users {
		more["passwd"] += fmt.Sprintf("%s:x:%d:%d::%s/home/%s:/bin/sh\n", user, uid, uid, w.dir, user)
		more["shadow"] += user + ":*:19000:0:99999:7:::\n"
		more["group"] += fmt.Sprintf("%s:x:%d:\n", user, uid)
	}
	for name, lines := range more {
		b, err := os.ReadFile("/etc/" + name)
		must(w.h.t, err)
		text := rootLine.ReplaceAllString(string(b), "root:x:0:0:root:"+w.dir+"/home/root:/bin/sh") // not the host's profile
		w.write("etc/"+name, text+lines, 0o644)
	}
	w.write("etc/empty", "", 0o644)
}

// stack writes a PAM service, also of a world that is there already.
func (w *world) stack(service, session string) {
	w.h.t.Helper()
	session = strings.ReplaceAll(session, "%m", built.module+" socket="+w.h.loginSocket())
	w.write("etc/pam.d/"+service, "auth required pam_permit.so\naccount required pam_permit.so\n"+session+"\n", 0o644)
}

// listenLog is what syslog(3) reaches.
func (w *world) listenLog() {
	w.h.t.Helper()
	path := filepath.Join(w.dir, "log")
	l, err := net.ListenPacket("unixgram", path)
	must(w.h.t, err)
	must(w.h.t, os.Chmod(path, 0o666))
	w.log = l
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, _, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(w.syslog, "%s\n", buf[:n])
		}
	}()
}

func (w *world) unshare() {
	w.h.t.Helper()
	w.holder = exec.Command("unshare", "-m", "--propagation", "private", "sh", "testdata/world.sh", w.dir)
	var errs journal
	w.holder.Stderr = &errs
	in, err := w.holder.StdinPipe()
	must(w.h.t, err)
	out, err := w.holder.StdoutPipe()
	must(w.h.t, err)
	must(w.h.t, w.holder.Start())
	w.hold = in
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		w.h.t.Fatalf("cannot make the mount namespace: %q, %v\n%s", line, err, &errs)
	}
	w.ns, err = os.Readlink(procFile(int32(w.holder.Process.Pid), "ns/mnt"))
	must(w.h.t, err)
}

// processes lists what runs in the world, but for its holder.
func (w *world) processes() []int32 {
	var out []int32
	for _, pid := range inNamespace(w.ns) {
		if int(pid) != w.holder.Process.Pid {
			out = append(out, pid)
		}
	}
	return out
}

func (w *world) end() {
	w.hold.Close()
	_ = w.holder.Wait()
	w.log.Close()
	for _, cmd := range w.logins {
		reap(w.h.t, cmd)
	}
}

// command is a command in the world, with the host's token in its environment.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{fmt.Sprintf("--mount=/proc/%d/ns/mnt", w.holder.Process.Pid), "--"}, args...)...)
	cmd.Env = []string{w.h.token, "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	return cmd
}

// login is a run of testdata/login.c.
type login struct {
	t   *testing.T
	cmd *exec.Cmd
	out *lines
	jid job.JID // 0: the session has no job
	rc  int     // of pam_open_session
}

// login opens a session for a user under a service, and waits until it is open. opts are login.c's, -n excepted.
func (w *world) login(service, user string, opts []string, cmd ...string) *login {
	w.h.t.Helper()
	return w.loginEnv(nil, service, user, opts, cmd...)
}

func (w *world) loginEnv(env []string, service, user string, opts []string, cmd ...string) *login {
	w.h.t.Helper()
	l := &login{t: w.h.t}
	l.cmd = w.command(append(append(append([]string{built.login}, opts...), service, user), cmd...)...)
	l.cmd.Env = append(l.cmd.Env, env...)
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.cmd.Stderr = w.h.log
	l.out = started(l.t, l.cmd)
	w.logins = append(w.logins, l.cmd)
	var jid string
	line := l.line()
	if _, err := fmt.Sscanf(line, "open %d %s", &l.rc, &jid); err != nil {
		l.t.Fatalf("the login says %q: %v", line, err)
	}
	if jid != "-" {
		must(l.t, l.jid.UnmarshalText([]byte(jid)))
	}
	return l
}

// line reads what the login or its command prints.
func (l *login) line() string {
	l.t.Helper()
	s, ok := l.out.next()
	if !ok {
		l.t.Fatal("the login's output has ended")
	}
	return s
}

// wait gives the exit code. Nobody may hold the output open any more.
func (l *login) wait() int {
	l.t.Helper()
	for ok := true; ok; {
		_, ok = l.out.next()
	}
	reap(l.t, l.cmd)
	return l.cmd.ProcessState.ExitCode()
}
