package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/pnotify"
)

// Fifty logins at once are fifty jobs.
func TestManyLogins(t *testing.T) {
	const many = 50
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": "session required %m timeout=10000"})
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", []string{"-n", fmt.Sprint(many)}, built.lab, "stay")
	jids := make(map[job.JID]bool)
	for _, pid := range pidsIn(t, out, many) {
		jid := h.jobOf(pid)
		if jid == 0 || jids[jid] {
			t.Errorf("process %d is in job %s", pid, jid)
		}
		jids[jid] = true
	}
	jobs, err := h.client.List(h.soon(), control.Request{})
	if err != nil || len(jobs) != many {
		t.Fatalf("list: %d jobs, %v", len(jobs), err)
	}
	st, err := h.client.Status(h.soon())
	if b := st.Balance; err != nil || b.Attached != many || b.Inherited != many || b.Live != 2*many || b.Adopted != 0 {
		t.Errorf("balance %+v, %v", b, err)
	}
	checkSubscribers(t, st, many)
	var all sync.WaitGroup
	for jid := range jids {
		all.Go(func() {
			ans, err := h.client.Kill(h.soon(), control.Request{Job: ref(jid), Now: true})
			if err != nil || len(ans.Left) != 0 {
				t.Errorf("kill: %+v, %v", ans, err)
			}
		})
	}
	all.Wait()
	l.wait()
	for jid := range jids {
		if in := h.ended(jid); in.TotalProcesses != 2 {
			t.Errorf("job %s had %d processes", jid, in.TotalProcesses)
		}
	}
}

// checkSubscribers looks at what status says of those who are told of events, while there are so many logins of two processes each.
func checkSubscribers(t *testing.T, st control.StatusAnswer, logins int) {
	t.Helper()
	found := make(map[string]control.SubscriberInfo)
	for _, s := range st.Subscribers {
		found[s.Name] = s
	}
	if s := found[pnotify.Watcher]; s.Kind != "watcher" || s.Owner != "jobd" || s.Processes != nil || s.Attached != nil || !slices.Contains(s.Hears, "clone") || *s.Errors != 0 {
		t.Errorf("pnotify is %+v", s)
	}
	s := found[job.Subscriber]
	if s.Kind != "subscriber" || s.Processes == nil || s.Subscribed == nil || s.Attached == nil || s.Detached == nil {
		t.Fatalf("job is %+v", s)
	}
	if *s.Processes != 2*logins || *s.Subscribed != uint64(logins) || *s.Attached != uint64(logins) || *s.Detached != 0 || s.Init != 0 {
		t.Errorf("job has %d processes: subscribed %d, attached %d, detached %d", *s.Processes, *s.Subscribed, *s.Attached, *s.Detached)
	}
}

// Ten ssh logins at once.
func TestManySSH(t *testing.T) {
	const many = 10
	h := newHost(t)
	s := h.newWorld(map[string]string{"sshd": "session required %m timeout=10000"}).newSSHD()
	said := make([]string, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			out, err := s.run("alice", "sh -c 'true & wait'; echo $JOB_JID")
			if err != nil {
				t.Errorf("ssh: %q, %v", out, err)
			}
			said[i] = out
		})
	}
	all.Wait()
	seen := make(map[string]bool)
	for _, text := range said {
		var jid job.JID
		if err := jid.UnmarshalText([]byte(text)); err != nil || seen[text] {
			t.Errorf("JOB_JID %q", text)
			continue
		}
		seen[text] = true
		if in := h.ended(jid); in.EndReason != job.EndExit {
			t.Errorf("job %s: %q", jid, in.EndReason)
		}
	}
}
