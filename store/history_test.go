package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// pastJob is a job as a login node has them, with everything that jobd knows of one.
func pastJob(rng *rand.Rand, i int) job.Saved {
	user := rng.IntN(200)
	uid, port, cpu, mem, code := uint32(1000+user), 40_000+rng.IntN(20_000), rng.Int64N(1e12), rng.Int64N(1<<32), rng.IntN(3)
	start := day0.Add(time.Duration(i) * time.Minute)
	end := start.Add(time.Duration(rng.IntN(1e5)) * time.Second)
	jid := job.NewJID(0xbeef, uint32(i+1))
	return job.Saved{Info: job.Info{
		JID: jid, Seq: jid.Seq(), Host: "login03.example.org", BootID: "0f9a2c5e-8e55-4b7a-9c55-0123456789ab",
		User: fmt.Sprintf("user%d", user), UID: uid, GID: &uid, Service: "sshd", TTY: "ssh", RHost: job.Text(fmt.Sprintf("192.0.2.%d", rng.IntN(250))),
		RPort: &port, AuthKey: job.Text(fmt.Sprintf("SHA256:%043d", user)), State: job.Ended, Started: start, Ended: &end,
		LoginUID: &uid, AuditSession: &uid, LogindSession: job.Text(fmt.Sprint("c", i)), POE: int32(1000 + i%30_000), Command: "bash",
		PeakProcesses: 10, TotalProcesses: 1000, CPU: &cpu, CPUSource: job.SourceCgroup, CPUUser: &cpu, CPUSystem: &cpu, CPUUnattributed: &cpu,
		MaxRSS: &mem, PeakMemory: &mem, ReadBytes: &mem, WriteBytes: &mem, ExitStatus: &code, POEExitStatus: &code,
		EndReason: job.EndExit, Witness: "cgroup", Tags: map[string]string{"project": "x"},
	}, Placement: job.Placement{Cgroup: fmt.Sprintf("/user.slice/user-%d.slice/session-%d.scope", uid, i), BaseCPU: &cpu, POEStart: 123456}}
}

// BenchmarkHistory100k asks a database of 100,000 ended jobs for some of them.
func BenchmarkHistory100k(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Delay: time.Hour, KeepJobs: -1, KeepRecords: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.db.NoSync = true
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 100_000
	for i := range n {
		if s.EndJob(pastJob(rng, i)); i%20_000 == 19_999 {
			must(b, s.Flush(context.Background()))
		}
	}
	st := s.Stats()
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     func(*job.Saved) bool
	}{
		{"user", time.Time{}, time.Time{}, func(in *job.Saved) bool { return in.User == "user7" }},
		{"service", time.Time{}, time.Time{}, func(in *job.Saved) bool { return in.Service == "su" }},
		{"tag", time.Time{}, time.Time{}, func(in *job.Saved) bool { return in.Tags["project"] == "y" }},
		{"old-day", day0, day0.Add(24 * time.Hour), nil},
		{"all", time.Time{}, time.Time{}, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			found := 0
			for b.Loop() {
				found = 0
				for _, err := range s.EndedJobs(JobQuery{From: c.from, To: c.to, Want: c.want}) {
					must(b, err)
					found++
				}
			}
			b.ReportMetric(float64(found), "jobs")
			b.ReportMetric(float64(st.FileSize)/n, "B/job")
		})
	}
}

// TestEndedWindow: what overlaps, in order, over more than a page of jobs. Job i ends after i seconds and lasts for 30.
func TestEndedWindow(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	const n = 700
	at := func(i int) time.Time { return day0.Add(time.Duration(i) * time.Second) }
	for _, i := range rand.Perm(n) {
		j := ended(saved(job.NewJID(7, uint32(i+1))), at(i))
		j.Started = at(i - 30)
		s.EndJob(j)
	}
	flush(t, s)
	even := func(in *job.Saved) bool { return in.Seq%2 == 1 }
	for _, c := range []struct {
		from, to    time.Time
		first, last int // newest, oldest
	}{
		{time.Time{}, time.Time{}, 699, 0}, {at(10), time.Time{}, 699, 10}, {time.Time{}, at(10), 39, 0},
		{at(100), at(600), 629, 100}, {at(100), at(100).Add(1), 130, 100}, {at(699), at(699), 699, 699}, {time.Time{}, at(-30), -1, 0},
	} {
		var got, want []int
		for j, err := range s.Ended(c.from, c.to) {
			must(t, err)
			got = append(got, int(j.Seq)-1)
		}
		for i := c.first; i >= c.last; i-- {
			want = append(want, i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d to %d: %v", c.first, c.last, got)
		}
		got = nil
		for j, err := range s.EndedJobs(JobQuery{From: c.from, To: c.to, Want: even}) {
			must(t, err)
			got = append(got, int(j.Seq)-1)
		}
		if want = slices.DeleteFunc(want, func(i int) bool { return i%2 == 1 }); !slices.Equal(got, want) {
			t.Errorf("the even ones of %d to %d: %v", c.first, c.last, got)
		}
	}
	for range s.Ended(at(700), time.Time{}) {
		t.Error("a job that has not ended yet")
	}
}
