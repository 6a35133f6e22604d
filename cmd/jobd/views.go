package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// glance is what the loop gives away of a job, so that /proc can be read without keeping the loop.
type glance struct {
	info      job.Info
	placement job.Placement
	members   []watch.ID
	before    map[watch.ID]job.Spent // of those that had used something before they were members
	prime     watch.ID
}

// look copies jobs out of the loop: those that pick says yes to.
func (d *jobd) look(ctx context.Context, pick func(job.Info) bool) (out []glance, err error) {
	err = d.do(ctx, func() error {
		for _, in := range d.table.Jobs() {
			if !pick(in) {
				continue
			}
			g, err := d.glance(in)
			if err != nil {
				return err
			}
			out = append(out, g)
		}
		return nil
	})
	return out, err
}

// lookAt copies one job out of the loop. None: it has ended.
func (d *jobd) lookAt(ctx context.Context, jid job.JID) (out []glance, err error) {
	err = d.do(ctx, func() error {
		in, err := d.table.Job(jid)
		if err != nil {
			return nil
		}
		g, err := d.glance(in)
		out = []glance{g}
		return err
	})
	return out, err
}

// glance runs in the loop.
func (d *jobd) glance(in job.Info) (g glance, err error) {
	saved, err := d.table.Saved(in.JID)
	if err != nil {
		return g, err
	}
	g = glance{info: in, placement: saved.Placement}
	g.prime, _ = d.table.Prime(in.JID)
	g.members, err = d.table.Members(in.JID)
	for _, id := range g.members {
		if s := d.table.Before(id); s != (job.Spent{}) {
			if g.before == nil {
				g.before = make(map[watch.ID]job.Spent)
			}
			g.before[id] = s
		}
	}
	return g, err
}

// enlive adds what only the living can tell: what they have used so far, the cgroup's figures, the command. It runs
// outside the loop; a process that exits meanwhile is on the books before, and is left out here.
func (d *jobd) enlive(ctx context.Context, g []glance) ([]job.Info, error) {
	used := make([][]*watch.Usage, len(g))
	for i := range g {
		for _, id := range g[i].members {
			u, err := kernel.Proc.LiveCPU(id.PID)
			if err != nil {
				u = nil
			}
			used[i] = append(used[i], g[i].before[id].OffLive(u))
		}
		if g[i].info.Command == "" && g[i].prime.PID != 0 {
			g[i].info.Command = job.Text(kernel.Proc.Comm(g[i].prime.PID))
		}
	}
	err := d.do(ctx, func() error { // who has exited since is in the departed sums, and a pid may be another's by now
		for i := range g {
			if in, err := d.table.Job(g[i].info.JID); err == nil {
				in.Command = cmp.Or(in.Command, g[i].info.Command)
				g[i].info = in
			}
			for n, id := range g[i].members {
				if !d.engine.Alive(id) {
					used[i][n] = &watch.Usage{}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out, charges := make([]job.Info, len(g)), d.chargesOnce()
	for i := range g {
		in := g[i].info
		in.AddLive(used[i])
		if cpu, ok := kernel.CgroupCPU(d.cgroups, g[i].placement); ok { // goes first: it lacks nothing, also of those that have just exited
			setCgroupCPU(&in, cpu)
		} else if all, err := charges(); err != nil {
			return nil, err
		} else if ns, ok := all[kernel.Label(in.JID)]; ok {
			in.SetCPU(ns, job.SourceBPF)
		}
		d.setPeak(&in, g[i].placement)
		out[i] = in
	}
	return out, nil
}

// list gives the open jobs, newest first, and with all the ended ones behind them.
func (d *jobd) list(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	m, err := matcher(req)
	if err != nil {
		return nil, err
	}
	g, err := d.look(ctx, func(in job.Info) bool { return d.seesJob(peer, &in) && m.JobOf(&in) })
	if err != nil {
		return nil, err
	}
	out, err := d.enlive(ctx, g)
	if err != nil {
		return nil, err
	}
	open := make(map[job.JID]bool)
	for _, in := range out {
		open[in.JID] = true
	}
	out = slices.DeleteFunc(out, func(in job.Info) bool { return !m.Job(&in) })
	if req.All {
		turn := d.turns.of(peer)
		if err := turn.take(ctx); err != nil {
			return nil, err
		}
		defer turn.give()
		ended, err := d.endedJobs(ctx, req, func(in *job.Info) bool { return !open[in.JID] && d.seesJob(peer, in) && m.Job(in) })
		if err != nil {
			return nil, err
		}
		out = append(out, ended...)
	}
	if req.Sort != "" {
		if err := sortJobs(out, req.Sort); err != nil {
			return nil, err
		}
	}
	return cut(out, req.Limit), nil
}

func sortJobs(list []job.Info, by string) error {
	order, err := report.JobOrder(by, time.Now())
	if err != nil {
		return control.Errorf(control.BadRequest, "%s", err)
	}
	report.Sort(list, order)
	return nil
}

func cut[T any](list []T, limit int) []T {
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	if list == nil {
		list = []T{}
	}
	return list
}

// endedJobs reads the books, and what is on its way there: the first Limit jobs in the order that is asked for. want is
// asked about what jobs are searched by (store.EndedJobs): those that would not come up are not read any further.
func (d *jobd) endedJobs(ctx context.Context, req control.Request, want func(*job.Info) bool) ([]job.Info, error) {
	order, err := report.JobOrder(req.Sort, time.Now())
	if err != nil {
		return nil, control.Errorf(control.BadRequest, "%s", err)
	}
	top := report.NewTop(req.Limit, order)
	have := make(map[job.JID]bool)
	for _, s := range d.store.Waiting() {
		if s.State == job.Ended && want(&s.Info) {
			top.Add(&s.Info)
			have[s.JID] = true
		}
	}
	newest, added := req.Sort == "" || req.Sort == "ended", 0
	fits := func(in *job.Info) bool {
		return ctx.Err() == nil && !have[in.JID] && want(in) && top.Fits(in) // nobody waits: none is read any more
	}
	q := store.JobQuery{From: req.Since, To: req.Until, User: req.User, Want: func(s *job.Saved) bool { return fits(&s.Info) }}
	for s, err := range d.store.EndedJobs(q) {
		if err != nil {
			return nil, unreadable(err)
		}
		top.Add(&s.Info)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if added++; newest && added == req.Limit { // they come newest first
			break
		}
	}
	out := []job.Info{}
	for _, in := range top.List() {
		out = append(out, *in)
	}
	return out, nil
}

func (d *jobd) history(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	m, err := matcher(req)
	if err != nil {
		return nil, err
	}
	turn := d.turns.of(peer)
	if err := turn.take(ctx); err != nil {
		return nil, err
	}
	defer turn.give()
	return d.endedJobs(ctx, req, func(in *job.Info) bool { return d.seesJob(peer, in) && m.Job(in) })
}

// show gives one job, open or ended, and what is related to it where that is asked for.
func (d *jobd) show(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	jid, err := d.find(ctx, peer, control.Anyone, req.Job)
	if err != nil {
		return nil, err
	}
	in, err := d.present(ctx, jid)
	if err != nil || !req.Related {
		return in, err
	}
	return d.related(ctx, peer, in)
}

// present gives all that is known of a job now.
func (d *jobd) present(ctx context.Context, jid job.JID) (in job.Info, err error) {
	g, err := d.lookAt(ctx, jid)
	if err != nil {
		return in, err
	}
	if len(g) == 0 {
		return d.past(jid)
	}
	out, err := d.enlive(ctx, g)
	if err != nil {
		return in, err
	}
	return out[0], nil
}

// id says which job a process is in. A JID is no secret: what is behind it is.
func (d *jobd) id(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	ans := control.IDAnswer{PID: req.PID}
	if ans.PID == 0 {
		ans.PID = peer.PID
	}
	err := d.do(ctx, func() error {
		find := d.identify
		if ans.PID == peer.PID { // it is there: it asks
			find = d.hearAgain
		}
		id, err := find(ans.PID)
		if err != nil {
			return err
		}
		if jid := d.table.Find(id); jid != 0 {
			seq := jid.Seq()
			ans.JID, ans.Seq = &jid, &seq
			in, err := d.table.Job(jid)
			ans.LoginJID = in.LoginJID
			return err
		}
		return nil
	})
	return ans, err
}

// ps gives living processes: the members of a job, or with unjobbed the users' processes that are in none.
func (d *jobd) ps(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	if req.Unjobbed {
		return d.unjobbed(ctx, peer)
	}
	jid, err := d.find(ctx, peer, control.Anyone, req.Job)
	if err != nil {
		return nil, err
	}
	g, err := d.lookAt(ctx, jid)
	if err != nil || len(g) == 0 {
		return []job.Process{}, err
	}
	return d.living(ctx, jid, g[0].members)
}

// living reads processes in /proc, and leaves out those that have gone meanwhile.
func (d *jobd) living(ctx context.Context, jid job.JID, ids []watch.ID) ([]job.Process, error) {
	all := make([]*job.Process, len(ids))
	for i, id := range ids {
		all[i] = d.liveProcess(jid, id)
	}
	out := []job.Process{}
	err := d.do(ctx, func() error {
		for i, id := range ids {
			if all[i] != nil && d.engine.Alive(id) {
				out = append(out, *all[i])
			}
		}
		return nil
	})
	return out, err
}

// liveProcess reads one process; nil when it has gone.
func (d *jobd) liveProcess(jid job.JID, id watch.ID) *job.Process {
	u, st, err := kernel.Proc.LiveUsage(id.PID)
	if err != nil {
		return nil
	}
	p := &job.Process{JID: jid, Seq: jid.Seq(), PID: id.PID, TGID: id.PID, Exe: job.Text(kernel.Proc.Exe(id.PID)), Flags: []string{}}
	p.SetUsage(u)
	p.Nice, p.Sched, p.MinFault, p.MajFault = nil, nil, nil, nil // not read from /proc
	p.State = job.Text(string(st.State))
	start, age := kernel.StartTime(st)
	p.Started = &start
	elapsed := age.Nanoseconds()
	p.Elapsed = &elapsed
	return p
}
