package main

import (
	"context"
	"errors"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// How the killing of a job goes on when it does not end.
const (
	killAgain  = 20 * time.Millisecond // between rounds of KILL, for what was forked meanwhile
	killAtOnce = time.Millisecond      // when somebody was
	killStuck  = 3 * time.Second       // with nobody leaving, the rest will not: say who and why
)

// killing is the killing of one family of jobs, in the goroutine of the request.
type killing struct {
	d    *jobd
	peer control.Peer
	jids []job.JID
	ans  control.KillAnswer
	hit  map[watch.ID]bool
	no   map[watch.ID]bool // that the peer may not signal
	dead map[watch.ID]bool // that got KILL
}

func newKilling(d *jobd, peer control.Peer) *killing {
	k := &killing{d: d, peer: peer, hit: make(map[watch.ID]bool), no: make(map[watch.ID]bool), dead: make(map[watch.ID]bool)}
	k.ans.Left, k.ans.Refused = []control.KillLeft{}, []control.KillLeft{}
	return k
}

// kill signals a job, or ends it: TERM, HUP and CONT, a time of grace, then KILL until it is empty.
func (d *jobd) kill(ctx context.Context, peer control.Peer, access control.Access, req control.Request) (any, error) {
	jid, err := d.find(ctx, peer, access, req.Job)
	if err != nil {
		return nil, err
	}
	if !d.api.beginKill(peer) {
		return nil, &control.Error{Code: control.Busy, Message: "you have too many kills under way", Hint: "wait for them to end"}
	}
	defer d.api.endKill(peer)
	k := newKilling(d, peer)
	once := req.Signal != 0 || req.Probe
	err = d.do(ctx, func() error {
		k.jids = d.table.Family(jid)
		if req.Only {
			k.jids = k.jids[:1]
		}
		if once {
			return nil
		}
		for _, j := range k.jids {
			if err := d.table.Killed(j); err != nil && !errors.Is(err, job.ErrNoJob) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	k.ans.Jobs = k.jids
	if !req.Probe {
		d.audit(peer, req, nil)
	}
	if once {
		_, err = k.send(ctx, unix.Signal(req.Signal))
	} else {
		err = k.end(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	return k.ans, k.report(ctx, once)
}

// end signals until the jobs are empty, or nothing more can be done.
func (k *killing) end(ctx context.Context, req control.Request) error {
	if !req.Now {
		left, err := k.send(ctx, unix.SIGTERM, unix.SIGHUP, unix.SIGCONT)
		if err != nil {
			return err
		}
		if left == 0 {
			return k.awaitExits(ctx)
		}
		grace := k.d.settings().KillGrace
		if req.Timeout > 0 {
			grace = req.Timeout
		}
		if empty, err := k.await(ctx, grace); err != nil || empty {
			return err
		}
	}
	return k.finish(ctx)
}

// finish sends KILL until the jobs are empty, or nobody leaves any more.
func (k *killing) finish(ctx context.Context) error {
	least, since := math.MaxInt, time.Now()
	for again := false; ; again = true {
		left, forked, err := k.strike(ctx, again)
		if err != nil || left == 0 {
			return err
		}
		if err := k.killCgroups(ctx); err != nil {
			return err
		}
		if left < least {
			least, since = left, time.Now()
		} else if time.Since(since) > killStuck {
			return nil
		}
		pause := killAgain
		if forked {
			pause = killAtOnce
		}
		if empty, err := k.await(ctx, pause); err != nil || empty {
			return err
		}
	}
}

// awaitExits waits for the events of those that are gone already: each sends its own, when it next gets a CPU.
func (k *killing) awaitExits(ctx context.Context) error {
	_, err := k.await(ctx, killStuck)
	return err
}

// membersOf lists the members of jobs; one that has ended has none.
func (d *jobd) membersOf(jids []job.JID) []watch.ID {
	var out []watch.ID
	for _, j := range jids {
		ids, err := d.table.Members(j)
		if err == nil {
			out = append(out, ids...)
		}
	}
	return out
}

// await waits until the jobs are empty of what the peer may signal, at most for a while.
func (k *killing) await(ctx context.Context, most time.Duration) (empty bool, err error) {
	end := time.NewTimer(most)
	defer end.Stop()
	step := time.NewTicker(min(most, killAgain))
	defer step.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, control.Errorf(control.Timeout, "the request was given up before the job was empty")
		case <-end.C:
			return false, nil
		case <-step.C:
		}
		err = k.d.do(ctx, func() error {
			empty = true
			for _, id := range k.d.membersOf(k.jids) {
				empty = empty && k.no[id]
			}
			return nil
		})
		if err != nil || empty {
			return empty, err
		}
	}
}

// report counts who has gone, and says of each that has not why.
func (k *killing) report(ctx context.Context, once bool) error {
	var left []watch.ID
	home := make(map[watch.ID]job.JID)
	err := k.d.do(ctx, func() error {
		for _, id := range k.d.membersOf(k.jids) {
			left = append(left, id)
			home[id] = k.d.table.Find(id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.ans.Signalled = len(k.hit)
	k.ans.Ended = len(k.hit)
	for _, id := range left {
		switch {
		case k.no[id]:
			k.ans.Refused = append(k.ans.Refused, leftover(id, home[id], "not yours to signal"))
		case hasGone(id.PID): // its exit is on its way: it is sent when its task next gets a CPU
		case k.hit[id] || !once:
			l := leftover(id, home[id], "")
			if !once && !k.dead[id] {
				l.Why = "it was forked meanwhile"
			}
			k.ans.Left = append(k.ans.Left, l)
			if k.hit[id] {
				k.ans.Ended--
			}
		}
	}
	return nil
}

// hasGone reports whether nobody, or only what is left of somebody, has a pid.
func hasGone(pid int32) bool {
	st, err := kernel.Proc.Stat(pid)
	return errors.Is(err, kernel.ErrGone) || err == nil && st.Dead()
}

// leftover describes a process that is still there.
func leftover(id watch.ID, jid job.JID, why string) control.KillLeft {
	l := control.KillLeft{PID: id.PID, JID: jid, Why: job.Text(why)}
	st, err := kernel.Proc.Stat(id.PID)
	if err != nil {
		return l
	}
	l.Comm, l.State = job.Text(st.Comm), job.Text(string(st.State))
	if why == "" && st.State == 'D' {
		l.Why = job.Text(kernel.Proc.Wchan(id.PID))
	}
	return l
}
