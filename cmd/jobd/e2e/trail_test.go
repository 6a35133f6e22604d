package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// linesOf gives the lines of the log of one kind.
func (h *host) linesOf(what string) []string {
	var out []string
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, " msg="+what+" ") {
			out = append(out, line)
		}
	}
	return out
}

// TestTrail: one line for each start and end of a job, each change of membership and each refusal, with all that says whose job
// it is and who asked.
func TestTrail(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	a, b := h.newSurvivor("a"), h.newSurvivor("b")
	outside := exec.Command(built.lab, "stay")
	out := w.labOut("outside")
	outside.Env = append(os.Environ(), h.token, "LAB_OUT="+out)
	must(t, outside.Start())
	pid := pidsIn(t, out, 1)[0]
	ask := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := h.client.Attach(h.soon(), control.Request{Job: ref(a.jid), PID: pid})
	ask("attach", err)
	_, err = h.client.Move(h.soon(), control.Request{Job: ref(b.jid), PID: pid})
	ask("move", err)
	_, err = h.client.Detach(h.soon(), control.Request{PID: pid})
	ask("detach", err)
	adopted, err := h.client.Adopt(h.soon(), control.Request{PID: pid})
	ask("adopt", err)
	if _, err = h.client.Attach(h.soon(), control.Request{Job: ref(a.jid), PID: pid}); err == nil {
		t.Error("a member of another job was attached")
	}
	ask("drain", h.client.Drain(h.soon()))
	if l := w.login("svc", "bob", nil, "true"); l.jid != 0 {
		t.Error("a drained jobd gives jobs")
	}
	ask("resume", h.client.Resume(h.soon()))
	if _, _, code := h.jobctl(bobUID, "kill", itoa(int(a.jid.Seq()))); code != 1 {
		t.Errorf("another's kill: %d", code)
	}
	kill(t, pid)
	_ = outside.Wait() // killed
	h.sweep()
	for _, jid := range []string{logged(a.jid), logged(b.jid), logged(adopted.Jobs[0].JID)} {
		until(t, "the end of "+jid, func() bool { return strings.Contains(strings.Join(h.linesOf(`"job end"`), ""), "jid="+jid+" ") })
	}
	h.settled()

	whose := func(jid job.JID, user string) string {
		return `jid=` + logged(jid) + ` seq=\d+ user=` + user + ` uid=\d+ service=\S+ tty=\S+ rhost=\S+ rport=\S+ auth_key=\S+ login_uid=\S+ audit_session=\S+ logind_session=\S+ poe_pid=\d+ login_jid=\S+ parent_jid=\S+`
	}
	me := fmt.Sprintf(`by_uid=0 by_pid=%d by_login_uid=\S+`, os.Getpid())
	for _, tt := range []struct {
		what string
		want []string
	}{
		{`"job start"`, []string{whose(a.jid, "alice") + ".* by_uid=0 by_pid=", whose(b.jid, "alice") + ".* by_uid=0", whose(adopted.Jobs[0].JID, `\S+`) + ".* " + me}},
		{`"job end"`, []string{whose(a.jid, "alice") + ` end_reason=exit exit_status=\d+ cpu=\S+ cpu_source=\S+ processes=\d+ lasted=\d\S+ estimated=`, whose(b.jid, "alice"), whose(adopted.Jobs[0].JID, `\S+`)}},
		{"membership", []string{
			"how=attach " + whose(a.jid, "alice") + fmt.Sprintf(" processes=1 pids=%d ", pid) + me,
			"how=move " + whose(b.jid, "alice") + fmt.Sprintf(" processes=1 pids=%d ", pid) + me,
			"how=detach " + whose(b.jid, "alice") + fmt.Sprintf(" processes=1 pids=%d ", pid) + me,
			"how=adopt " + whose(adopted.Jobs[0].JID, `\S+`) + fmt.Sprintf(" processes=1 pids=%d ", pid) + me,
		}},
		{`"change refused"`, []string{"verb=attach .* " + me + " error="}},
		{`"login failed"`, []string{"verb=open user=bob uid=23102 service=svc .* error=.* by_uid=0 by_pid="}},
		{`"request denied"`, []string{`uid=23102 pid=\d+ login_uid=\S+ verb=kill`}},
		{"change", []string{"verb=drain .* " + me, "verb=resume .* " + me}},
	} {
		for _, want := range tt.want {
			n := 0
			for _, line := range h.linesOf(tt.what) {
				if regexp.MustCompile(want).MatchString(line) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d lines of %s have %s:\n%s", n, tt.what, want, strings.Join(h.linesOf(tt.what), ""))
			}
		}
		if n := len(h.linesOf(tt.what)); n != len(tt.want) {
			t.Errorf("%d lines of %s, want %d", n, tt.what, len(tt.want))
		}
	}
}
