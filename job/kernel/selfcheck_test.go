package kernel

import (
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// Each way in which the table can be wrong about one process is found, and what only looks like it is not. 10 is in job 7, with
// the audit session 1; all processes have started when the host did.
func TestDifferences(t *testing.T) {
	one := uint32(1)
	for _, c := range []struct {
		name string
		make func(k *court) int32
		want string // a part of what is said; empty: nothing differs
	}{
		{"a member", func(k *court) int32 { p, _ := k.fork(10, nil); return k.alive(t, p, 10, "0::/jobd/7", nil) }, ""},
		{"of no job", func(k *court) int32 { p, _ := k.fork(5, &testimony{}); return k.alive(t, p, 5, "0::/", nil) }, ""},
		{"in the job's cgroup and no member", func(k *court) int32 {
			p, _ := k.fork(5, &testimony{})
			return k.alive(t, p, 1, "0::/jobd/7", nil)
		}, "has a witness for job 7 and is in 0"},
		{"in the job's audit session and no member", func(k *court) int32 {
			p, _ := k.fork(5, &testimony{})
			return k.alive(t, p, 1, "0::/", &one)
		}, "has a witness for job 7 and is in 0"},
		{"a member's child that is none", func(k *court) int32 {
			p, _ := k.fork(10, nil)
			p.label = 0
			return k.alive(t, p, 10, "0::/", nil)
		}, "descends from process 10 of job 7 and is in none"},
		{"a member's child that was taken out", func(k *court) int32 {
			p, _ := k.fork(10, nil)
			p.label, p.out = 0, true
			return k.alive(t, p, 10, "0::/", &one)
		}, ""},
		{"a child of before its parent was put in", func(k *court) int32 {
			p, _ := k.fork(5, &testimony{})
			child, _ := k.fork(p.id.PID, nil)
			k.alive(t, p, 5, "0::/", nil)
			k.alive(t, child, p.id.PID, "0::/", nil)
			_ = k.c.Attach(p.id, 7, -1) // there is no kernel to be told of marks
			return child.id.PID
		}, ""},
		{"gone", func(k *court) int32 { p, _ := k.fork(10, nil); return p.id.PID }, "on the books and not alive"},
		{"not on the books", func(k *court) int32 {
			p, _ := k.fork(10, nil)
			k.c.lin.remove(p)
			return k.alive(t, p, 10, "0::/", nil)
		}, "alive and not on the books"},
	} {
		k := newCourt(t)
		k.login(10, 7, job.Placement{Cgroup: "/jobd/7", Audit: &one})
		pid := c.make(k)
		got := k.c.Differs(pid)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if suspect := slices.Contains(k.c.Suspects(k.survey(t)), pid); suspect != (c.want != "") {
			t.Errorf("%s: suspect %v", c.name, suspect)
		}
	}
}

// alive makes a process that is on the books appear in /proc.
func (k *court) alive(t *testing.T, p *proc, ppid int32, cgroup string, session *uint32) int32 {
	t.Helper()
	k.shows(t, p.id.PID, ppid, cgroup, session)
	return p.id.PID
}

// survey is Survey, for a /proc without jobd and init.
func (k *court) survey(t *testing.T) (s Survey) {
	t.Helper()
	pids, err := k.c.FS.PIDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		st, err := k.c.FS.Stat(pid)
		if err != nil {
			t.Fatal(err)
		}
		heard, _ := k.c.hear(pid, startedAt(st.Start))
		s.list, s.heard = append(s.list, seen{Stat: st}), append(s.heard, heard)
	}
	return s
}
