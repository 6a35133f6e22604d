package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// way is what processes do to get out, and how many of them say that they stay. %o is the file where they say it, %d a
// directory of the user's, %c the mount point of cgroup v2, %r a copy of lab that runs as root, %l one of login.c, %n a
// storm's forks.
type way struct {
	name string
	stay int
	cmd  string
}

// escapes are the ways of an ordinary user's own programs, as testdata has them.
var escapes = []way{
	{"double fork", 1, "lab daemon"},
	{"siblings", 11, "lab clone-parent 10"},
	{"siblings of a child", 12, "lab child-clone-parent 10"},
	{"siblings of an orphan", 12, "lab orphan-clone-parent 10"},
	{"siblings that are gone", 21, "lab quick-clone-parent 20"},
	{"thread", 2, "lab thread-fork"},
	{"siblings of a thread", 6, "threads siblings 5"},
	{"first thread gone", 2, "lab leader-exit"},
	{"first thread gone, others fork late", 11, "threads late 5"},
	{"exec in a thread", 1, "lab exec-thread"},
	{"vfork", 2, "lab vfork"},
	{"vfork of a sibling", 2, "threads vfork"},
	{"chain", 2, "lab chain 100"},
	{"subreaper", 9, "ways subreaper 5"},
	{"namespace", 5, "ways namespace"},
	{"namespace of a sibling", 5, "ways namespace-sibling"},
	{"other names", 11, "ways rename %d"},
	{"own loginuid", 3, "ways loginuid 0 23102"},
	{"other cgroup", 3, "ways cgroup %c"},
	{"setuid", 4, "%r clone-parent 3"},
	{"su to oneself", 4, "su alice -c 'exec lab clone-parent 3'"},
	{"su to another", 4, "su bob -c 'exec lab clone-parent 3'"},
	{"sudo", 4, "sudo -n LAB_OUT=%o lab clone-parent 3"},
	{"sudo to oneself", 4, "sudo -n -u alice LAB_OUT=%o lab clone-parent 3"},
	{"storm", 22, "ways stormy %n"},
}

// entries are the kinds of a job's first process: the user's own program, also below a parent that reaps so fast that
// what is gone cannot be looked at, or a process of root's that stays.
var entries = []struct {
	name string
	opts []string
}{
	{"own", []string{"-x"}},
	{"own, reaped at once", []string{"-x", "-r"}},
	{"root", nil},
}

// patient is for stacks of tests that make the host busy: a login that is not answered in time passes without a job.
const patient = " timeout=10000"

// Nothing that an ordinary user's program does shakes jobd off, whatever the kernel can testify.
func TestEscape(t *testing.T) {
	needProgram(t, "su")
	needProgram(t, "sudo")
	for _, witness := range restartStacks {
		h := newHost(t, witness.args...)
		w := h.newWorld(map[string]string{"svc": witness.stack + patient, "su": plainStack + patient, "sudo": plainStack + patient})
		w.sudoers("alice ALL=(ALL) NOPASSWD:SETENV: ALL")
		for _, entry := range entries {
			for _, e := range escapes {
				if e.name == "storm" && entry.name != "own" {
					continue // it takes seconds
				}
				t.Run(strings.Join([]string{witness.name, entry.name, e.name}, ": "), func(t *testing.T) {
					h.use(t)
					l := h.world.leave(e, "svc", "alice", entry.opts)
					h.judge(l)
					h.endEscape(l)
				})
			}
		}
	}
}

// The same below a real sshd, whose monitor is the first process.
func TestEscapeFromSSH(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"sshd": plainStack + patient, "su": plainStack + patient, "sudo": plainStack + patient})
	w.sudoers("alice ALL=(ALL) NOPASSWD:SETENV: ALL")
	s := w.newSSHD()
	for _, e := range escapes {
		if e.name == "storm" {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			h.use(t)
			sh := s.login("alice")
			l := &leaving{stay: e.stay, out: w.labOut(outName(t)), jid: h.onlyJob().JID}
			sh.say("LAB_OUT=" + l.out + " sh -c \"" + w.line(e, l.out) + "\" </dev/null >/dev/null 2>&1 &")
			l.beside = append(h.ancestors(sh.pid, l.jid), sh.pid)
			h.judge(l)
			sh.logout()
			h.endEscape(l)
		})
	}
}

// leaving is a login whose processes try to leave their job.
type leaving struct {
	jid    job.JID
	out    string // where they say that they stay
	stay   int
	beside []int32 // members that are no descendants of the program
	login  *login
}

func outName(t *testing.T) string { return strings.ReplaceAll(filepath.Base(t.Name()), " ", "_") }

// leave has a user log in and try a way out.
func (w *world) leave(e way, service, user string, opts []string) *leaving {
	w.h.t.Helper()
	l := &leaving{stay: e.stay, out: w.labOut(outName(w.h.t))}
	l.login = w.loginEnv([]string{l.mark()}, service, user, opts, "sh", "-c", "exec "+w.line(e, l.out))
	l.jid = l.login.jid
	if opts == nil {
		l.beside = []int32{w.h.show(l.jid).POE}
	}
	return l
}

// mark is in the environment of whatever descends from the program.
func (l *leaving) mark() string { return "LAB_OUT=" + l.out }

// line gives a way's command as a shell takes it.
func (w *world) line(e way, out string) string {
	w.h.t.Helper()
	dir := filepath.Join(w.dir, "home/alice", outName(w.h.t))
	must(w.h.t, os.MkdirAll(dir, 0o777))
	must(w.h.t, os.Chmod(dir, 0o777))
	return strings.NewReplacer("%o", out, "%d", dir, "%c", cgroupMount(w.h.t), "%n", stormSize(),
		"%r", w.setuid(built.lab, "rootlab"), "%l", w.setuid(built.login, "rootlogin"),
		"threads ", built.threads+" ", "bomb ", built.bomb+" ", "ways ", built.ways+" ", "lab ", built.lab+" ").Replace(e.cmd)
}

// stormSize is how many forks a storm of three parts has in each. With JOBD_FULL=1 it takes its time.
func stormSize() string {
	if os.Getenv("JOBD_FULL") == "1" {
		return "50000"
	}
	return "3000"
}

// stormPatience is how long the longest of them may take.
const stormPatience = 10 * patience

// judge finds the survivors by their mark. All of them are members of the job, or of one below it, and nobody else is.
// Those that do not say that they stay may be about to exit, and are waited for.
func (h *host) judge(l *leaving) {
	h.t.Helper()
	said := pidsWithin(h.t, l.out, l.stay, stormPatience)
	if len(said) != l.stay {
		h.t.Errorf("%d say that they stay, want %d", len(said), l.stay)
	}
	truth := h.survivors(l)
	for _, pid := range said {
		if !slices.Contains(truth, pid) {
			h.t.Errorf("%d said that it stays, and is not there", pid)
		}
		if !h.isWithin(pid, l.jid) {
			h.t.Errorf("out of the job, in %s:%s", h.jobOf(pid), describe([]int32{pid}))
		}
	}
	for _, pid := range truth {
		until(h.t, "in the job or gone:"+describe([]int32{pid}), func() bool { return h.isWithin(pid, l.jid) || !alive(pid) })
	}
	until(h.t, "nobody else in the job", func() bool {
		truth = h.survivors(l)
		return !slices.ContainsFunc(h.members(l.jid), func(pid int32) bool {
			return !slices.Contains(truth, pid) && !slices.Contains(l.beside, pid)
		})
	})
}

// survivors lists what lives of a login's program and its descendants.
func (h *host) survivors(l *leaving) []int32 {
	return slices.DeleteFunc(withToken(l.mark()), func(pid int32) bool {
		return l.login != nil && int(pid) == l.login.cmd.Process.Pid
	})
}

// isWithin reports whether a process is in a job, or in one whose parents lead to it.
func (h *host) isWithin(pid int32, jid job.JID) bool {
	h.t.Helper()
	for in := h.jobOf(pid); in != 0; {
		if in == jid {
			return true
		}
		parent := h.show(in).ParentJID
		if parent == nil {
			return false
		}
		in = *parent
	}
	return false
}

// ancestors lists those of a process's ancestors that are in a job.
func (h *host) ancestors(pid int32, jid job.JID) (out []int32) {
	h.t.Helper()
	for pid = parentOf(pid); pid > 1 && h.jobOf(pid) == jid; pid = parentOf(pid) {
		out = append(out, pid)
	}
	return out
}

// endEscape kills the survivors. Then the job ends, and the books are right.
func (h *host) endEscape(l *leaving) {
	h.t.Helper()
	for left := h.survivors(l); len(left) > 0; left = h.survivors(l) {
		for _, pid := range left {
			if l.login == nil || !slices.Contains(l.beside, pid) {
				kill(h.t, pid)
			}
		}
		if l.login != nil && slices.Equal(left, l.beside) {
			break // login.c ends by itself, and closes the session
		}
	}
	h.ended(l.jid)
	if l.login != nil {
		l.login.wait()
	}
	h.checkBooks()
}
