package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// soonEnough is how long jobd has for what is on its way when it is asked: an exit is told of after it can be waited for. That its
// sweep may put right meanwhile who strayed does not help it: the log tells.
const soonEnough = patience

// compare holds jobd against the model.
func (r *random) compare() error {
	if r.m.blind != "" {
		return nil
	}
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > 500*time.Millisecond {
			r.t.Logf("compare took %v", took)
		}
	}()
	var diff, before []string
	for end := time.Now().Add(soonEnough); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if diff, err = r.differences(); err != nil {
			return err
		}
		if len(diff) == 0 {
			break
		}
		before = diff
		if time.Now().After(end) {
			return errors.New(strings.Join(diff, "\n") + r.describe())
		}
	}
	sc, err := r.h.client.Selfcheck(r.h.soon())
	if err != nil || !sc.OK {
		return fmt.Errorf("selfcheck: %v, %w%s", sc.Differences, err, r.describe())
	}
	if log := r.h.log.String(); strings.Contains(log, "took back") {
		return errors.New("a process strayed, and was taken back\n" + strings.Join(before, "\n") + r.describe())
	}
	return nil
}

func (r *random) differences() (diff []string, err error) {
	list, err := r.h.client.List(r.h.soon(), control.Request{})
	if err != nil {
		return nil, err
	}
	open := make(map[string]job.Info)
	for _, in := range list {
		open[in.JID.String()] = in
	}
	live := 0
	for _, j := range r.m.open() {
		in, ok := open[j.jid]
		delete(open, j.jid)
		if !ok {
			diff = append(diff, fmt.Sprintf("%s (%s) is open, jobd does not have it", j.name, j.jid))
			continue
		}
		live += len(j.members)
		more, err := r.jobDiffers(j, in)
		if err != nil {
			return nil, err
		}
		diff = append(diff, more...)
	}
	for jid := range open {
		diff = append(diff, fmt.Sprintf("jobd has %s open", jid))
	}
	st, err := r.h.client.Status(r.h.soon())
	if err != nil {
		return nil, err
	}
	return append(diff, r.balanceDiffers(st, uint64(live))...), nil
}

func (r *random) jobDiffers(j *refJob, in job.Info) (diff []string, err error) {
	note := func(format string, args ...any) { diff = append(diff, j.name+": "+fmt.Sprintf(format, args...)) }
	ps, err := r.h.client.PS(r.h.soon(), control.Request{Job: j.ref()})
	if err != nil {
		return nil, err
	}
	got, want := []int32{}, []int32{}
	for _, p := range ps {
		got = append(got, p.PID)
	}
	for p := range j.members {
		want = append(want, p.pid)
	}
	if !slices.Equal(sorted(got), sorted(want)) {
		note("members %s, want %s", r.names(got), r.names(want))
	}
	state := job.Open
	if j.closed || j.poeGone {
		state = job.Lingering
	}
	if in.State != state || in.Held != j.held {
		note("%s, held %v, want %s, held %v", in.State, in.Held, state, j.held)
	}
	if !j.vague && (in.TotalProcesses > j.total || in.TotalProcesses < j.total-j.quick()) {
		note("%d processes in all, want %d", in.TotalProcesses, j.total)
	}
	if (in.ParentJID == nil) != (j.up == nil) || j.up != nil && in.ParentJID.String() != j.up.jid {
		note("parent %v, want %v", in.ParentJID, j.up)
	}
	if in.Tags["n"] != j.tag {
		note("tag %q, want %q", in.Tags["n"], j.tag)
	}
	return diff, nil
}

// quick counts those that may have been gone before their witness was asked.
func (j *refJob) quick() (n int) {
	for _, x := range j.left {
		if x.quick {
			n++
		}
	}
	return n
}

func (r *random) balanceDiffers(st control.StatusAnswer, live uint64) (diff []string) {
	b, lost := st.Balance, st.Unwitnessed
	came := b.Inherited + b.Adopted
	if b.Error() != 0 || b.Attached != r.m.attached || b.Live != live ||
		came > r.m.came || came+lost < r.m.came || b.Departed > r.m.departed || b.Departed+lost < r.m.departed {
		diff = append(diff, fmt.Sprintf("balance %+v, %d unwitnessed; want %d attached, %d came, %d departed, %d live",
			b, lost, r.m.attached, r.m.came, r.m.departed, live))
	}
	if !r.h.mayLose && (st.EventsLost > 0 || st.RecordsMissed > 0 || st.Store.Dropped > 0) {
		diff = append(diff, fmt.Sprintf("%d events, %d records lost, %d dropped", st.EventsLost, st.RecordsMissed, st.Store.Dropped))
	}
	return diff
}

// finish ends everything, and compares the books with what the model wrote down.
func (r *random) finish() error {
	for _, op := range []string{"up", "heal"} {
		if err := r.do(op); err != nil {
			return err
		}
	}
	if err := r.compare(); err != nil {
		return err
	}
	for _, p := range r.m.living() {
		if err := signal(p.pid, unix.SIGKILL); err != nil {
			return err
		}
		if err := r.buried(p, 128+int(unix.SIGKILL)); err != nil {
			return err
		}
	}
	for _, j := range r.m.open() {
		if _, err := r.release([]string{"release", j.name}); err != nil {
			return err
		}
	}
	if err := r.compare(); err != nil {
		return err
	}
	for _, j := range r.m.jobs {
		if err := r.booksDiffer(j); err != nil {
			return err
		}
	}
	return nil
}

// booksDiffer compares a job that has ended, and its records: one for each process that ended in it, each with its status.
func (r *random) booksDiffer(j *refJob) error {
	in, err := r.h.client.Show(r.h.soon(), j.ref())
	if err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	if in.State != job.Ended || !j.vague && (string(in.EndReason) != j.ended || in.TotalProcesses > j.total || in.TotalProcesses < j.total-j.quick()) {
		return fmt.Errorf("%s is %s, %q, %d processes; want ended, %q, %d", j.name, in.State, in.EndReason, in.TotalProcesses, j.ended, j.total)
	}
	records, err := r.h.client.Procs(r.h.soon(), control.Request{Job: j.ref()})
	if err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	left := slices.Clone(j.left)
	for _, rec := range records {
		i := slices.IndexFunc(left, func(x refExit) bool { return x.pid == rec.PID && sameStatus(x.status, rec.ExitStatus) })
		if i < 0 {
			return fmt.Errorf("%s (%s): a record of %d, status %v, that nobody expects; left to come are %+v", j.name, j.jid, rec.PID, say(rec.ExitStatus), left)
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, x := range left {
		if x.sure && !x.quick {
			return fmt.Errorf("%s (%s): no record of %d, status %d", j.name, j.jid, x.pid, x.status)
		}
	}
	return nil
}

func sameStatus(want int, got *int) bool { return want < 0 || got == nil || *got == want }

func say(n *int) string {
	if n == nil {
		return "unknown"
	}
	return itoa(*n)
}

// names gives processes by the model's names.
func (r *random) names(pids []int32) string {
	var out []string
	for _, pid := range sorted(pids) {
		name := "?"
		if p := r.m.byPID(pid); p != nil {
			name = p.name
		}
		out = append(out, fmt.Sprintf("%s(%d)", name, pid))
	}
	return "[" + strings.Join(out, " ") + "]"
}

// describe is the model in a failure.
func (r *random) describe() string {
	var b strings.Builder
	for _, p := range r.m.living() {
		in := "none"
		if p.job != nil {
			in = p.job.name
		}
		fmt.Fprintf(&b, "\n  %s (%d, parent %d) in %s, out %v, cgroup %s, session %d, threads %v", p.name, p.pid, parentOf(p.pid), in, p.out, cgroupOf(p.pid), p.session, p.threadNames())
	}
	for _, j := range r.m.open() {
		fmt.Fprintf(&b, "\n  %s = %s, session %d heard, %d its own", j.name, j.jid, j.heard, j.session)
	}
	return b.String()
}
