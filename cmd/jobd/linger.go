package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// lingerSettings say what becomes of jobs whose login is over. It is the only thing that jobd ends by itself.
type lingerSettings struct {
	KillAfter      time.Duration `toml:"kill_after"`      // 0: never
	Root           bool          `toml:"root"`            // root's jobs, too
	ExemptUsers    []string      `toml:"exempt_users"`    // by name, as PAM had it, or uid
	ExemptPrograms []string      `toml:"exempt_programs"` // a job in which one of them runs is left alone
}

func (l lingerSettings) check() error {
	var errs []error
	if l.KillAfter < 0 {
		errs = append(errs, badKey("linger.kill_after", "linger.kill_after is 0s, for never, or longer"))
	}
	if slices.Contains(l.ExemptUsers, "") {
		errs = append(errs, badKey("linger.exempt_users", "an empty name in linger.exempt_users is nobody's"))
	}
	return errors.Join(append(errs, checkPrograms("linger.exempt_programs", l.ExemptPrograms, false))...)
}

// spares reports whether a job is never killed, whatever runs in it.
func (l lingerSettings) spares(in *job.Info) bool {
	return in.UID == 0 && !l.Root || slices.Contains(l.ExemptUsers, in.User) ||
		slices.Contains(l.ExemptUsers, strconv.FormatUint(uint64(in.UID), 10))
}

// mayLinger sets the time of a job whose login is over, once. Only jobs that wait to be killed have a timer.
func (d *jobd) mayLinger(jid job.JID) {
	if _, known := d.lingering[jid]; known || d.settings().Linger.KillAfter == 0 || !d.table.Lingers(jid) {
		return
	}
	in, err := d.table.Job(jid)
	if err != nil {
		return
	}
	if d.lingering == nil {
		d.lingering = make(map[job.JID]*time.Timer)
	}
	if d.settings().Linger.spares(&in) {
		d.lingering[jid] = nil
		return
	}
	d.lingering[jid] = time.AfterFunc(d.settings().Linger.KillAfter, func() { d.endLingering(jid) })
}

// lingerAnew sets the time of each job that lingers by what holds now; it begins anew.
func (d *jobd) lingerAnew() {
	for jid := range d.lingering {
		d.lingersNoMore(jid)
	}
	for _, in := range d.table.Briefs() {
		d.mayLinger(in.JID)
	}
}

// lingersNoMore is for a job that has ended.
func (d *jobd) lingersNoMore(jid job.JID) {
	if t := d.lingering[jid]; t != nil {
		t.Stop()
	}
	delete(d.lingering, jid)
}

// endLingering kills a job as jobctl kill --only does, in a goroutine of its own. What was made inside it has a time of its own.
func (d *jobd) endLingering(jid job.JID) {
	ctx := context.Background() // the loop's end ends it
	var members []watch.ID
	err := d.do(ctx, func() error {
		if d.lingering[jid] != nil { // nothing else was decided meanwhile
			members = d.membersOf([]job.JID{jid})
		}
		return nil
	})
	spared := d.runsOneOf(members, d.settings().Linger.ExemptPrograms)
	k := newKilling(d, control.Peer{Root: true, PID: int32(os.Getpid())})
	if err == nil && spared == "" && len(members) > 0 {
		k.jids = []job.JID{jid}
		err = k.endOwn(ctx)
	}
	_ = d.do(ctx, func() error { // fails only when jobd stops
		if d.table.Lingers(jid) { // look again as late
			delete(d.lingering, jid)
			d.mayLinger(jid)
		}
		return nil
	})
	switch {
	case errors.Is(err, job.ErrNoJob), len(members) == 0: // it has ended meanwhile
	case err != nil:
		d.log.Warn("cannot kill a lingering job", "jid", jid, "error", err)
	case spared != "":
		d.log.Debug("a lingering job is spared", "jid", jid, "program", spared)
	default:
		d.log.Info("killed a lingering job", "jid", jid, "seq", jid.Seq(), "after", d.settings().Linger.KillAfter,
			"signalled", k.ans.Signalled, "left", len(k.ans.Left))
	}
}

// endOwn is end for jobd itself.
func (k *killing) endOwn(ctx context.Context) error {
	err := k.d.do(ctx, func() error { return k.d.table.Killed(k.jids[0]) })
	if err == nil {
		err = k.end(ctx, control.Request{})
	}
	if err != nil {
		return err
	}
	return k.report(ctx, false)
}

// runsOneOf gives the first of some programs that one of the processes runs; empty: none does.
func (d *jobd) runsOneOf(ids []watch.ID, programs []string) string {
	if len(programs) == 0 {
		return ""
	}
	files := make(map[string]os.FileInfo)
	for _, p := range programs {
		if st, err := os.Stat(p); err == nil {
			files[p] = st
		}
	}
	for _, id := range ids {
		exe := fmt.Sprintf("%s/%d/exe", kernel.Proc, id.PID)
		if path := strings.TrimSuffix(kernel.Proc.Exe(id.PID), " (deleted)"); slices.Contains(programs, path) {
			return path
		}
		runs, err := os.Stat(exe)
		for path, st := range files {
			if err == nil && os.SameFile(runs, st) { // by another path: a link to it
				return path
			}
		}
	}
	return ""
}
