package report

import (
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// noon is when things happen in these tests.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func compiled(t testing.TB, f Filter) *Matcher {
	t.Helper()
	m, err := f.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// someJob is a job that lasted from 12:00 to 13:00.
func someJob() *job.Info {
	return &job.Info{
		JID: 17, User: "alice", UID: 1000, GID: ptr(uint32(100)), Service: "sshd", RHost: "131.169.4.7", Command: "bash", Started: noon, Ended: ptr(noon.Add(time.Hour)),
		CPU: ptr(int64(5e9)), MaxRSS: ptr(int64(100 << 20)), ReadBytes: ptr(int64(1000)), WriteBytes: ptr(int64(500)),
		ExitStatus: ptr(137), Tags: map[string]string{"project": "x7", "queue": "night"},
	}
}

func TestFilterOfJobs(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"nothing said", Filter{}, true},
		{"user", Filter{User: "alice"}, true},
		{"another user", Filter{User: "alic"}, false},
		{"uid", Filter{UID: ptr(uint32(1000))}, true},
		{"another uid", Filter{UID: ptr(uint32(0))}, false},
		{"command", Filter{Command: "as"}, true},
		{"command, all of it", Filter{Command: "^(ba|z)sh$"}, true},
		{"another command", Filter{Command: "^ash"}, false},
		{"service", Filter{Service: "sshd"}, true},
		{"another service", Filter{Service: "cron"}, false},
		{"tag", Filter{Tag: []string{"project"}}, true},
		{"tag with a value", Filter{Tag: []string{"project=x7", "queue=night"}}, true},
		{"one of two tags", Filter{Tag: []string{"project=x7", "queue=day"}}, false},
		{"a tag's value in part", Filter{Tag: []string{"project=x"}}, false},
		{"no such tag", Filter{Tag: []string{"account"}}, false},
		{"since its end", Filter{Since: at(time.Hour)}, true},
		{"since after it", Filter{Since: at(time.Hour + 1)}, false},
		{"until its start", Filter{Until: at(0)}, false},
		{"until after its start", Filter{Until: at(1)}, true},
		{"at an instant", Filter{Since: at(time.Minute), Until: at(time.Minute + 1)}, true},
		{"cpu", Filter{MinCPU: 5e9}, true},
		{"more cpu", Filter{MinCPU: 5e9 + 1}, false},
		{"memory", Filter{MinRSS: 100 << 20}, true},
		{"more memory", Filter{MinRSS: 101 << 20}, false},
		{"i/o", Filter{MinIO: 1500}, true},
		{"more i/o", Filter{MinIO: 1501}, false},
		{"exit", Filter{Exit: "137"}, true},
		{"another exit", Filter{Exit: "0"}, false},
		{"failed", Filter{Exit: "!0"}, true},
		{"not this exit", Filter{Exit: "!137"}, false},
		{"gid", Filter{GID: ptr(uint32(100))}, true},
		{"another gid", Filter{GID: ptr(uint32(0))}, false},
		{"what only processes have", Filter{PID: 5, Exe: "x"}, true},
	} {
		if got := compiled(t, c.f).Job(someJob()); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestUnknownSatisfiesNothing(t *testing.T) {
	for _, f := range []Filter{
		{Command: ".*"}, {Service: "x"}, {RHost: "::/0"}, {RHost: "x"}, {Tag: []string{"x"}}, {MinCPU: 1}, {MinRSS: 1}, {MinIO: 1},
		{Exit: "0"}, {Exit: "!0"},
	} {
		if compiled(t, f).Job(&job.Info{Started: noon}) {
			t.Errorf("a job of which nothing is known satisfies %+v", f)
		}
	}
	half := &job.Info{Started: noon, ReadBytes: ptr(int64(10))}
	if compiled(t, Filter{MinIO: 1}).Job(half) {
		t.Error("half of the I/O is known, and taken for all")
	}
	for _, f := range []Filter{
		{UID: ptr(uint32(0))}, {GID: ptr(uint32(0))}, {Command: ".*"}, {Exe: ".*"}, {MinCPU: 1}, {MinRSS: 1}, {MinIO: 1}, {Exit: "0"}, {Exit: "!1"},
	} {
		m := compiled(t, f)
		u := watch.Usage{CPU: 9, MaxRSS: 9, ReadBytes: 9}
		for _, r := range []*job.Record{{PID: 1, End: 1, Usage: u}, {PID: 1, End: 1, Used: true, Usage: u}} {
			if m.Record(r) {
				t.Errorf("a record of which nothing is known satisfies %+v", f)
			}
		}
	}
}

func TestOpenJobsReachIntoNow(t *testing.T) {
	in := someJob()
	in.Ended = nil
	if !compiled(t, Filter{Since: noon.AddDate(1, 0, 0)}).Job(in) {
		t.Error("an open job is over")
	}
	if compiled(t, Filter{Until: noon}).Job(in) {
		t.Error("a job is there before it was started")
	}
}

func TestRemoteHost(t *testing.T) {
	for _, c := range []struct {
		filter, rhost string
		want          bool
	}{
		{"131.169.4.7", "131.169.4.7", true},
		{"131.169.4.7", "::ffff:131.169.4.7", true},
		{"::ffff:131.169.4.7", "131.169.4.7", true},
		{"131.169.4.7", "131.169.4.70", false},
		{"131.169.0.0/16", "131.169.4.7", true},
		{"131.169.4.7/16", "131.169.200.1", true},
		{"131.169.0.0/16", "::ffff:131.169.4.7", true},
		{"::ffff:131.169.0.0/112", "131.169.4.7", true},
		{"131.169.0.0/16", "131.170.4.7", false},
		{"131.169.0.0/16", "login03.example.org", false},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"2001:db8::/32", "2001:DB8:0::1", true},
		{"2001:db8::1", "2001:db8:0:0::1", true},
		{"fe80::1", "fe80::1%eth0", true},
		{"fe80::1%eth1", "fe80::1%eth0", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"Login03.example.ORG", "login03.Example.org", true},
		{"login03.example.org", "login03.example.org.", true},
		{"login03", "login03.example.org", false},
	} {
		in := someJob()
		in.RHost = job.Text(c.rhost)
		if got := compiled(t, Filter{RHost: c.filter}).JobOf(in); got != c.want {
			t.Errorf("%s of %s: %v", c.filter, c.rhost, got)
		}
	}
}

func someRecord() *job.Record {
	return &job.Record{
		JID: 17, PID: 400, Start: noon.UnixNano(), End: noon.Add(time.Minute).UnixNano(), Status: 1 << 8, Exited: true, Used: true,
		Exe: "/usr/bin/make", Execs: []job.Exec{{Exe: "/usr/bin/env"}, {Exe: "/usr/bin/make"}},
		Usage: watch.Usage{Groups: allGroups, Comm: "make", UID: 1001, GID: 100, CPU: 2e9, MaxRSS: 1 << 20, ReadBytes: 10, WriteBytes: 5},
	}
}

const allGroups = watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch | watch.GroupDelay

func TestFilterOfRecords(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"nothing said", Filter{}, true},
		{"what is the job's", Filter{User: "bob", Service: "cron", RHost: "x", Tag: []string{"a=b"}}, true},
		{"its own uid", Filter{UID: ptr(uint32(1001))}, true},
		{"its job's uid", Filter{UID: ptr(uint32(1000))}, false},
		{"gid", Filter{GID: ptr(uint32(100))}, true},
		{"another gid", Filter{GID: ptr(uint32(0))}, false},
		{"pid", Filter{PID: 400}, true},
		{"another pid", Filter{PID: 40}, false},
		{"command", Filter{Command: "^make$"}, true},
		{"another command", Filter{Command: "cc1"}, false},
		{"last program", Filter{Exe: "make$"}, true},
		{"first program", Filter{Exe: "^/usr/bin/env$"}, true},
		{"no program of its", Filter{Exe: "/sbin/"}, false},
		{"since its end", Filter{Since: noon.Add(time.Minute)}, true},
		{"since after it", Filter{Since: noon.Add(time.Minute + 1)}, false},
		{"until its start", Filter{Until: noon}, false},
		{"until after its start", Filter{Until: noon.Add(1)}, true},
		{"cpu", Filter{MinCPU: 2e9}, true},
		{"more cpu", Filter{MinCPU: 2e9 + 1}, false},
		{"memory", Filter{MinRSS: 1 << 20}, true},
		{"more memory", Filter{MinRSS: 1<<20 + 1}, false},
		{"i/o", Filter{MinIO: 15}, true},
		{"more i/o", Filter{MinIO: 16}, false},
		{"exit", Filter{Exit: "1"}, true},
		{"failed", Filter{Exit: "!0"}, true},
		{"another exit", Filter{Exit: "!1"}, false},
	} {
		if got := compiled(t, c.f).Record(someRecord()); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	r := someRecord()
	r.Start = 0
	if compiled(t, Filter{Until: noon.Add(time.Minute)}).Record(r) {
		t.Error("a record without a start began before its end")
	}
}

func TestBadFilters(t *testing.T) {
	for _, c := range []struct {
		f    Filter
		says string
	}{
		{Filter{Command: "("}, `cannot use "(" for the command: `},
		{Filter{Exe: "*x"}, `cannot use "*x" for the exe: `},
		{Filter{RHost: "131.169.4"}, "remote host"},
		{Filter{RHost: "131.169.4.300"}, "remote host"},
		{Filter{RHost: "131.169.4.0/33"}, "remote host"},
		{Filter{RHost: "fe80::/200"}, "remote host"},
		{Filter{RHost: "a host"}, "remote host"},
		{Filter{Tag: []string{""}}, "key, or key=value"},
		{Filter{Tag: []string{"a", "=b"}}, "key, or key=value"},
		{Filter{Tag: []string{"a="}}, "key, or key=value"},
		{Filter{Exit: "x"}, "exit status"},
		{Filter{Exit: "!"}, "exit status"},
		{Filter{Exit: "256"}, "exit status"},
		{Filter{Exit: "-1"}, "exit status"},
		{Filter{MinCPU: -1}, "not negative"},
		{Filter{PID: -1}, "not negative"},
		{Filter{Since: noon, Until: noon}, "ends (2026-03-04T12:00:00Z) before it begins"},
	} {
		if _, err := c.f.Compile(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.f, err)
		}
	}
}

func TestTimesBeyondUnixNanoseconds(t *testing.T) {
	f := Filter{Since: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	if m := compiled(t, f); !m.Record(someRecord()) || !m.Job(someJob()) {
		t.Error("what is between the year 1 and the year 9999 is not found")
	}
}

// TestPatternForgets: names are chosen by processes, and a million of them must not be remembered.
func TestPatternForgets(t *testing.T) {
	m := compiled(t, Filter{Command: "^p1.*7$"})
	r := someRecord()
	for i := range 3 * remembered {
		r.Usage.Comm = "p" + strings.Repeat("1", i%7) + time.Duration(i).String()
		if got, want := m.Record(r), m.command.re.MatchString(r.Usage.Comm); got != want {
			t.Fatalf("%s: %v", r.Usage.Comm, got)
		}
	}
	if n := len(m.command.said); n > remembered {
		t.Error(n, "names are remembered")
	}
}

func TestRecordsAreMatchedWithoutAllocation(t *testing.T) {
	m := compiled(t, Filter{Command: "make", Exe: "make", UID: ptr(uint32(1001)), MinCPU: 1, MinRSS: 1, MinIO: 1, Exit: "!0", Since: noon, Until: noon.Add(time.Hour)})
	r := someRecord()
	if n := testing.AllocsPerRun(100, func() {
		if !m.Record(r) {
			t.Fatal("not matched")
		}
	}); n != 0 {
		t.Error(n, "allocations")
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("make|cc", "131.169.0.0/16", "project=x7", "!0", "131.169.4.7")
	f.Add("(", "::ffff:1.2.3.0/120", "=", "!", "::ffff:1.2.3.4")
	f.Add("", "login03.example.org", "a", "255", "LOGIN03.EXAMPLE.ORG.")
	f.Fuzz(func(t *testing.T, command, rhost, tag, exit, from string) {
		m, err := Filter{Command: command, RHost: rhost, Tag: []string{tag}, Exit: exit}.Compile()
		if err != nil {
			return
		}
		in := someJob()
		in.RHost = job.Text(from)
		m.Job(in)
		m.Record(someRecord())
		if in.RHost = job.Text(rhost); !strings.Contains(rhost, "/") && m.rhost != nil && !m.rhost.match(rhost) {
			t.Errorf("%q is not itself", rhost)
		}
	})
}
