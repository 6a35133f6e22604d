package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// j runs one of the ancestor's commands as root and holds it to its output: %% stands for anything.
func (h *host) j(code int, want string, name string, args ...string) {
	h.t.Helper()
	h.jAs(0, code, want, name, args...)
}

func (h *host) jAs(uid uint32, code int, want string, name string, args ...string) {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(built.dir, name), args...)
	cmd.Env = []string{h.token, "JOBD_RUN_DIR=" + h.runDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	if string(out) != want || cmd.ProcessState.ExitCode() != code {
		h.t.Errorf("%s %v gives %d:\n%swant %d:\n%s", name, args, cmd.ProcessState.ExitCode(), out, code, want)
	}
}

const (
	statHeader = "JID                OWNER        COMMAND\n------------------ ------------ --------------------------------\n"
	procHeader = "JID                OWNER        PID    PPID   COMMAND\n------------------ ------------ ------ ------ --------------------------------\n"
)

// The commands print what people know, and scripts look for.
func TestJCommands(t *testing.T) {
	h := newHost(t)
	h.j(0, statHeader+"<No JIDs found>\n", "jstat", "-a")
	h.j(0, "Not attached to any job\n", "jstat")
	c := h.libjob(0)
	pid, jid := c.spawn("spawn %d create", aliceUID)
	owner := fmt.Sprintf("#%-11d", aliceUID)
	line := fmt.Sprintf("%s %s libjob\n", jid, owner)
	h.j(0, statHeader+line, "jstat", "-a")
	h.jAs(aliceUID, 0, statHeader+line, "jstat", "-a")
	h.jAs(bobUID, 0, statHeader+"<No JIDs found>\n", "jstat", "-a")
	h.j(0, statHeader+line, "jstat", "-j", jid.String())
	h.j(0, statHeader+line, "jstat", "-j"+strings.TrimPrefix(jid.String(), "0x"))
	processes := procHeader + fmt.Sprintf("%s %s %-6d %-6d libjob\n", jid, owner, pid, c.pid)
	h.j(0, processes, "jstat", "-p", "-j", jid.String())
	h.j(0, processes, "jstat", "-pa")
	h.j(1, "No such job\n", "jstat", "-j", "17")
	h.j(1, "Usage: jstat [-a | -j jid] [-l] [-p] [-h]\n", "jstat", "-a", "-j", jid.String())
	h.j(1, "jstat: \"zz\" is no JID: it is hexadecimal, as jstat prints it\n", "jstat", "-j", "zz")
	h.jAs(bobUID, 1, fmt.Sprintf("jstat: job %d is not yours (its owner and root may do that)\n", jid.Seq()), "jstat", "-j", jid.String())

	h.j(0, fmt.Sprintf("Processes in job[%s] sent signal 0.\n", jid), "jkill", "-0", jid.String())
	h.jAs(bobUID, 1, fmt.Sprintf("jkill: job %d is not yours\n", jid.Seq()), "jkill", "-9", jid.String())
	h.j(1, fmt.Sprintf("Processes in job[%s] sent signal 0.\nNo such job\nNo such job\n", jid), "jkill", "-0", "17", jid.String(), "18")
	h.j(1, "Usage: jkill [-l | [-signal] jid ...]\n", "jkill", "-nonsense", jid.String())
	h.j(1, "Usage: jkill [-l | [-signal] jid ...]\n", "jkill")

	other, _ := c.spawn("spawn 0")
	h.j(0, "", "jattach", itoa(int(other)), jid.String())
	h.j(0, fmt.Sprintf("%d is in job[%s] already\n", other, jid), "jattach", itoa(int(other)), jid.String())
	h.j(1, "No such job\n", "jattach", itoa(int(other)), "17")
	h.j(1, "Usage: jattach pid jid\n", "jattach", itoa(int(other)))
	h.j(0, "", "jdetach", "-p", itoa(int(other)))
	h.j(1, fmt.Sprintf("jdetach: process %d is in no job\n", other), "jdetach", "-p"+itoa(int(other)))
	h.j(1, "Usage: jdetach -p pid | -j jid\n", "jdetach", itoa(int(other)))
	h.jAs(aliceUID, 1, "jdetach: only root may use detachpid\n", "jdetach", "-p", itoa(int(pid)))
	kill(t, other)

	testJWait(h, c)
	h.j(0, fmt.Sprintf("Processes in job[%s] sent signal 9.\n", jid), "jkill", "-sigkill", jid.String())
	h.ended(jid)
	h.j(0, fmt.Sprintf("job[%s] exit status: 0x9.\n\tSignal detected with signal: 9\n", jid), "jwait", jid.String())
	h.j(1, "No such job\n", "jstat", "-j", jid.String())
}

func testJWait(h *host, c *libClient) {
	for _, tt := range []struct {
		code int
		want string
	}{
		{0, "job[%s] exit status: 0.\n\tExit detected with exit status: 0 or 0\n"},
		{18, "job[%s] exit status: 0x1200.\n\tExit detected with exit status: 0x12 or 18\n"},
	} {
		pid, jid := c.spawn("exits %d", tt.code)
		must(h.t, signal(pid, unix.SIGUSR2))
		h.j(0, fmt.Sprintf(tt.want, jid), "jwait", jid.String())
	}
	h.j(1, "No such job\n", "jwait", "17")
	h.j(1, "Usage: jwait jid\n", "jwait")
}

// jsethid stops the making of jobs with the host id that did, and lets it go on with jobd's own, or with none.
func TestJSetHID(t *testing.T) {
	h := newHost(t)
	drained := func(want bool) {
		t.Helper()
		if st, err := h.client.Status(h.soon()); err != nil || st.Drained != want {
			t.Errorf("drained %v, want %v; %v", st.Drained, want, err)
		}
	}
	st, err := h.client.Status(h.soon())
	must(t, err)
	h.j(0, "", "jsethid", "0xffffffff")
	drained(true)
	h.j(0, "", "jsethid")
	drained(false)
	h.j(0, "", "jsethid", "ffffffff")
	h.j(0, "", "jsethid", fmt.Sprintf("%x", st.HID))
	drained(false)
	h.j(1, fmt.Sprintf("jsethid: the host id is %#x: another one takes a configuration (hid) and books of its own\n", st.HID), "jsethid", fmt.Sprintf("%x", st.HID^1))
	h.j(1, "jsethid: \"host\" is no host id: it has up to 8 hexadecimal digits\n", "jsethid", "host")
	h.jAs(bobUID, 1, "jsethid: only root may use sethid\n", "jsethid", "ffffffff")
	h.stop(unix.SIGTERM)
	h.j(1, "jobd does not appear to be running.\n", "jstat", "-a")
	h.j(1, "jobd does not appear to be running.\n", "jsethid")
	must(t, os.RemoveAll(h.runDir()))
	h.start()
}
