package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// What is done to jobs, and to jobd.

// hasSessions reports whether the kernel has audit sessions, and this process may make them.
func hasSessions() bool {
	_, err := os.Stat("/proc/self/sessionid")
	return err == nil
}

func startOf(pid int32) uint64 {
	f := stat(pid)
	if len(f) < 20 {
		return 0
	}
	v, _ := strconv.ParseUint(f[19], 10, 64)
	return v
}

// ref names a job to jobd.
func (j *refJob) ref() control.JobRef { return control.JobRef(j.jid) }

func (r *random) job(name string) *refJob {
	if j := r.m.jobs[name]; j != nil && j.ended == "" && r.m.blind == "" {
		return j
	}
	return nil
}

// mayEnter: no mark of the kernel's that jobd cannot change may speak for another job.
func (r *random) mayEnter(list []*refProc, j *refJob) bool {
	if r.m.witness != "audit" {
		return true
	}
	for _, p := range list {
		for _, other := range r.m.open() {
			if other != j && other.session == p.session && p.session != 0 {
				return false
			}
		}
	}
	return true
}

func (r *random) attach(w []string) (bool, error) {
	p, j := r.living(w[1]), r.job(w[2])
	if p == nil || j == nil || w[3] == "tree" && r.m.adopts(p) {
		return false, nil
	}
	list := []*refProc{p}
	if w[3] == "tree" {
		list = r.m.tree(p)
	}
	for _, q := range list {
		if q.job != nil && q.job != j {
			return false, nil
		}
	}
	if !r.mayEnter(list, j) {
		return false, nil
	}
	ans, err := r.h.client.Attach(r.h.soon(), control.Request{Job: j.ref(), PID: p.pid, Tree: w[3] == "tree"})
	for _, q := range list {
		q.entrant = q.entrant || q.job == nil // who is in there already was not put in
		r.m.put(q, j)
	}
	return true, changedAs(ans, err, list)
}

func (r *random) move(w []string) (bool, error) {
	p, j := r.living(w[1]), r.job(w[2])
	if p == nil || j == nil || p.job == nil || w[3] == "tree" && r.m.adopts(p) {
		return false, nil
	}
	list := []*refProc{p}
	if w[3] == "tree" {
		list = slices.DeleteFunc(r.m.tree(p), func(q *refProc) bool { return q.job == nil })
	}
	if !r.mayEnter(list, j) {
		return false, nil
	}
	ans, err := r.h.client.Move(r.h.soon(), control.Request{Job: j.ref(), PID: p.pid, Tree: w[3] == "tree"})
	for _, q := range list {
		from := q.job
		if from != j {
			r.m.leave(q)
			q.entrant = true
		}
		r.m.put(q, j)
		if from != j {
			r.m.emptied(from, "detached")
		}
	}
	return true, changedAs(ans, err, list)
}

func (r *random) detach(w []string) (bool, error) {
	p := r.living(w[1])
	if p == nil || p.job == nil || r.m.blind != "" || w[2] == "tree" && r.m.adopts(p) {
		return false, nil
	}
	j, list := p.job, []*refProc{p}
	if w[2] == "tree" {
		list = slices.DeleteFunc(r.m.tree(p), func(q *refProc) bool { return q.job != j })
	}
	if !r.mayEnter(list, nil) { // who descends from it is not on file, and its session would speak again after a restart
		return false, nil
	}
	ans, err := r.h.client.Detach(r.h.soon(), control.Request{PID: p.pid, Tree: w[2] == "tree"})
	for _, q := range list {
		r.m.leave(q)
		q.out, q.outOf, q.listed, q.cgroup = true, j, j, nil
		r.m.meet(q)
	}
	r.m.emptied(j, "detached")
	return true, changedAs(ans, err, list)
}

func changedAs(ans control.ChangeAnswer, err error, list []*refProc) error {
	var want []int32
	for _, p := range list {
		want = append(want, p.pid)
	}
	if err == nil && !slices.Equal(sorted(ans.Processes), sorted(want)) {
		err = fmt.Errorf("changed %v, want %v", sorted(ans.Processes), sorted(want))
	}
	return err
}

func (r *random) hold(w []string) (bool, error) {
	if r.m.blind != "" || r.m.jobs[w[1]] != nil {
		return false, nil
	}
	in, err := r.h.client.Create(r.h.soon(), control.Request{Hold: true, User: "alice"})
	if err != nil {
		return true, err
	}
	r.m.jobs[w[1]] = &refJob{name: w[1], jid: in.JID.String(), held: true, members: make(map[*refProc]bool)}
	return true, nil
}

func (r *random) release(w []string) (bool, error) {
	j := r.job(w[1])
	if j == nil || !j.held {
		return false, nil
	}
	j.held = false
	r.m.emptied(j, "released")
	return true, r.h.client.Release(r.h.soon(), j.ref())
}

func (r *random) tag(w []string) (bool, error) {
	j := r.job(w[1])
	if j == nil {
		return false, nil
	}
	j.tag = itoa(len(r.done))
	_, err := r.h.client.Tag(r.h.soon(), j.ref(), map[string]string{"n": j.tag})
	return true, err
}

func (r *random) killJob(w []string) (bool, error) {
	j := r.job(w[1])
	if j == nil {
		return false, nil
	}
	family := r.m.family(j)
	ans, err := r.h.client.Kill(r.h.soon(), control.Request{Job: j.ref(), Now: true})
	took := 0
	for _, jid := range ans.Jobs {
		if k := r.m.byJID(jid.String()); k == nil || k.ended == "" { // else it is over, and its books are still open
			took++
		}
	}
	if err != nil || len(ans.Left)+len(ans.Refused) > 0 || took != len(family) {
		return true, fmt.Errorf("%w: %+v, %d jobs wanted", err, ans, len(family))
	}
	for _, k := range family {
		k.killed, k.held = true, false
		for _, p := range r.m.living() {
			if p.job != k {
				continue
			}
			if err := r.buried(p, 128+int(unix.SIGKILL)); err != nil {
				return true, err
			}
		}
		r.m.emptied(k, "killed")
	}
	return true, nil
}

// signalJob sends one signal, which ends who gets it.
func (r *random) signalJob(w []string) (bool, error) {
	j := r.job(w[1])
	if j == nil {
		return false, nil
	}
	list := r.m.living()
	list = slices.DeleteFunc(list, func(p *refProc) bool { return p.job != j })
	ans, err := r.h.client.Kill(r.h.soon(), control.Request{Job: j.ref(), Signal: int(unix.SIGTERM), Only: true})
	if err != nil || ans.Signalled != len(list) {
		return true, fmt.Errorf("%w: %+v, %d processes wanted", err, ans, len(list))
	}
	for _, p := range list {
		if err := r.buried(p, 128+int(unix.SIGTERM)); err != nil {
			return true, err
		}
	}
	return true, nil
}

// down stops jobd, in order or not.
func (r *random) down(w []string) (bool, error) {
	if r.m.blind != "" {
		return false, nil
	}
	if err := r.compare(); err != nil { // what it counted is gone with it
		return true, err
	}
	sig := unix.SIGTERM
	if w[0] == "crash" {
		sig = unix.SIGKILL
		r.m.killedNow()
	}
	r.m.blind = "down"
	if r.m.kept {
		r.m.blind = "paused"
		if w[0] == "crash" {
			r.m.recounted()
		}
	}
	if code := r.h.stop(sig); code > 0 {
		return true, fmt.Errorf("jobd ended with %d", code)
	}
	return true, nil
}

func (r *random) up([]string) (bool, error) {
	if r.m.blind != "down" && r.m.blind != "paused" {
		return false, nil
	}
	r.h.start()
	if r.m.blind == "down" {
		r.m.restarted()
	}
	r.m.blind = ""
	return true, r.compare()
}

// deaf stops jobd and lets more happen than its buffers hold; afterwards things happen that it cannot hear of.
func (r *random) deaf([]string) (bool, error) {
	const noise = 250000
	if r.m.blind != "" || r.m.kept || r.m.witness != "cgroup" && r.m.witness != "label" {
		return false, nil // noise is not told of where membership is kept
	}
	if err := r.compare(); err != nil {
		return true, err
	}
	if err := r.h.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		return true, err
	}
	r.m.blind, r.h.mayLose = "deaf", true
	_, err := r.s.first.tell("noise", noise)
	return true, err
}

func (r *random) heal([]string) (bool, error) {
	if r.m.blind != "deaf" {
		return false, nil
	}
	if err := r.h.cmd.Process.Signal(unix.SIGCONT); err != nil {
		return true, err
	}
	end := time.Now().Add(patience)
	for {
		st, err := r.h.client.Status(r.h.soon())
		if err == nil && st.EventsLost > 0 && st.Resyncs > 0 && st.DegradedSince == nil {
			break
		}
		if err != nil || time.Now().After(end) {
			return true, fmt.Errorf("no loss was healed: %+v, %w", st, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.m.healed()
	return true, r.compare()
}

func jidOf(j *refJob) (jid job.JID) {
	_ = jid.UnmarshalText([]byte(j.jid))
	return jid
}
