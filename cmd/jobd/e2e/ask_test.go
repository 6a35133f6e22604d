package e2e

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// What a test asks jobd.

// onlyJob gives the one job that is open.
func (h *host) onlyJob() job.Info {
	h.t.Helper()
	jobs, err := h.client.List(h.soon(), control.Request{})
	if err != nil || len(jobs) != 1 {
		h.t.Fatalf("list gives %d jobs, want 1: %+v, %v", len(jobs), jobs, err)
	}
	return jobs[0]
}

// openJobs gives the jobs that are open, of which there have to be n; -1: however many.
func (h *host) openJobs(n int) []job.Info {
	h.t.Helper()
	jobs, err := h.client.List(h.soon(), control.Request{})
	if err != nil || n >= 0 && len(jobs) != n {
		h.t.Fatalf("list gives %d jobs, want %d: %v", len(jobs), n, err)
	}
	return jobs
}

func ref(jid job.JID) control.JobRef { return control.JobRef(jid.String()) }

// show gives a job, ended or not.
func (h *host) show(jid job.JID) job.Info {
	h.t.Helper()
	in, err := h.client.Show(h.soon(), ref(jid))
	if err != nil {
		h.t.Fatalf("show %s: %v", jid, err)
	}
	return in
}

// members gives the pids of a job's members.
func (h *host) members(jid job.JID) []int32 {
	h.t.Helper()
	list, err := h.client.PS(h.soon(), control.Request{Job: ref(jid)})
	if err != nil {
		h.t.Fatalf("ps %s: %v", jid, err)
	}
	out := []int32{}
	for _, p := range list {
		out = append(out, p.PID)
	}
	return sorted(out)
}

// jobOf gives the job that a process is in, 0 for none.
func (h *host) jobOf(pid int32) job.JID {
	h.t.Helper()
	ans, err := h.client.ID(h.soon(), pid)
	if err != nil && alive(pid) {
		h.t.Fatalf("id %d: %v", pid, err)
	}
	if err != nil || ans.JID == nil {
		return 0
	}
	return *ans.JID
}

// ended waits for a job's end and gives what the books say of it.
func (h *host) ended(jid job.JID) job.Info {
	h.t.Helper()
	in, err := h.client.Wait(h.soon(), control.Request{Job: ref(jid), Timeout: patience, Only: true})
	if err != nil {
		h.t.Fatalf("job %s has not ended: %v; its members:%s", jid, err, describe(h.members(jid)))
	}
	return in
}

// moments gives the marks of time in the books, all of them that there are by now.
func (h *host) moments() []job.Moment {
	h.t.Helper()
	all, err := h.client.Moments(h.soon(), control.Request{})
	must(h.t, err)
	return all
}
