package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// TestOrphansOfAnEntrant: a process that is put into a job may have got the orphans of others, as a subreaper does: they stay what
// they were, and what they fork with CLONE_PARENT names it.
func TestOrphansOfAnEntrant(t *testing.T) {
	k := newCourt(t)
	reaper, _ := k.fork(20, nil)
	between, _ := k.fork(reaper.id.PID, nil)
	orphan, _ := k.fork(between.id.PID, nil)
	k.c.lin.remove(between)
	k.shows(t, reaper.id.PID, 20, "0::/jobd/7", nil)
	k.shows(t, orphan.id.PID, reaper.id.PID, "0::/", nil)
	dir := filepath.Join(string(k.c.FS), fmt.Sprintf("%d/task/%d", reaper.id.PID, reaper.id.PID))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "children"), fmt.Appendf(nil, "%d ", orphan.id.PID), 0o644); err != nil {
		t.Fatal(err)
	}
	k.login(10, 7, job.Placement{Cgroup: "/jobd/7"})
	_ = k.c.Attach(reaper.id, 7, -1) // there is no kernel to be told of marks
	if !k.c.lin.ambiguous(reaper) {
		t.Error("labels don't meet at the process")
	}
	if child, _ := k.fork(reaper.id.PID, &testimony{cgroup: "/"}); child.label != 0 {
		t.Errorf("the orphan's child has label %d", child.label)
	}
}

// TestLeftInsideByADetach: after a restart, who has the job's own cgroup is a member, though its parent was taken out of a job; who
// has only what cannot be taken from it is out with its parent.
func TestLeftInsideByADetach(t *testing.T) {
	one := uint32(1)
	k := newCourt(t)
	k.c.self = 20
	inside, _ := k.fork(10, nil)
	after, _ := k.fork(10, nil)
	for _, p := range []struct {
		pid, ppid int32
		cgroup    string
		session   *uint32
	}{
		{1, 0, "/", nil}, {5, 1, "/", nil}, {10, 5, "/", &one}, {20, 5, "/", nil},
		{inside.id.PID, 10, "/jobd/7", &one}, {after.id.PID, 10, "/", &one},
	} {
		k.shows(t, p.pid, p.ppid, "0::"+p.cgroup, p.session)
	}
	place := job.Placement{Cgroup: "/jobd/7", Own: true, Audit: &one, Detached: []job.Known{{PID: 10}}}
	inside.start, after.start = 0, 0
	found, _ := k.c.Recover([]job.Saved{{Info: job.Info{JID: 7}, Placement: place}})
	if inside.label != 7 || inside.out || after.label != 0 || !after.out {
		t.Errorf("found %+v; inside: label %d, out %v; after: label %d, out %v", found, inside.label, inside.out, after.label, after.out)
	}
}
