package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
)

// noJID is what libjob says for an error.
const noJID = job.JID(1<<64 - 1)

// libClient is a run of testdata/libjob.c, which is linked to libjob.so.
type libClient struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *lines
	pid int32
}

// libjob starts a client, as root or, with uid, as somebody else.
func (h *host) libjob(uid uint32) *libClient {
	h.t.Helper()
	return startLibjob(h.t, built.libClient, h.runDir(), uid, h.token)
}

func startLibjob(t *testing.T, program, runDir string, uid uint32, env ...string) *libClient {
	t.Helper()
	c := &libClient{t: t, cmd: exec.Command(program)}
	c.cmd.Env = append(env, "JOBD_RUN_DIR="+runDir, "LD_LIBRARY_PATH="+built.dir, "PATH="+os.Getenv("PATH"))
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	must(t, err)
	c.in, c.out = in, started(t, c.cmd)
	c.pid = int32(c.cmd.Process.Pid)
	t.Cleanup(c.end)
	return c
}

// end lets the client exit.
func (c *libClient) end() {
	c.in.Close()
	reap(c.t, c.cmd)
}

// tell gives the client a line.
func (c *libClient) tell(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	must(c.t, err)
}

// answer gives the words of its next line.
func (c *libClient) answer() []string {
	c.t.Helper()
	line, ok := c.out.next()
	if !ok {
		c.t.Fatal("the client ended")
	}
	return strings.Fields(line)
}

// number has a function called, and gives its value and errno.
func (c *libClient) number(format string, args ...any) (int, unix.Errno) {
	c.t.Helper()
	c.tell(format, args...)
	w := c.answer()
	v, err1 := strconv.Atoi(w[0])
	e, err2 := strconv.Atoi(w[1])
	if err1 != nil || err2 != nil {
		c.t.Fatalf("%s gives %v", fmt.Sprintf(format, args...), w)
	}
	return v, unix.Errno(e)
}

// jid is number for what gives a JID.
func (c *libClient) jid(format string, args ...any) (job.JID, unix.Errno) {
	c.t.Helper()
	c.tell(format, args...)
	w := c.answer()
	e, err := strconv.Atoi(w[1])
	must(c.t, err)
	return parseJID(c.t, w[0]), unix.Errno(e)
}

func parseJID(t *testing.T, text string) job.JID {
	t.Helper()
	v, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	must(t, err)
	return job.JID(v)
}

// spawn starts a child that stays, and gives its job where it made one.
func (c *libClient) spawn(format string, args ...any) (int32, job.JID) {
	c.t.Helper()
	c.tell(format, args...)
	w := c.answer()
	pid, err := strconv.Atoi(w[0])
	must(c.t, err)
	jid := parseJID(c.t, w[1])
	if jid == noJID {
		c.t.Fatal("the child did not get so far")
	}
	return int32(pid), jid
}

// wantJID and wantNumber call a function and hold it to its result.
func (c *libClient) wantJID(want job.JID, errno unix.Errno, format string, args ...any) {
	c.t.Helper()
	if got, e := c.jid(format, args...); got != want || e != errno {
		c.t.Errorf("%s gives %s (%v), want %s (%v)", fmt.Sprintf(format, args...), got, e, want, errno)
	}
}

func (c *libClient) wantNumber(want int, errno unix.Errno, format string, args ...any) {
	c.t.Helper()
	if got, e := c.number(format, args...); got != want || e != errno {
		c.t.Errorf("%s gives %d (%v), want %d (%v)", fmt.Sprintf(format, args...), got, e, want, errno)
	}
}

// list calls a function that fills a buffer, and gives how many elements it says and their sum.
func (c *libClient) list(format string, args ...any) (int, uint64) {
	c.t.Helper()
	c.tell(format, args...)
	w := c.answer()
	n, err := strconv.Atoi(w[0])
	must(c.t, err)
	return n, uint64(parseJID(c.t, w[2]))
}
