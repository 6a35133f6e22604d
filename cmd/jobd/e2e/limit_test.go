package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// limitEngines are those that refuse forks, each in its own way.
var limitEngines = [][]string{{"--engine", "connector"}, {"--engine", "bpf", keepsLabels}}

// withEngines runs a test with each engine that there can be here.
func withEngines(t *testing.T, test func(t *testing.T, args []string)) {
	for _, args := range limitEngines {
		t.Run(args[1], func(t *testing.T) { test(t, args) })
	}
}

func (h *host) limit(jid job.JID, most *int) {
	h.t.Helper()
	in, err := h.client.Limit(h.soon(), ref(jid), most)
	if err != nil || (most == nil) != (in.MaxProcesses == nil) || most != nil && *in.MaxProcesses != *most {
		h.t.Fatalf("limit: %v, %v", in.MaxProcesses, err)
	}
}

// refusals are the forks that were refused so far.
func (h *host) refusals() uint64 {
	h.t.Helper()
	st, err := h.client.Status(h.soon())
	must(h.t, err)
	return st.Events["refuse"]
}

// A full job's forks are refused, nobody is put into it, and nobody else notices; over a restart as well.
func TestLimit(t *testing.T) {
	withEngines(t, func(t *testing.T, args []string) {
		h := newHost(t, args...)
		w := h.newWorld(map[string]string{"svc": plainStack, "none": "session required pam_permit.so"})
		st, err := h.client.Status(h.soon())
		must(t, err)
		if st.Refusal != "kill" {
			t.Skip("a shell ends when it cannot fork; here that fails by " + st.Refusal)
		}
		orders := filepath.Join(w.dir, "orders")
		must(t, unix.Mkfifo(orders, 0o666))
		must(t, os.Chmod(orders, 0o666))
		script := fmt.Sprintf(`exec 3<>%s; sleep 900 & echo "has $!"; while read x <&3; do sh -c 'sleep 0.2; echo ran' & wait $!; echo "code $?"; done`, orders)
		l := w.login("svc", "alice", []string{"-x"}, "sh", "-c", script)
		say := func(want string) {
			t.Helper()
			must(t, os.WriteFile(orders, []byte("go\n"), 0))
			if got := l.line(); got != want {
				t.Errorf("the shell says %q, want %q", got, want)
			}
		}
		l.line()
		most := 2
		h.limit(l.jid, &most)
		refused := func() {
			t.Helper()
			before := h.refusals()
			say("code 137")
			until(t, "a refusal is told", func() bool { return h.refusals() > before })
			must(t, exec.Command("true").Run())
			until(t, "who was refused is gone", func() bool { return len(h.members(l.jid)) == most })
		}
		refused()
		h.stop(unix.SIGTERM)
		h.start()
		refused()
		out := w.labOut("out")
		w.loginEnv([]string{"LAB_OUT=" + out}, "none", "alice", []string{"-x"}, built.lab, "stay")
		pid := pidsIn(t, out, 1)[0]
		_, err = h.client.Attach(h.soon(), control.Request{Job: ref(l.jid), PID: pid})
		if control.ExitCode(err) != 1 {
			t.Errorf("attach to a full job: %v", err)
		}
		most = 4
		h.limit(l.jid, &most)
		_, err = h.client.Attach(h.soon(), control.Request{Job: ref(l.jid), PID: pid})
		must(t, err)
		most = 3
		h.limit(l.jid, &most)
		refused()
		h.limit(l.jid, nil)
		say("ran")
	})
}

// A fork bomb in a job with a limit: nobody beyond it lives for long, others fork on, and what was left goes on once there is none.
func TestLimitHoldsABomb(t *testing.T) {
	withEngines(t, func(t *testing.T, args []string) {
		h := newHost(t, args...)
		h.mayLose = true
		w := h.newWorld(map[string]string{"svc": plainStack + patient})
		out, start := w.labOut("out"), filepath.Join(w.dir, "go")
		script := fmt.Sprintf("until [ -e %s ]; do sleep 0.05; done; exec %s forks 60", start, built.bomb)
		l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "guest0", []string{"-x", "-r", "-s"}, "sh", "-c", script)
		most := 20
		h.limit(l.jid, &most)
		w.write("go", "", 0o644)
		until(t, "the job is full", func() bool { return h.show(l.jid).Processes >= most })
		for range 5 {
			before := h.members(l.jid)
			time.Sleep(500 * time.Millisecond)
			old := slices.DeleteFunc(h.members(l.jid), func(pid int32) bool { return !slices.Contains(before, pid) })
			if len(old) > most {
				t.Errorf("%d have lived for half a second", len(old))
			}
			must(t, exec.Command("true").Run())
		}
		if in := h.show(l.jid); h.refusals() == 0 {
			t.Errorf("nothing was refused: %d processes, %d in all", in.Processes, in.TotalProcesses)
		}
		h.limit(l.jid, nil)
		pidsIn(t, out, 1) // as many as the user may have
		h.killNow(l.jid, false, 0)
		in := h.ended(l.jid)
		t.Logf("%d processes, %d at most", in.TotalProcesses, in.PeakProcesses)
	})
}
