package kernel

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// BPF is the engine for which the kernel keeps the membership itself: each task of a job carries its label, which a child has before it
// runs, and the kernel tells of those tasks, of whom Hear or HearAll names, and of no others. Open it, and from one goroutine call Recover, then Rest, then Drain
// whenever Ready says so, and before each command. The table of processes is a copy of what the kernel has.
type BPF struct {
	engine
	events *label.Events

	limits    limits
	waiting   map[known]*proc // have exited, and the kernel still charges something to them
	heard     uint32          // bits of those who hear of processes, in a job or not
	adrift    []watch.ID      // are in a job, and inherit from nobody in it
	lostBy    lostEvents
	lost      bool
	unsure    bool   // what the engine before had not read may have gaps
	reported  uint64 // losses that a Lost event has told of
	upTo      int64  // the last event's stamp
	emptied   bool   // the last Drain read everything
	mended    time.Time
	expired   int64 // CLOCK_MONOTONIC ns: when it was last looked who has waited for too long
	comm      string
	spareUsed []*label.Used // for reuse
}

// known is a process as the kernel tells of it.
type known struct {
	pid   int32
	start int64
}

// lostEvents are the counts of events that there was no room for.
type lostEvents = [label.Kinds]uint64

// OpenBPF takes up what the kernel tells. labels are not closed with the engine.
func OpenBPF(fs FS, cgroups *Cgroups, log *slog.Logger, labels *label.Labels, options ...Option) (*BPF, error) {
	if err := InitialNamespaces(fs); err != nil {
		return nil, err
	}
	c := &BPF{engine: newEngine(fs, cgroups, log, options), events: labels.Events(), waiting: make(map[known]*proc)}
	if c.events == nil {
		return nil, errors.New("cannot open the engine: the kernel tells nothing")
	}
	c.partial = true
	how, _ := c.events.Refusal()
	c.limits = limits{inForce: how != label.NoRefusal, most: make(map[Label]int)}
	KeepLabels(labels)(&c.engine)
	c.bench.trust(true)
	_, err := labels.Set(c.self, label.Label{}, func() bool { return true }) // jobd itself, restarted in a login, is no member of it
	if err != nil {
		return nil, err
	}
	if c.lostBy, err = c.events.Lost(); err != nil {
		return nil, err
	}
	if c.heir != nil && c.heir.state != nil {
		if err := c.takeOver(c.heir.state); err != nil {
			return nil, err
		}
		c.leaveSelf()
	}
	if err = c.followPrograms(); err != nil {
		return nil, err
	}
	if c.readiness, err = newReadiness(c.events.FD(), ringBurst); err != nil {
		if c.programs != nil {
			c.programs.stop()
		}
		return nil, err
	}
	return c, nil
}

// followPrograms has what members run kept, as far as that is wanted.
func (c *BPF) followPrograms() error {
	if c.execs == ExecOff {
		return nil
	}
	var ears execSource // nil: the kernel says with each exec what is run
	if c.execs == ExecArgv {
		ears = &ringEars{c.events}
	}
	p, err := newPrograms(c.FS, c.execs, ears)
	if err == nil {
		c.programs = p
	}
	return err
}

// SetExecs changes what is kept of the programs that members run from now on. On an error none are followed.
func (c *BPF) SetExecs(mode ExecMode) error {
	c.dropPrograms(mode)
	return c.followPrograms()
}

// leaveSelf has jobd itself taken out of the job in which it was restarted, and in which the one before still saw it.
func (c *BPF) leaveSelf() {
	p := c.lin.of(c.self)
	if p == nil {
		return
	}
	if c.exempt == nil {
		c.exempt = &exempt{look: newLooker(c.FS, ExecExe)}
	}
	c.exempt.note(Exempted{ID: p.id, Program: c.FS.Exe(c.self)})
}

// Late says why changes of ids are told late; nil: they are not.
func (c *BPF) Late() error { return c.events.Late() }

// Name is how the engine is called.
func (c *BPF) Name() string { return "bpf" }

// Close ends the engine. The kernel goes on to tell: whoever opens the next one reads it.
func (c *BPF) Close() {
	c.readiness.stop()
	if c.programs != nil {
		c.programs.stop()
	}
	if err := c.deafen(^uint32(0)); err != nil {
		c.Log.Error("cannot close the engine cleanly", "error", err)
	}
}

// ringEars hears execs from the kernel's programs.
type ringEars struct{ events *label.Events }

func (r *ringEars) fd() int { return r.events.ExecsFD() }

func (r *ringEars) each(heard func(pid int32, at int64)) error {
	return r.events.EachExec(func(x label.Executed) { heard(x.PID, x.Time) })
}

func (r *ringEars) close() {}

// Drain reads what the kernel has told and emits it. Afterwards every event from before it was called has been emitted, unless there
// were more than drainMost.
func (c *BPF) Drain(emit Emit) error {
	c.clock = readClocks()
	c.readLate()
	n, err := c.read(emit)
	if err != nil {
		return err
	}
	if err := c.checkLoss(); err != nil {
		return err
	}
	if err := c.mendLabels(emit); err != nil {
		return err
	}
	if (c.lost || c.unsure) && c.emptied {
		c.compare(emit)
	}
	c.expire(emit)
	c.readiness.drained(n)
	c.recountAll()
	return nil
}

// writtenMost is how long a record may take from its place in the ring to its end: who writes it may lose the CPU to an interrupt, or
// the whole host to another.
const writtenMost = 2 * time.Millisecond

// read takes what had been told when it was called. It gives how many events that were.
func (c *BPF) read(emit Emit) (n int, err error) {
	upTo := c.events.Position() + c.events.Waiting()
	for end := time.Now().Add(writtenMost); ; nap(bornLook) {
		malformed, err := c.events.Each(func(ev *label.Event) bool {
			c.take(ev, emit)
			n++
			return n < drainMost
		})
		c.counts.Malformed += uint64(malformed)
		if c.emptied = c.events.Position() >= upTo; err != nil || c.emptied || n >= drainMost || time.Now().After(end) {
			return n, err
		}
	}
}

// listed reports whether a process that has exited is still in /proc: nobody has waited for it.
func (c *BPF) listed(p *proc) bool {
	st, err := c.FS.Stat(p.id.PID)
	return err == nil && st.Dead() && sameStart(p.start, st.Start)
}

// checkLoss counts what there was no room for since it was called last.
func (c *BPF) checkLoss() error {
	lost, err := c.events.Lost()
	if err != nil || lost == c.lostBy {
		return err
	}
	for k := range lost {
		n := lost[k] - c.lostBy[k]
		switch label.Kind(k) {
		case label.Refused: // nothing is missing in the table for that
			c.counts.Refused += n
			continue
		case label.Free:
			c.counts.RecordsLost += n
		}
		c.counts.Lost += n
		c.lost = c.lost || n > 0
	}
	c.lostBy = lost
	return nil
}

// Behind reports whether the last Drain left something that is from before a moment, CLOCK_MONOTONIC ns.
func (c *BPF) Behind(moment int64) bool { return !c.emptied && c.upTo < moment }

// Lag is how long after the end of a process its record may come.
func (c *BPF) Lag() time.Duration { return time.Duration(freeMost) + 2*time.Second }

// Loss gives ErrLoss while a loss is not made good.
func (c *BPF) Loss() error {
	if c.lost || c.unsure {
		return ErrLoss
	}
	return nil
}

// Heard says that this engine need not be tested for deafness: what tells is in the kernel's own hands. It is CLOCK_MONOTONIC ns, now.
func (c *BPF) Heard() int64 { return readClocks().mono }

// ListenAgain has the next Drain compare the table with the kernel's.
func (c *BPF) ListenAgain() error {
	c.lost = true
	return nil
}

// Counts gives the engine's own figures.
func (c *BPF) Counts() Counts {
	n := c.counts
	n.Processes = c.lin.live.Len() - c.lin.strangers // those in jobs, and whom somebody wants to hear of
	n.QueuedEvents, n.EventsDropped = uint32(c.events.Waiting()), c.counts.Lost
	return n
}

// Open opens handles for processes; see Connector.Open.
func (c *BPF) Open(ids []watch.ID, drain func() error) ([]Handle, error) {
	return c.open(ids, drain, c.Behind)
}

// How long the books of a process that has exited wait for the last that is charged to it: until it has been waited for (wait(2)) and a
// grace period is over, which takes seconds where many go at once. For one that nobody waits for a job does not stay open for as long.
const (
	freeMost   = int64(10 * time.Second)
	zombieMost = int64(time.Second)
)

// expire closes the books of those that have waited for too long: of a zombie with what /proc says, of others with what they had used when
// they exited.
func (c *BPF) expire(emit Emit) {
	if len(c.waiting) == 0 || c.clock.mono-c.expired < int64(time.Second) {
		return
	}
	c.expired = c.clock.mono
	inhabited := make(map[Label]bool)
	for p := range c.lin.all() {
		inhabited[p.label] = true
	}
	for _, p := range c.waiting {
		switch age := c.clock.mono - p.since; {
		case age > zombieMost && (age > freeMost || !inhabited[p.label]) && c.listed(p):
			c.used(p, !c.chargeZombie(p), emit)
		case age > freeMost: // that it is gone should have been told by now
			c.counts.RecordsUntold++
			if p.leaving != nil {
				c.charge(p, p.leaving)
			}
			c.used(p, true, emit)
		}
	}
}
