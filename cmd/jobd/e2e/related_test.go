package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// leftovers is a login of alice's with everything that can be left of one.
type leftovers struct {
	login, cron *login
	daemon      int32
	su          job.JID // made in the login
	stray       int32   // alice's, in no job
	session     int32   // root's, with alice's login uid, in no job; its child is alice's
	child       int32
}

// stays starts lab stay and gives its pid.
func (w *world) stays(name string, start func(env []string) *login) (*login, int32) {
	w.h.t.Helper()
	out := w.labOut(name)
	l := start([]string{"LAB_OUT=" + out})
	return l, pidsIn(w.h.t, out, 1)[0]
}

func newLeftovers(t *testing.T, h *host) (o leftovers) {
	t.Helper()
	w := h.newWorld(map[string]string{
		"svc": auditStack, "cron": auditStack, "none": "session required pam_loginuid.so", "su": plainStack + " nested=new",
	})
	var inner int32
	su := w.labOut("su")
	o.login, o.daemon = w.stays("daemon", func(env []string) *login {
		// su itself is root's: it is waited for by a shell, so that the login has an end.
		script := fmt.Sprintf("%[1]s daemon; LAB_OUT=%[2]s exec su bob -c 'exec %[1]s stay'", built.lab, su)
		return w.loginEnv(env, "svc", "alice", nil, "sh", "-c", script)
	})
	inner = pidsIn(t, su, 1)[0]
	o.su = h.jobOf(inner)
	o.cron, _ = w.stays("cron", func(env []string) *login { return w.loginEnv(env, "cron", "alice", []string{"-x"}, built.lab, "stay") })
	var outer *login
	outer, o.child = w.stays("none", func(env []string) *login { return w.loginEnv(env, "none", "alice", nil, built.lab, "stay") })
	o.session = parentOf(o.child)
	out := w.labOut("stray")
	id := itoa(aliceUID)
	cmd := w.command(needProgram(t, "setpriv"), "--reuid="+id, "--regid="+id, "--clear-groups", "--", built.lab, "stay")
	cmd.Env = append(cmd.Env, "LAB_OUT="+out)
	must(t, cmd.Start())
	w.logins = append(w.logins, cmd)
	o.stray = pidsIn(t, out, 1)[0]
	if o.login.jid == 0 || o.cron.jid == 0 || outer.jid != 0 || o.su == 0 || o.su == o.login.jid {
		t.Fatalf("jobs: login %s, su %s, cron %s, none %s", o.login.jid, o.su, o.cron.jid, outer.jid)
	}
	return o
}

// ours leaves out what other tests run at the same time under the same uids.
func (h *host) ours(list []job.Process) []int32 {
	var out []int32
	world := h.world.processes()
	for _, p := range list {
		if slices.Contains(world, p.PID) {
			out = append(out, p.PID)
		}
	}
	return sorted(out)
}

// related asks as a user.
func (h *host) related(uid int, jid job.JID) (ans control.RelatedAnswer, code int) {
	h.t.Helper()
	text, _, code := h.jobctl(uid, "show", "--related", "--json", jid.String())
	if code == 0 {
		must(h.t, json.Unmarshal([]byte(text), &ans))
	}
	return ans, code
}

// whyOf tells which jobs are related, and by what.
func whyOf(ans control.RelatedAnswer) map[job.JID]string {
	out := make(map[job.JID]string)
	for _, j := range ans.Related.Jobs {
		out[j.JID] = strings.Join(j.Why, ",")
	}
	return out
}

// Whether anything of a login is still running: what it left behind, what was opened inside it, what its user runs besides, in
// jobs and in none. To others it says nothing.
func TestRelated(t *testing.T) {
	needProgram(t, "su")
	h := newHost(t)
	o := newLeftovers(t, h)
	jid := o.login.jid
	ans, _ := h.related(0, jid)
	if got, want := h.ours(ans.Related.Members), h.members(jid); !slices.Equal(got, want) || !slices.Contains(got, o.daemon) {
		t.Errorf("members:%s\nwant:%s", describe(got), describe(want))
	}
	// su goes on in the audit session of the login.
	want := map[job.JID]string{o.su: "login_jid,audit_session,login_uid", o.cron.jid: "login_uid,uid"}
	if got := whyOf(ans); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("related jobs: %v, want %v", got, want)
	}
	if got := h.ours(ans.Related.Unjobbed); !slices.Equal(got, sorted([]int32{o.stray, o.session, o.child})) || ans.Related.Hidden != 0 {
		t.Errorf("in no job:%s\n%d hidden", describe(got), ans.Related.Hidden)
	}
	if ans, _ = h.related(0, o.su); whyOf(ans)[jid] != "login_jid,audit_session,login_uid" {
		t.Errorf("what was opened inside is related to %v", whyOf(ans))
	}

	// Alice does not see what is root's or bob's, but that it is there.
	ans, _ = h.related(aliceUID, jid)
	if got := h.ours(ans.Related.Unjobbed); !slices.Equal(got, sorted([]int32{o.stray, o.child})) {
		t.Errorf("in no job, for alice:%s", describe(got))
	}
	if got, hidden := whyOf(ans), 1+len(h.members(o.su)); fmt.Sprint(got) != fmt.Sprint(map[job.JID]string{o.cron.jid: "login_uid,uid"}) || ans.Related.Hidden < hidden {
		t.Errorf("related jobs, for alice: %v; %d hidden, want %d or more", got, ans.Related.Hidden, hidden)
	}
	if ans, code := h.related(bobUID, jid); code != 1 {
		t.Errorf("bob is told, with %d: %+v", code, ans)
	}
	checkUnjobbed(t, h, &o)
	checkRelatedEnd(t, h, &o)
}

// checkUnjobbed: users' processes in no job, and no others, each seeing their own.
func checkUnjobbed(t *testing.T, h *host, o *leftovers) {
	t.Helper()
	ask := func(uid int) []int32 {
		var list []job.Process
		text, _, _ := h.jobctl(uid, "ps", "--unjobbed", "--json")
		must(t, json.Unmarshal([]byte(text), &list))
		return h.ours(list)
	}
	all := ask(0)
	var whole []job.Process
	text, _, _ := h.jobctl(0, "ps", "--unjobbed", "--json")
	must(t, json.Unmarshal([]byte(text), &whole))
	for _, pid := range []int32{o.stray, o.session, o.child} {
		if !slices.Contains(all, pid) {
			t.Errorf("process %d is not listed", pid)
		}
	}
	for _, pid := range append(h.members(o.login.jid), 1, 2, int32(h.cmd.Process.Pid)) {
		if slices.Contains(all, pid) {
			t.Errorf("listed:%s", describe([]int32{pid}))
		}
	}
	for _, p := range whole {
		if p.PPID != nil && *p.PPID == 2 { // kthreadd's
			t.Errorf("a kernel thread is listed: %+v", p)
		}
	}
	if got := ask(aliceUID); !slices.Equal(got, sorted([]int32{o.stray, o.child})) {
		t.Errorf("listed for alice:%s", describe(got))
	}
	if got := ask(bobUID); len(got) > 0 {
		t.Errorf("listed for bob:%s", describe(got))
	}
}

// checkRelatedEnd: the same question about a login whose job has ended, until nothing is left.
func checkRelatedEnd(t *testing.T, h *host, o *leftovers) {
	t.Helper()
	jid := o.login.jid
	_, err := h.client.Kill(h.soon(), control.Request{Job: ref(jid), Only: true, Now: true})
	must(t, err)
	h.ended(jid)
	say := func() string {
		text, _, code := h.jobctl(0, "show", "--related", itoa(int(jid.Seq())))
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		_, text, _ = strings.Cut(text, "marks")
		return strings.Join(strings.Fields(text), " ")
	}
	n := len(h.members(o.su))
	if want := fmt.Sprintf("%d processes of this login are running; of the same user ", n); !strings.Contains(say(), want) {
		t.Errorf("jobctl says %q, not %q", say(), want)
	}
	ans, _ := h.related(0, jid)
	if len(ans.Related.Members) != 0 || len(ans.Related.Jobs) != 2 || ans.State != job.Ended {
		t.Errorf("after its end: %+v", ans)
	}
	for _, other := range []job.JID{o.su, o.cron.jid} {
		_, err := h.client.Kill(h.soon(), control.Request{Job: ref(other), Now: true})
		must(t, err)
		h.ended(other)
	}
	if want := "nothing of this login is running any more; of the same user "; !strings.Contains(say(), want) {
		t.Errorf("jobctl says %q, not %q", say(), want)
	}
	for _, pid := range []int32{o.child, o.stray} {
		kill(t, pid)
	}
	until(t, "the end of the session", func() bool { return !alive(o.session) })
	until(t, "nothing to be left", func() bool {
		ans, _ := h.related(0, jid)
		return len(ans.Related.Jobs)+len(h.ours(ans.Related.Unjobbed)) == 0 && strings.Contains(say(), "nothing of this login is running any more")
	})
}
