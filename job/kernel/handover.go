package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// Sockets are the descriptors of an engine's sockets that may outlive it: as long as somebody holds them, the kernel goes
// on sending, up to their buffers' size. Zero: none.
type Sockets struct{ Events, Stats int }

// Sockets gives the engine's own. They are valid until Close; whoever is to hold them needs duplicates.
func (c *Connector) Sockets() Sockets { return Sockets{c.events.fd, c.stats.fd} }

// Inherit has the engine read on from the sockets of one before it, which somebody held meanwhile; it makes duplicates of its
// own. state is what HandOver of that one gave: then the engine goes on exactly where it stopped. Without it (that one was
// killed) the processes older than the queue are looked for in /proc, the queue tells of the others, and afterwards all are
// compared with /proc.
func Inherit(from Sockets, state []byte) Option {
	return func(c *engine) { c.heir = &heir{from: from, state: state} }
}

// heir is an engine that reads on from another's sockets.
type heir struct {
	from  Sockets
	state []byte // nil: the other was killed
}

// handover is what the engine knows: its lineage, and where it stands in each socket.
type handover struct {
	Sockets [2]uint64 // SO_COOKIE, by which a socket is known again
	Drops   [2]uint32
	Gen     uint32
	Live    []handedProc
	Ghosts  []handedProc
	Marks   []handedMark
	Next    []uint32 // by CPU
	Seen    []bool
	Stash   map[int32][]handedRecord
}

type handedProc struct {
	ID, Parent  watch.ID
	Start       int64
	Label, Prev Label
	Since       int64
	TIDs        []int32
	Usage       *watch.Usage
	ExecAt      int64
	Missed      bool
	Scanned     bool
	Undecided   bool
	Out         bool
	Against     bool
	Claim       Label
	Suspect     bool
	Kids        int32
	Counted     bool
	Roots       bool
	Doubtful    bool
	Wrote       int64
	Leaving     *label.Used `json:",omitempty"`
	Adrift      bool        `json:",omitempty"`
}

// handedMark is one process in the bounds of a label; it may have gone.
type handedMark struct {
	Label Label
	ID    watch.ID
}

type handedRecord struct {
	Usage watch.Usage
	At    int64
}

// ErrHandover is a state that the engine cannot go on from: it is of other sockets, or not whole.
var ErrHandover = errors.New("cannot go on from where the jobd before stopped")

// HandOver writes down all that the engine knows. Everything has to have been drained, and nothing may be drained afterwards.
func (c *Connector) HandOver() ([]byte, error) {
	h := handover{Next: c.gaps.next, Seen: c.gaps.seen, Stash: make(map[int32][]handedRecord)}
	c.lin.handOver(&h)
	for i, s := range []*source{c.events, c.stats} {
		cookie, err := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		if err != nil {
			return nil, os.NewSyscallError("getsockopt", err)
		}
		h.Sockets[i], h.Drops[i] = cookie, s.drops
	}
	for tid, list := range c.stash {
		for _, r := range list {
			h.Stash[tid] = append(h.Stash[tid], handedRecord{r.usage, r.at})
		}
	}
	return json.Marshal(h)
}

func (l *lineage) handOver(h *handover) {
	h.Gen = l.gen
	for p := range l.all() {
		if !p.stranger { // whoever asks of one is told by /proc
			h.Live = append(h.Live, p.handOver())
		}
	}
	for _, ghosts := range l.ghosts {
		for _, p := range ghosts {
			h.Ghosts = append(h.Ghosts, p.handOver())
		}
	}
	for label, ids := range l.bounds {
		for _, id := range ids {
			h.Marks = append(h.Marks, handedMark{label, id})
		}
	}
}

func (p *proc) handOver() handedProc {
	return handedProc{
		ID: p.id, Parent: p.parent, Start: p.start, Label: p.label, Prev: p.prev, Since: p.since, TIDs: p.tids,
		Usage: p.usage, ExecAt: p.execAt, Missed: p.missed, Scanned: p.scanned, Undecided: p.undecided, Out: p.out,
		Against: p.against, Claim: p.claim, Suspect: p.suspect, Kids: p.kids, Counted: p.counted, Roots: p.roots, Doubtful: p.doubtful, Wrote: p.wrote, Leaving: p.leaving, Adrift: p.adrift,
	}
}

// inherit takes over the sockets, and what is known about them.
func (c *Connector) inherit() (err error) {
	family, err := taskstatsFamily()
	if err != nil {
		return err
	}
	if c.stats, err = adopt(c.heir.from.Stats, unix.NETLINK_GENERIC); err != nil {
		return err
	}
	c.stats.family = family
	c.kept = true                                                       // who holds them may need them for another engine, should this one not go on
	if err := c.stats.sendCPUs(attrRegisterCPUMask, 0, 0); err != nil { // who is registered stays so
		return fmt.Errorf("cannot ask for exit records: %w: %w", ErrNoTaskstats, err)
	}
	if c.events, err = adopt(c.heir.from.Events, unix.NETLINK_CONNECTOR); err != nil {
		return err
	}
	if c.heir.state == nil { // what was dropped before is the other's to count
		_, _, err := c.events.dropped()
		_, _, err2 := c.stats.dropped()
		return errors.Join(err, err2)
	}
	var h handover
	if err := json.Unmarshal(c.heir.state, &h); err != nil {
		return fmt.Errorf("%w: %w", ErrHandover, err)
	}
	for i, s := range []*source{c.events, c.stats} {
		cookie, err := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		if err != nil || cookie != h.Sockets[i] {
			return errors.Join(fmt.Errorf("%w: it was written for other sockets", ErrHandover), err)
		}
		s.drops = h.Drops[i]
	}
	return c.takeOver(&h)
}

// takeOver fills the engine with what was handed over, or leaves it as it was.
func (c *Connector) takeOver(h *handover) error {
	lin, err := h.lineage()
	if err != nil {
		return err
	}
	if len(h.Next) != len(h.Seen) || len(h.Next) > cpusMost {
		return fmt.Errorf("%w: the CPUs' numbers are not whole", ErrHandover)
	}
	c.lin, c.gaps.next, c.gaps.seen = lin, h.Next, h.Seen
	for tid, list := range h.Stash {
		for _, r := range list {
			c.stash.put(tid, r.Usage, r.At)
		}
	}
	return nil
}

// lineage makes the processes anew, and checks what the rest of the engine relies on.
func (h *handover) lineage() (*lineage, error) {
	l := newLineage()
	l.gen = h.Gen
	known := make(map[watch.ID]bool, len(h.Live)+len(h.Ghosts))
	for _, one := range h.Live {
		if l.of(one.ID.PID) != nil {
			return nil, fmt.Errorf("%w: process %d is there twice", ErrHandover, one.ID.PID)
		}
		known[one.ID] = true
		l.live.Set(watch.ID{PID: one.ID.PID}, one.takeOver())
	}
	for _, one := range h.Ghosts {
		known[one.ID] = true
		l.ghosts[one.ID.PID] = append(l.ghosts[one.ID.PID], one.takeOver())
	}
	if len(known) != len(h.Live)+len(h.Ghosts) {
		return nil, fmt.Errorf("%w: a process is there twice", ErrHandover)
	}
	for id := range known {
		if id.PID <= 0 || id.Gen == 0 || id.Gen > h.Gen {
			return nil, fmt.Errorf("%w: %d is no process", ErrHandover, id.PID)
		}
	}
	for _, m := range h.Marks {
		if known[m.ID] { // of one that has gone nothing can be forked
			l.bound(m.Label, []watch.ID{m.ID})
		}
	}
	return l, nil
}

func (h *handedProc) takeOver() *proc {
	return &proc{
		id: h.ID, parent: h.Parent, start: h.Start, label: h.Label, prev: h.Prev, since: h.Since, tids: h.TIDs,
		usage: h.Usage, execAt: h.ExecAt, missed: h.Missed, scanned: h.Scanned, undecided: h.Undecided, out: h.Out,
		against: h.Against, claim: h.Claim, suspect: h.Suspect, kids: h.Kids, counted: h.Counted, roots: h.Roots, doubtful: h.Doubtful, wrote: h.Wrote, leaving: h.Leaving, adrift: h.Adrift,
	}
}
