package kernel

import (
	"testing"

	"github.com/jobd-project/jobd/job"
)

// nestedCourt is a member of job 7 (outer) whose child has job 8 and a child of its own that is still in job 7.
func nestedCourt(t *testing.T) (k *court, outer, inner, left *proc) {
	k = newCourt(t)
	k.login(10, 7, job.Placement{Cgroup: "/jobd/7", Own: true})
	outer = k.c.lin.of(10)
	inner, _ = k.fork(10, nil)
	left, _ = k.fork(inner.id.PID, nil)
	k.shows(t, 5, 1, "0::/", nil)
	k.shows(t, 10, 5, "0::/jobd/7", nil)
	k.shows(t, inner.id.PID, 10, "0::/jobd/8", nil)
	k.shows(t, left.id.PID, inner.id.PID, "0::/jobd/7", nil)
	k.c.bench.call(8, job.Placement{Cgroup: "/jobd/8", Own: true})
	_ = k.c.Attach(inner.id, 8, -1) // there is no kernel to be told of marks
	return k, outer, inner, left
}

// TestOutcastOfANestedJob: who was taken out of a job stays a stranger below and above the members of others when that job has ended: what it
// makes in the name of its parent is nobody's, what is made in its name by a member is a member.
func TestOutcastOfANestedJob(t *testing.T) {
	k, outer, inner, left := nestedCourt(t)
	k.shows(t, inner.id.PID, 10, "0::/", nil)
	_ = k.c.Detach(inner.id, -1)
	_ = k.c.Forget(8)
	if !k.c.lin.ambiguous(outer) || !k.c.lin.ambiguous(inner) {
		t.Errorf("the marks are %v", k.c.lin.marks)
	}
	if child, _ := k.fork(outer.id.PID, &testimony{cgroup: "/"}); child.label != 0 {
		t.Errorf("what it makes in the name of its parent has label %d", child.label)
	}
	if child, inherits := k.fork(inner.id.PID, &testimony{cgroup: "/jobd/7"}); child.label != 7 || inherits != left.id.PID {
		t.Errorf("what a member makes in its name has label %d, of %d", child.label, inherits)
	}
	_ = k.c.Forget(7)
	if k.c.lin.ambiguous(outer) || k.c.lin.ambiguous(inner) {
		t.Errorf("when all have ended the marks are %v", k.c.lin.marks)
	}
}
