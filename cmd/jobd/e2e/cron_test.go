package e2e

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// A cron job is a job, whose point of entry is cron's child. @reboot is carried out when cron starts: nothing waits for
// the next minute.
func TestCron(t *testing.T) {
	cron := needProgram(t, "cron")
	h := newHost(t)
	w := h.newWorld(map[string]string{"cron": plainStack})
	out := w.labOut("out")
	ownSpool(t, w)
	tab := w.write("crontabs/alice", fmt.Sprintf("%s\nLAB_OUT=%s\n@reboot %s stay >/dev/null 2>&1\n", h.token, out, built.lab), 0o600)
	must(t, os.Chown(tab, aliceUID, -1))
	cmd := w.command(cron, "-f")
	cmd.Stderr = h.log
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pid := pidsIn(t, out, 1)[0]
	in := h.onlyJob()
	if in.Service != "cron" || in.User != "alice" || in.UID != aliceUID || in.State != job.Open || h.jobOf(pid) != in.JID {
		t.Errorf("the job is %+v", in)
	}
	if h.jobOf(int32(cmd.Process.Pid)) != 0 {
		t.Error("cron itself is in a job")
	}
	kill(t, pid)
	if in = h.ended(in.JID); in.EndReason != job.EndExit {
		t.Errorf("end_reason %q", in.EndReason)
	}
}

// ownSpool gives the crontab directory to the group that cron has it of.
func ownSpool(t *testing.T, w *world) {
	t.Helper()
	g, err := user.LookupGroup("crontab")
	if err != nil {
		lacking(t, "the group crontab")
	}
	gid, err := strconv.Atoi(g.Gid)
	must(t, err)
	must(t, os.Chown(filepath.Join(w.dir, "crontabs"), 0, gid))
}
