package main

import (
	"bufio"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// adopt makes jobs of sessions that are older than jobd: of a process and what descends from it, of a cgroup, or of every
// session there is. All or nothing: when one of them cannot be made, those made before are taken back.
func (d *jobd) adopt(peer control.Peer, req control.Request) (any, error) {
	groups, err := d.sessions(req)
	if err != nil {
		return nil, err
	}
	ans := control.AdoptAnswer{Jobs: []control.ChangeAnswer{}}
	for _, g := range groups {
		jid, err := d.adoptGroup(g, req)
		if err != nil {
			return nil, errors.Join(err, d.takeBack(ans))
		}
		ans.Jobs = append(ans.Jobs, changed(jid, g))
	}
	for i, g := range groups {
		if in, err := d.table.Job(ans.Jobs[i].JID); err == nil {
			d.moved("adopt", &in, g, &peer)
		}
	}
	return ans, nil
}

// sessions finds the groups of processes, each of which becomes a job, its oldest process first.
func (d *jobd) sessions(req control.Request) ([][]watch.ID, error) {
	var groups [][]watch.ID
	switch {
	case req.AllSessions:
		return d.allSessions()
	case req.Scope != "":
		pids, err := d.cgroups.Members(filepath.Clean("/" + req.Scope))
		if err != nil {
			return nil, control.Errorf(control.BadRequest, "cannot read cgroup %s: %s", req.Scope, err)
		}
		groups = [][]watch.ID{d.known(pids)}
	default:
		id, err := d.identify(req.PID)
		if err != nil {
			return nil, err
		}
		groups = [][]watch.ID{d.engine.Children(id)}
	}
	if len(groups[0]) == 0 {
		return nil, control.Errorf(control.NoProcess, "there is no process to adopt")
	}
	for _, id := range groups[0] {
		if jid := d.table.Find(id); jid != 0 {
			return nil, control.Errorf(control.Conflict, "process %d is in job %d already", id.PID, jid.Seq())
		}
	}
	return groups, nil
}

// allSessions groups the processes that are in no job by logind's scope, else by audit session.
func (d *jobd) allSessions() ([][]watch.ID, error) {
	pids, err := kernel.Proc.PIDs()
	if err != nil {
		return nil, err
	}
	byKey := make(map[string][]watch.ID)
	for _, id := range d.known(pids) {
		if key := sessionKey(id.PID); key != "" && d.table.Find(id) == 0 {
			byKey[key] = append(byKey[key], id)
		}
	}
	var groups [][]watch.ID
	for _, g := range byKey {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b []watch.ID) int { return cmp.Compare(a[0].PID, b[0].PID) })
	return groups, nil
}

// sessionKey says which session a process is of: a scope of logind's, an audit session, or none.
func sessionKey(pid int32) string {
	if place, err := kernel.Proc.Cgroup(pid); err == nil && kernel.LogindSession(place) != "" {
		return place
	}
	if s := kernel.Proc.Session(pid); s != nil {
		return "audit " + strconv.FormatUint(uint64(*s), 10)
	}
	return ""
}

// known gives the identities of living processes, the oldest first.
func (d *jobd) known(pids []int32) []watch.ID {
	type aged struct {
		id    watch.ID
		start uint64
	}
	var list []aged
	for _, pid := range pids {
		id, ok := d.engine.Identify(pid)
		st, err := kernel.Proc.Stat(pid)
		if ok && err == nil {
			list = append(list, aged{id, st.Start})
		}
	}
	slices.SortFunc(list, func(a, b aged) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id.PID, b.id.PID)) })
	out := make([]watch.ID, len(list))
	for i, a := range list {
		out[i] = a.id
	}
	return out
}

// adoptGroup makes one job. Its processes may have forked meanwhile: what they forked is taken in as well.
func (d *jobd) adoptGroup(group []watch.ID, req control.Request) (job.JID, error) {
	poe := group[0]
	in, err := d.create(job.Request{Proc: poe, Info: adoptedInfo(poe.PID, req)})
	if err != nil {
		return 0, err
	}
	for _, id := range group[1:] {
		err := d.enter(id, in.JID, d.table.Adopt)
		if err != nil && !errors.Is(err, kernel.ErrGone) && !errors.Is(err, job.ErrMember) {
			return 0, errors.Join(err, d.takeBack(control.AdoptAnswer{Jobs: []control.ChangeAnswer{changed(in.JID, nil)}}))
		}
	}
	d.lookForAudit() // now that all who are in the session may be in the job
	d.table.Save(in.JID)
	return in.JID, nil
}

// takeBack detaches everything from jobs that were made too early.
func (d *jobd) takeBack(ans control.AdoptAnswer) error {
	var errs []error
	for _, c := range ans.Jobs {
		ids, err := d.table.Members(c.JID)
		errs = append(errs, err)
		for _, id := range ids {
			errs = append(errs, d.detachOne(id, c.JID, monotonic()))
		}
	}
	return errors.Join(errs...)
}

// adoptedInfo says who a session is of: as logind tells, else the login uid, else the process's own.
func adoptedInfo(pid int32, req control.Request) job.Info {
	in := job.Info{User: req.User, Service: "adopted", Estimated: true, Tags: req.Tags}
	u, _, err := kernel.Proc.LiveUsage(pid)
	if err == nil {
		in.UID = u.UID
	}
	if login := kernel.Proc.LoginUID(pid); login != nil {
		in.UID = *login
	}
	if place, err := kernel.Proc.Cgroup(pid); err == nil {
		logindInfo(&in, kernel.LogindSession(place))
	}
	if req.UID != nil {
		in.UID = *req.UID
	}
	if in.GID = req.GID; in.GID == nil && u != nil && u.UID == in.UID {
		in.GID = &u.GID
	}
	if in.User == "" {
		in.User = uidName(in.UID)
	}
	return in
}

// logindInfo fills in what logind keeps of a session in /run/systemd/sessions (KEY=VALUE lines). The file is private to
// logind, so what is not there is left unknown.
func logindInfo(in *job.Info, session string) {
	if session == "" {
		return
	}
	f, err := os.Open("/run/systemd/sessions/" + filepath.Base(session))
	if err != nil {
		return
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		key, value, _ := strings.Cut(sc.Text(), "=")
		switch key {
		case "USER":
			if in.User == "" {
				in.User = value
			}
		case "UID":
			if v, err := strconv.ParseUint(value, 10, 32); err == nil {
				in.UID = uint32(v)
			}
		case "SERVICE":
			in.Service = job.Text(value)
		case "TTY":
			in.TTY = job.Text(value)
		case "REMOTE_HOST":
			in.RHost = job.Text(value)
		}
	}
}

// uidName stands for a user whose name nobody has told: jobd asks no name service.
func uidName(uid uint32) string { return "#" + strconv.FormatUint(uint64(uid), 10) }

func itoa(n int32) string { return strconv.Itoa(int(n)) }
