package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// How signals are sent. Whoever forks and exits all the time is never there when a list of members is worked through at
// leisure: then each strike goes on until nobody is new, in the loop, where nothing comes between hearing of a process and
// signalling it.
const (
	atOnce     = 256                    // handles that are open at a time: descriptors are limited
	strikeMost = 100 * time.Millisecond // in the loop: others wait for so long
)

// send sends signals to every member that the peer may signal. It gives how many members there are of those.
func (k *killing) send(ctx context.Context, sigs ...unix.Signal) (members int, err error) {
	ids, err := k.members(ctx)
	for len(ids) > 0 && err == nil {
		n := min(len(ids), atOnce)
		var handles []kernel.Handle
		err = k.d.do(ctx, func() (err error) {
			handles, err = k.open(ids[:n])
			return err
		})
		members += k.signal(handles, sigs...)
		ids = ids[n:]
	}
	return members, err
}

// open gives handles of those that are members still: one may just have run an exempt program. It runs in the loop.
func (k *killing) open(ids []watch.ID) ([]kernel.Handle, error) {
	handles, err := k.d.engine.Open(ids, k.d.drain)
	in := handles[:0]
	for _, h := range handles {
		if slices.Contains(k.jids, k.d.table.Find(h.ID)) {
			in = append(in, h)
		} else {
			h.Close()
		}
	}
	return in, err
}

// members lists the jobs' members, those that strayed taken back.
func (k *killing) members(ctx context.Context) (ids []watch.ID, err error) {
	err = k.d.do(ctx, func() error {
		k.takeBack()
		ids = k.d.membersOf(k.jids)
		return nil
	})
	return ids, err
}

func (k *killing) takeBack() {
	for _, j := range k.jids {
		if s, err := k.d.table.Saved(j); err == nil {
			k.d.reclaim(j, k.d.strays(j, s.Placement))
		}
	}
}

// signal sends signals by handles, and closes them. It gives how many the peer may signal.
func (k *killing) signal(handles []kernel.Handle, sigs ...unix.Signal) (n int) {
	for _, h := range handles {
		if !trusted(k.peer) && !kernel.Proc.MaySignal(k.peer.UID, h.ID.PID) {
			k.no[h.ID] = true
			h.Close()
			continue
		}
		n++
		k.hit[h.ID] = true
		for _, sig := range sigs {
			k.dead[h.ID] = k.dead[h.ID] || sig == unix.SIGKILL
			if err := h.Signal(sig); err != nil && !errors.Is(err, kernel.ErrGone) {
				k.d.log.Warn("cannot signal a member", "pid", h.ID.PID, "signal", sig.String(), "error", err)
			}
		}
		h.Close()
	}
	return n
}

// strike sends KILL to those who have not got it yet. Whoever is new when that is done again was forked meanwhile: then
// all that are new are stopped first, until none is, so that nobody is left to fork when the first one dies. It gives how
// many members there are that the peer may signal, and whether any was new.
func (k *killing) strike(ctx context.Context, again bool) (left int, forked bool, err error) {
	err = k.d.do(ctx, func() error {
		k.takeBack()
		var err error
		if again && len(k.without(k.dead)) > 0 {
			forked = true
			kernel.Hurry(func() { err = k.outrun() })
		} else {
			_, err = k.reach(k.dead, time.Now().Add(strikeMost), unix.SIGKILL) // the rest next time
		}
		left = 0
		for _, id := range k.d.membersOf(k.jids) {
			if !k.no[id] {
				left++
			}
		}
		return err
	})
	if errors.Is(err, context.Canceled) {
		err = control.Errorf(control.Timeout, "the request was given up before the job was empty")
	}
	return left, forked, err
}

// outrun stops whoever is new until nobody is, or the time is over, and then kills them. It runs in the loop.
func (k *killing) outrun() error {
	stopped, end := make(map[watch.ID]bool), time.Now().Add(strikeMost)
	for {
		n, err := k.reach(stopped, end, unix.SIGSTOP)
		if err != nil || n == 0 || time.Now().After(end) {
			_, killErr := k.reach(k.dead, end.Add(strikeMost), unix.SIGKILL)
			return errors.Join(err, killErr)
		}
	}
}

// reach sends a signal to the members that are not in done, and notes them there. It gives how many there were.
func (k *killing) reach(done map[watch.ID]bool, end time.Time, sig unix.Signal) (n int, err error) {
	ids := k.without(done)
	for len(ids) > 0 {
		some := ids[:min(len(ids), atOnce)]
		ids = ids[len(some):]
		handles, err := k.open(some)
		if err != nil {
			return n, err
		}
		for _, id := range some {
			done[id] = true // those that have gone, too
		}
		n += len(some)
		k.signal(handles, sig)
		if time.Now().After(end) {
			break
		}
	}
	return n, nil
}

// without lists the members that are not in done and that the peer may signal. It runs in the loop.
func (k *killing) without(done map[watch.ID]bool) []watch.ID {
	var out []watch.ID
	for _, id := range k.d.membersOf(k.jids) {
		if !done[id] && !k.no[id] {
			out = append(out, id)
		}
	}
	return out
}
