package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/jobd-project/jobd/job"
)

// killCgroups kills everything in the jobs' cgroups at once, which no fork can outrun: in jobd's own, and in those that
// somebody else made for this job, such as logind's for a session. It is not for an owner, who may have members that kill(2)
// would not let them signal.
func (k *killing) killCgroups(ctx context.Context) error {
	if !trusted(k.peer) {
		return nil
	}
	return k.d.do(ctx, func() error {
		for _, j := range k.jids {
			saved, err := k.d.table.Saved(j)
			if err == nil && saved.Placement.Cgroup != "" && k.alone(saved.Placement) {
				k.killCgroup(j, saved.Placement.Cgroup)
			}
		}
		return nil
	})
}

func (k *killing) killCgroup(jid job.JID, place string) {
	switch err := k.d.cgroups.Kill(place); {
	case err == nil:
		k.d.log.Debug("killed a cgroup at once", "jid", jid, "cgroup", place)
	case errors.Is(err, os.ErrPermission): // a user's own, and jobd gave away what it would take: members are killed one by one
		k.d.log.Debug("cannot kill a cgroup at once", "jid", jid, "error", err)
	case !errors.Is(err, os.ErrNotExist): // cgroup.kill is there from Linux 5.14
		k.d.log.Warn("cannot kill a job's cgroup at once", "jid", jid, "error", err)
	}
}

// alone reports whether a cgroup, with those below it, holds nobody but members. What jobd does not know yet was born in
// there, if the cgroup is jobd's own: nobody else puts a process into it. It runs in the loop.
func (k *killing) alone(p job.Placement) bool {
	pids, err := k.d.cgroups.Tree(p.Cgroup)
	if err != nil {
		return false // it has gone
	}
	for _, pid := range pids {
		id, known := k.d.engine.Identify(pid)
		if !known && p.Own {
			continue
		}
		if !known || !slices.Contains(k.jids, job.JID(k.d.engine.Label(id))) {
			return false
		}
	}
	return true
}
