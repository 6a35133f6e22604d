package main

import (
	"context"
	"time"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/watch"
)

// watching is the loop's side of those who want to hear of events: one watcher of Task Watchers, which writes for all of them.
type watching struct {
	ring    *feed.Ring
	readers int
	hosts   int       // of them, those that hear of processes in no job as well
	idle    time.Time // when the last reader left
	left    owned     // who has just been told of as gone, and is a member no more

	wide   context.Context // ends when users may see less than now …
	cancel func()          // … by this

	subs  map[string]*subscription // by the name that they have in pnotify
	slots uint64                   // a bit for each that is taken
}

// narrow ends the streams of users who may see more than their own: who still may comes again.
func (w *watching) narrow() {
	if w.cancel != nil {
		w.cancel()
	}
	w.wide, w.cancel = context.WithCancel(context.Background())
}

// sight ends when a stream has to that tells more than what is the peer's own. It runs in the loop.
func (w *watching) sight(peer control.Peer) context.Context {
	if peer.Root {
		return context.Background()
	}
	return w.wide
}

// owned is a process, and whose job it is in.
type owned struct {
	id   watch.ID
	jid  job.JID
	uid  uint32
	user string
}

// ringKept is how long events are written down when nobody watches any more: for somebody who comes back.
const ringKept = time.Minute

// feedWatcher stands before pnotify, for which a process that is gone is nobody any more.
func (d *jobd) feedWatcher() watch.Watcher {
	return watch.Watcher{
		Name: "feed", Owner: "jobd",
		Clone: d.tell, Exec: d.tell, UID: d.tell, GID: d.tell, Exit: d.tell, Free: d.tell, Lost: d.tell, Refuse: d.tell,
	}
}

// tell writes an event down, if somebody may want to know.
func (d *jobd) tell(e *watch.Event) error {
	if !d.watching.ring.On() {
		return nil
	}
	o := d.ownerOf(e)
	if e.Kind == watch.Free {
		d.watching.left = o
	}
	if o.jid != 0 || d.watching.hosts > 0 || e.Kind == watch.Lost {
		d.note(e, o, 0)
	}
	return nil
}

// ownerOf says in which job an event happened. A new process is in its parent's: it is told of before it is a member itself.
func (d *jobd) ownerOf(e *watch.Event) owned {
	if e.Kind == watch.Free && e.Proc == d.watching.left.id {
		return d.watching.left
	}
	who := e.Proc
	if e.Kind == watch.Clone && !e.Thread {
		who = e.Parent
	}
	o := owned{id: e.Proc}
	o.jid, o.uid, o.user = d.table.Owner(who)
	return o
}

// note puts an event into the ring.
func (d *jobd) note(e *watch.Event, o owned, slot uint8) {
	kind, ok := feed.KindOf(e.Kind)
	if !ok {
		return
	}
	n := d.watching.ring.Next()
	n.Kind, n.Slot, n.At = kind, slot, d.table.At(e.Mono).UnixNano()
	n.JID, n.UID, n.User = o.jid, o.uid, o.user
	n.Set(e)
	if kind == feed.Exec {
		d.watching.ring.PutExec(e.Program, e.Mono)
		return
	}
	d.watching.ring.Put()
}

// tellJob puts the start or the end of a job into the ring.
func (d *jobd) tellJob(kind feed.Kind, in *job.Info, at time.Time) {
	if !d.watching.ring.On() {
		return
	}
	told := *in
	n := d.watching.ring.Next()
	n.Kind, n.At, n.JID, n.UID, n.User, n.Job = kind, at.UnixNano(), in.JID, in.UID, in.User, &told
	d.watching.ring.Put()
}

// openReader gives a reader of what happens from now on. It runs in the loop.
func (d *jobd) openReader(f feed.Filter) (*feed.Reader, error) {
	w := &d.watching
	if f.Host && w.hosts == 0 {
		if err := d.engine.HearAll(true); err != nil {
			return nil, control.Errorf(control.Unavailable, "cannot hear of processes in no job: %s", err)
		}
	}
	w.ring.Start()
	w.readers++
	w.ring.Crowd(w.readers)
	if f.Host {
		w.hosts++
	}
	return w.ring.Reader(f), nil
}

// closeReader takes openReader back. It runs in the loop.
func (d *jobd) closeReader(f feed.Filter) {
	w := &d.watching
	if f.Host {
		if w.hosts--; w.hosts == 0 {
			d.trouble("cannot stop hearing of processes in no job", d.engine.HearAll(false))
		}
	}
	w.readers--
	if w.ring.Crowd(w.readers); w.readers > 0 {
		return
	}
	now := time.Now()
	w.idle = now
	time.AfterFunc(ringKept, func() {
		_ = d.do(context.Background(), func() error { // fails only when jobd stops
			if w.readers == 0 && w.idle.Equal(now) {
				w.ring.Stop()
			}
			return nil
		})
	})
}
