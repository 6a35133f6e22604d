package main

import (
	"context"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// related answers whether anything of a login is still running: the members of a job, open or ended, the open jobs that have
// its login, audit session, login uid or uid, and what its user has running in no job. What the caller may not see is
// counted: else "nothing" would be a lie.
func (d *jobd) related(ctx context.Context, peer control.Peer, in job.Info) (any, error) {
	ans := control.RelatedAnswer{Info: in}
	r := &ans.Related
	members := []watch.ID{}
	why := make(map[job.JID][]string)
	err := d.do(ctx, func() error {
		members = d.membersOf([]job.JID{in.JID})
		for _, other := range d.table.Jobs() {
			reasons := d.inCommon(&in, &other)
			switch {
			case len(reasons) == 0:
			case d.seesJob(peer, &other):
				why[other.JID] = reasons
			default:
				r.Hidden += other.Processes
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.Members, err = d.living(ctx, in.JID, members); err != nil {
		return nil, err
	}
	if r.Jobs, err = d.relatedJobs(ctx, why); err != nil {
		return nil, err
	}
	people, err := d.peoples(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		switch {
		case !p.of(&in), p.PID == peer.PID: // who asks is not what is asked for
		case d.sees(peer, *p.UID):
			r.Unjobbed = append(r.Unjobbed, p.Process)
		default:
			r.Hidden++
		}
	}
	return ans, nil
}

// inCommon says what another open job has in common with one.
func (d *jobd) inCommon(in, other *job.Info) (why []string) {
	if other.JID == in.JID {
		return nil
	}
	if loginOf(in) == loginOf(other) {
		why = append(why, "login_jid")
	}
	// Each boot counts audit sessions anew.
	if string(in.BootID) == d.boot && in.AuditSession != nil && same(in.AuditSession, other.AuditSession) {
		why = append(why, "audit_session")
	}
	if same(in.LoginUID, other.LoginUID) {
		why = append(why, "login_uid")
	}
	if in.UID == other.UID {
		why = append(why, "uid")
	}
	return why
}

// loginOf is the job of the login that a job was made in: itself, unless it is nested.
func loginOf(in *job.Info) job.JID {
	if in.LoginJID != nil {
		return *in.LoginJID
	}
	return in.JID
}

// same reports whether both are known, and are the same.
func same(a, b *uint32) bool { return a != nil && b != nil && *a == *b }

func (d *jobd) relatedJobs(ctx context.Context, why map[job.JID][]string) ([]control.RelatedJob, error) {
	g, err := d.look(ctx, func(in job.Info) bool { return why[in.JID] != nil })
	if err != nil {
		return nil, err
	}
	jobs, err := d.enlive(ctx, g)
	if err != nil {
		return nil, err
	}
	out := []control.RelatedJob{}
	for _, in := range jobs {
		out = append(out, control.RelatedJob{Info: in, Why: why[in.JID]})
	}
	return out, nil
}

// person is a process that belongs to people and to no job.
type person struct {
	job.Process
	login *uint32
}

// of reports whether the process is of the user of a job, by its uid or by its login uid.
func (p person) of(in *job.Info) bool {
	if p.login != nil && (*p.login == in.UID || same(p.login, in.LoginUID)) {
		return true
	}
	return *p.UID == in.UID && in.UID != 0 // root's own are the host's
}

// firstUser is the first uid that belongs to people (login.defs(5), UID_MIN), and nobody the one that stands for none.
const (
	firstUser = 1000
	nobody    = 65534
)

// peoples gives the processes that belong to people, by their uid or login uid, and to no job. No kernel thread does.
func (d *jobd) peoples(ctx context.Context) ([]person, error) {
	var ids []watch.ID
	err := d.do(ctx, func() error {
		for id := range d.engine.Existing() {
			if d.table.Find(id) == 0 {
				ids = append(ids, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	login := make(map[int32]*uint32, len(ids))
	for _, id := range ids {
		login[id.PID] = kernel.Proc.LoginUID(id.PID)
	}
	all, err := d.living(ctx, 0, ids) // who is alive afterwards was itself all the time
	if err != nil {
		return nil, err
	}
	var out []person
	for _, p := range all {
		switch l := login[p.PID]; {
		case p.UID == nil:
		case l != nil, *p.UID >= firstUser && *p.UID != nobody:
			out = append(out, person{p, l})
		}
	}
	return out, nil
}

// unjobbed lists those of them that the caller may see.
func (d *jobd) unjobbed(ctx context.Context, peer control.Peer) (any, error) {
	people, err := d.peoples(ctx)
	out := []job.Process{}
	for _, p := range people {
		if d.sees(peer, *p.UID) {
			out = append(out, p.Process)
		}
	}
	return out, err
}
