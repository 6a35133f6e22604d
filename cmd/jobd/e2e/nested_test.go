package e2e

import (
	"bytes"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// nestedWays are those of a job within a job: its processes become children of the outer job's, which a subreaper of the
// outer job can have whichever way, and fork in their names. %l is login.c, which anybody may run.
var nestedWays = []way{
	{"su's child", 6, "ways under $(command -v su) alice -c 'exec lab child-clone-parent 3'"},
	{"orphans of the outer job", 8, "sh -c '%l -x nested alice lab stay & until [ -s %o ]; do sleep 0.01; done; exec lab orphan-clone-parent 5'"},
	{"first process", 6, "%l -x nested alice lab clone-parent 5"},
	{"first process, gone at once", 11, "%l -x -r nested alice lab quick-clone-parent 10"},
	{"orphans of the outer job's subreaper", 8, "ways under %l -x nested alice lab orphan-clone-parent 5"},
	{"a subreaper each", 10, "ways under %l -x nested alice ways subreaper 5"},
	{"first process below a subreaper", 12, "ways under %l -x -r nested alice lab quick-clone-parent 10"},
}

// CLONE_PARENT inside another job's shell: whatever a nested job's processes do to become children of the outer job's, they
// are in the one job or the other, and with a witness in the right one. The two share their audit session: where there is
// neither cgroup nor label, nothing can say whose such a child is, and it goes to the outer one.
func TestEscapeFromNested(t *testing.T) {
	needProgram(t, "su")
	for _, witness := range restartStacks {
		h := newHost(t, witness.args...)
		h.newWorld(map[string]string{"svc": witness.stack + patient, "su": plainStack + patient + " nested=new", "nested": plainStack + patient + " nested=new"})
		for _, e := range nestedWays {
			t.Run(witness.name+": "+e.name, func(t *testing.T) {
				h.use(t)
				l := h.world.leave(e, "svc", "alice", []string{"-x"})
				h.judge(l)
				inner := h.judgeNested(l, witness.stack == plainStack)
				h.endEscape(l)
				h.ended(inner)
			})
		}
	}
}

// judgeNested holds each process to the JOB_JID in its environment, where the two jobs have a witness each; a job's first
// process may still have the outer one there. It gives the inner job.
func (h *host) judgeNested(l *leaving, exact bool) (inner job.JID) {
	h.t.Helper()
	for _, pid := range h.survivors(l) {
		in := h.jobOf(pid)
		if in != l.jid {
			inner = in
		}
		if got := jobInEnvironment(h.t, pid); exact && got != in && h.show(in).POE != pid {
			h.t.Errorf("in %s and not in %s:%s", in, got, describe([]int32{pid}))
		}
	}
	if inner == 0 {
		h.t.Fatal("there is no nested job")
	}
	return inner
}

func jobInEnvironment(t *testing.T, pid int32) (jid job.JID) {
	t.Helper()
	for setting := range bytes.SplitSeq(environ(pid), []byte{0}) {
		if value, ok := bytes.CutPrefix(setting, []byte("JOB_JID=")); ok {
			must(t, jid.UnmarshalText(value))
		}
	}
	return jid
}
