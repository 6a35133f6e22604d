package e2e

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// Threads that are older than their process's job fork into the job, whichever thread it is; and what such a process has
// the kernel give to its own parent stays too.
func TestThreadsOlderThanAnAttach(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"none": "session required pam_permit.so"})
	l := &leaving{out: w.labOut("out"), stay: 11}
	l.login = w.loginEnv([]string{l.mark()}, "none", "alice", []string{"-x"}, built.threads, "old", "5")
	pid := pidsIn(t, l.out, 1)[0]
	l.jid = h.hold()
	if _, err := h.client.Attach(h.soon(), control.Request{Job: ref(l.jid), PID: pid}); err != nil {
		t.Fatal(err)
	}
	must(t, signal(pid, unix.SIGUSR1))
	h.judge(l)
	must(t, h.client.Release(h.soon(), ref(l.jid)))
	h.endEscape(l)
}

// Who traces a process of another of their jobs, stops it and has it fork, has a process of that job: what it makes stays
// where it was made. jobd itself is not a user's to stop.
func TestTracedFromAnotherJob(t *testing.T) {
	for _, witness := range restartStacks {
		t.Run(witness.name, func(t *testing.T) {
			h := newHost(t, witness.args...)
			w := h.newWorld(map[string]string{"svc": witness.stack + patient})
			traced := w.leave(way{stay: 2, cmd: "lab stay"}, "svc", "alice", []string{"-x"})
			pid := pidsIn(t, traced.out, 1)[0]
			tracer := w.loginEnv(nil, "svc", "alice", []string{"-x"}, built.ways, "trace", itoa(int(pid)))
			h.judge(traced)
			h.ended(tracer.jid)
			until(t, "it is stopped", func() bool { return stat(pid)[0] == "T" })
			jobd := itoa(h.cmd.Process.Pid)
			if l := w.login("svc", "alice", nil, "sh", "-c", "kill -STOP "+jobd+" || kill -TERM "+jobd); l.wait() == 0 {
				t.Error("a user may send jobd a signal")
			}
			h.endEscape(traced)
			tracer.wait()
		})
	}
}

// Choosing one's own login uid, which the kernel allows while none is set, changes no membership: the job stays who it is
// by pam_job's word. Where there is no witness, what is born as a child of the login's own parent cannot be told from
// that one's; everything else stays.
func TestOwnLoginUIDWithoutWitness(t *testing.T) {
	h := newHost(t, append(ofConnector, "--cgroup", "off")...)
	w := h.newWorld(map[string]string{"svc": plainStack + patient})
	l := w.leave(way{stay: 3, cmd: "ways loginuid 23102"}, "svc", "alice", nil)
	h.judge(l)
	in := h.show(l.jid)
	if in.UID != aliceUID || in.User != "alice" || in.Witness != "" {
		t.Errorf("the job is %+v", in)
	}
	h.endEscape(l)

	own := w.leave(way{stay: 3, cmd: "ways loginuid 23102"}, "svc", "alice", []string{"-x"})
	out := slices.DeleteFunc(pidsIn(t, own.out, 3), func(pid int32) bool { return h.isWithin(pid, own.jid) })
	if len(out) != 1 || h.jobOf(out[0]) != 0 || procText(out[0], "loginuid") != "23102" {
		t.Errorf("out are:%s", describe(out))
	}
	h.endEscape(own)
}

// Without any witness a sibling of the login's own process is nobody's, and jobd counts that it could not be told. Nothing
// else gets out.
func TestWithoutWitness(t *testing.T) {
	h := newHost(t, append(ofConnector, "--cgroup", "off")...)
	w := h.newWorld(map[string]string{"svc": plainStack + patient})
	for _, e := range []struct {
		way
		opts []string
		out  int
	}{
		{way{"double fork", 1, "lab daemon"}, []string{"-x"}, 0},
		{way{"subreaper", 9, "ways subreaper 5"}, []string{"-x"}, 0},
		{way{"siblings of a child", 12, "lab child-clone-parent 10"}, []string{"-x"}, 0},
		{way{"siblings below root's process", 11, "lab clone-parent 10"}, nil, 0},
		{way{"siblings", 11, "lab clone-parent 10"}, []string{"-x"}, 10},
		{way{"siblings of an orphan", 12, "lab orphan-clone-parent 10"}, nil, 10},
	} {
		t.Run(e.name, func(t *testing.T) {
			h.use(t)
			l := w.leave(e.way, "svc", "alice", e.opts)
			var out []int32
			for _, pid := range pidsIn(t, l.out, e.stay) {
				if h.jobOf(pid) != l.jid {
					out = append(out, pid)
				}
			}
			if st, err := h.client.Status(h.soon()); err != nil || len(out) != e.out || st.Unwitnessed < uint64(e.out) {
				t.Errorf("%d are out, want %d; %d unwitnessed, %v", len(out), e.out, st.Unwitnessed, err)
			}
			h.endEscape(l)
		})
	}
}
