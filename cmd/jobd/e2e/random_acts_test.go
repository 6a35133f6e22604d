package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What single processes do, other than to make others.

func (r *random) thread(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil || len(p.threads) >= 4 {
		return false, nil
	}
	name, key := p.name+"."+w[2], r.s.key()
	tid, err := c.number("thread", key)
	if err != nil {
		return true, err
	}
	t, err := r.s.await(key)
	if err != nil {
		return true, err
	}
	if t.pid != p.pid {
		return true, fmt.Errorf("a thread of %d says that it is %d", p.pid, t.pid)
	}
	t.tid = tid
	p.threads[name] = t
	return true, nil
}

// exec leaves one thread, which is the first then.
func (r *random) exec(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil {
		return false, nil
	}
	key := r.s.key()
	if err := c.order("exec", key); err != nil {
		return true, err
	}
	again, err := r.s.await(key)
	if err != nil {
		return true, err
	}
	if again.pid != p.pid {
		return true, fmt.Errorf("process %d is %d after exec", p.pid, again.pid)
	}
	p.hangUp()
	p.threads = map[string]*puppet{p.name: again}
	return true, nil
}

func (p *refProc) hangUp() {
	for _, c := range p.threads {
		c.close()
	}
	p.threads = nil
}

// leave: one thread exits. With the last one the process ends, with what that one said (kernel/exit.c,
// synchronize_group_exit: Linux 6.0).
func (r *random) leave(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil {
		return false, nil
	}
	if len(p.threads) == 1 {
		return r.exit(w)
	}
	if err := c.order("leave", w[2]); err != nil {
		return true, err
	}
	c.close()
	delete(p.threads, w[1])
	return true, gone("the end of thread "+w[1], func() bool { return threadGone(p.pid, c.tid) })
}

// exit: the process exits by exit_group, or its last thread alone.
func (r *random) exit(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil {
		return false, nil
	}
	code, err := strconv.Atoi(w[2])
	if err != nil {
		return false, err
	}
	if err := c.order(w[0], code); err != nil {
		return true, err
	}
	return true, r.buried(p, code)
}

func (r *random) buried(p *refProc, status int) error {
	if err := gone("the end of "+p.name, func() bool { return !alive(p.pid) }); err != nil {
		return err
	}
	tids := []int32{p.pid}
	for _, c := range p.threads {
		tids = append(tids, c.tid)
	}
	p.hangUp()
	r.m.death(p, status, false)
	return r.told(tids...)
}

func (r *random) kill(w []string) (bool, error) {
	p := r.living(w[1])
	if p == nil {
		return false, nil
	}
	if err := signal(p.pid, unix.SIGKILL); err != nil {
		return true, err
	}
	return true, r.buried(p, 128+int(unix.SIGKILL))
}

// simple is what changes nothing that jobd follows.
func (r *random) simple(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil {
		return false, nil
	}
	if w[0] == "subreaper" {
		p.meets = true // it may get children of any job
	}
	_, err := c.tell(w[0])
	return true, err
}

// login: the process asks for a job, as pam_job.so would with nested=new.
func (r *random) login(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil || r.m.blind != "" || r.m.jobs[w[2]] != nil || p.name == "first" {
		return false, nil
	}
	session := p.session
	if r.m.witness == "audit" && p.job == nil {
		if len(p.threads) > 1 || c.tid != p.pid {
			return false, nil // each thread has a session of its own
		}
		r.serial++
		session = r.serial
		if _, err := c.tell("audit", 23000); err != nil {
			return true, err
		}
		p.session = session
	}
	answer, err := c.tell("open", "alice", aliceUID)
	if err != nil {
		return true, err
	}
	jid := ""
	for _, field := range answer {
		if v, ok := strings.CutPrefix(field, "jid="); ok {
			jid = v
		}
	}
	switch {
	case jid == "":
		return true, fmt.Errorf("no job: %q", answer)
	case p.job != nil && p.job.poe == p: // one job for one PAM process
		if jid != p.job.jid {
			return true, fmt.Errorf("asked again it gets %s, not %s", jid, p.job.jid)
		}
		return true, nil
	}
	up := p.job
	if up != nil {
		r.m.leave(p)
	}
	heard := session
	if !r.m.speaksFor(session, p, up) {
		session = 0
	}
	j := &refJob{name: w[2], jid: jid, up: up, poe: p, members: make(map[*refProc]bool), session: session, heard: heard}
	r.m.jobs[j.name] = j
	r.m.put(p, j)
	r.m.emptied(up, "detached")
	return true, nil
}

// close: the process closes its session. Where that was a nested one it goes back.
func (r *random) close(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil || r.m.blind != "" || p.job == nil {
		return false, nil
	}
	if _, err := c.tell("close"); err != nil {
		return true, err
	}
	j := p.job
	if j.poe != p || j.closed {
		return true, nil
	}
	j.closed = true
	if j.up != nil && j.up.ended == "" {
		r.m.leave(p)
		r.m.put(p, j.up)
		p.entrant = true
		r.m.emptied(j, "detached")
	}
	return true, nil
}

// threadNames is for failures.
func (p *refProc) threadNames() []string { return slices.Sorted(maps.Keys(p.threads)) }
