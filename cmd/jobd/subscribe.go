package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// subscription is a subscriber of pnotify for somebody outside: a registration of its own, subscribed to one process and to what descends
// from that. It is the data of each of them.
type subscription struct {
	name      string // as its owner calls it
	uid       uint32 // the owner
	pid       int32
	slot      int
	started   time.Time
	processes int
	data      string
}

// How many subscriptions there may be: the kernel tells them apart by a bit each. The last ones are kept for root.
const (
	slotsMost     = kernel.SlotMost
	slotsForRoot  = 7
	slotsEachUser = 8
)

// key is the name of a subscription in pnotify: nobody can take another's.
func key(uid uint32, name string) string { return fmt.Sprintf("%d/%s", uid, name) }

// subscribe answers subscribe.
func (d *jobd) subscribe(ctx context.Context, peer control.Peer, req control.Request) (any, error) {
	var s *subscription
	var r *feed.Reader
	var f feed.Filter
	sight := context.Background()
	err := d.do(ctx, func() (err error) {
		if s, err = d.openSubscription(peer, req); err != nil {
			return err
		}
		if trusted(peer) {
			sight = d.watching.sight(peer)
		}
		f = feed.Filter{Kinds: req.Events(), Slot: uint8(s.slot)}
		r, err = d.openReader(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.follow(r, sight, func() bool { return s.processes == 0 }, func() {
		d.closeSubscription(s)
		d.closeReader(f)
	}), nil
}

// openSubscription runs in the loop.
func (d *jobd) openSubscription(peer control.Peer, req control.Request) (*subscription, error) {
	id, err := d.subscribable(peer, req.PID)
	if err != nil {
		return nil, err
	}
	s := &subscription{name: req.Name, uid: peer.UID, pid: req.PID, started: time.Now().UTC(), data: req.Data}
	if s.slot, err = d.freeSlot(peer); err != nil {
		return nil, err
	}
	name := key(s.uid, s.name)
	if err := d.notify.Register(d.subscriber(name, s)); errors.Is(err, watch.ErrDuplicate) {
		return nil, &control.Error{
			Code: control.Conflict, Message: fmt.Sprintf("you have a subscription %q already", s.name), Hint: "give this one another name",
		}
	} else if err != nil {
		return nil, err
	}
	if err := d.engine.Hear(id, s.slot); err != nil {
		code := control.Unavailable
		if errors.Is(err, kernel.ErrGone) {
			code = control.NoProcess
		}
		_ = d.notify.Unregister(name) // it has just been registered
		d.trouble("cannot end a subscription", d.engine.Unhear(s.slot))
		return nil, control.Errorf(code, "cannot follow process %d: %s", req.PID, err)
	}
	d.watching.subs[name] = s
	d.watching.slots |= 1 << s.slot
	if _, err := d.notify.Subscribe(id, name, s); err != nil {
		d.closeSubscription(s)
		return nil, err
	}
	s.processes++
	return s, nil
}

// subscribable gives the process that a pid is of, if it lives and is the caller's.
func (d *jobd) subscribable(peer control.Peer, pid int32) (watch.ID, error) {
	id, err := d.identify(pid)
	if err != nil {
		return id, err
	}
	handles, err := d.engine.Open([]watch.ID{id}, d.drain)
	if err != nil {
		return id, err
	}
	if len(handles) == 0 {
		return id, control.Errorf(control.NoProcess, "there is no process %d any more", pid)
	}
	defer handles[0].Close() // nobody else gets its pid meanwhile
	if !trusted(peer) && !kernel.Proc.Owns(peer.UID, pid) {
		return id, &control.Error{Code: control.Denied, Message: "process " + itoa(pid) + " is not yours", Hint: "its owner and root may subscribe to it"}
	}
	return id, nil
}

// freeSlot gives the next slot that the caller may have.
func (d *jobd) freeSlot(peer control.Peer) (int, error) {
	busy := func(format string, args ...any) error {
		return &control.Error{Code: control.Busy, Message: fmt.Sprintf(format, args...), Hint: "end one, or try again later"}
	}
	if own := d.subscriptionsOf(peer.UID); !trusted(peer) && own >= slotsEachUser {
		return 0, busy("you have %d subscriptions, and may have no more", own)
	}
	most, all := slotsMost, bits.OnesCount64(d.watching.slots)
	if !trusted(peer) {
		most -= slotsForRoot
	}
	if all >= most {
		return 0, busy("there are %d subscriptions, and no room for more", all)
	}
	return bits.TrailingZeros64(^(d.watching.slots | 1)), nil // slot 0 is none
}

func (d *jobd) subscriptionsOf(uid uint32) (n int) {
	for _, s := range d.watching.subs {
		if s.uid == uid {
			n++
		}
	}
	return n
}

// closeSubscription runs in the loop. Nobody is told: it is the client who has gone.
func (d *jobd) closeSubscription(s *subscription) {
	name := key(s.uid, s.name)
	_ = d.notify.Unregister(name) // fails only where it was not registered
	d.trouble("cannot end a subscription", d.engine.Unhear(s.slot))
	delete(d.watching.subs, name)
	d.watching.slots &^= 1 << s.slot
}

// subscriber is what pnotify calls. A child is subscribed like its parent, with the same data.
func (d *jobd) subscriber(name string, s *subscription) *pnotify.Events {
	note := func(_ *pnotify.Subscriber, e *watch.Event) { d.note(e, d.ownerOf(e), uint8(s.slot)) }
	return &pnotify.Events{
		Name: name, Owner: "uid " + strconv.FormatUint(uint64(s.uid), 10), Data: s,
		Fork: func(child, _ *pnotify.Subscriber, e *watch.Event) pnotify.Answer {
			child.Data = s
			s.processes++
			note(child, e)
			return pnotify.Keep
		},
		Exec: note, UID: note, GID: note,
		Exit: func(of *pnotify.Subscriber, e *watch.Event) {
			if s.processes--; e == nil {
				return // its client has gone
			}
			note(of, e)
			if s.processes == 0 {
				d.tellGone(s)
			}
		},
	}
}

// tellGone puts the end of a subscription into the ring.
func (d *jobd) tellGone(s *subscription) {
	n := d.watching.ring.Next()
	n.Kind, n.Slot, n.At = feed.Gone, uint8(s.slot), d.table.At(0).UnixNano()
	d.watching.ring.Put()
}

// subscribed answers subscribed: what is kept with a subscription, or with one of its processes.
func (d *jobd) subscribed(ctx context.Context, peer control.Peer, req control.Request) (ans any, err error) {
	uid := peer.UID
	if req.UID != nil {
		uid = *req.UID
	}
	if uid != peer.UID && !trusted(peer) {
		return nil, control.Errorf(control.Denied, "only root may look at the subscriptions of others")
	}
	err = d.do(ctx, func() error {
		s := d.watching.subs[key(uid, req.Name)]
		if s == nil {
			return control.Errorf(control.NoProcess, "there is no subscription %q", req.Name)
		}
		if req.PID != 0 {
			id, err := d.identify(req.PID)
			if err != nil {
				return err
			}
			if d.notify.Get(id, key(uid, req.Name)) == nil {
				return control.Errorf(control.NoProcess, "the subscription %q is not about process %d", req.Name, req.PID)
			}
		}
		ans = control.SubscribedAnswer{Name: s.name, UID: s.uid, PID: s.pid, Started: s.started, Processes: s.processes, Data: s.data}
		return nil
	})
	return ans, err
}
