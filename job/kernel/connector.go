package kernel

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// Emit takes an event along. ErrRefuse for a Clone means that the process is refused; any other error is logged.
type Emit func(*watch.Event) error

// Connector is the engine that follows the kernel's process events: the proc connector for the life of tasks, the
// taskstats exit records for what they used. Open it, and from one goroutine call Rest, then Drain whenever Ready says so,
// and before each command. It keeps the membership (a label for each process) as the bpf engine keeps it in the kernel.
type Connector struct {
	engine

	events    *source
	stats     *source
	execEars  *execEars // nil: nobody wants to know what processes run
	sentinel  *sentinel
	gaps      gaps
	stash     stash
	unsettled unsettled
	kept      bool // the sockets outlive the engine

	exited   watch.Usage // the exit record that was found last
	lost     bool
	heard    int64  // CLOCK_MONOTONIC ns when something was read last
	upTo     int64  // the last event's stamp
	row      int    // exits of members in a row without a record
	emptied  bool   // the last Drain read everything
	reported uint64 // losses that a Lost event has told of
}

// OpenConnector opens the sockets, then makes the first scan, so that nothing falls between: what queued meanwhile is
// read by the first Drain.
func OpenConnector(fs FS, cgroups *Cgroups, log *slog.Logger, options ...Option) (*Connector, error) {
	if err := InitialNamespaces(fs); err != nil {
		return nil, err
	}
	c := &Connector{engine: newEngine(fs, cgroups, log, options), stash: make(stash)}
	err := c.takeLabels()
	if err == nil {
		err = c.openSockets()
	}
	if err == nil {
		c.sentinel, err = newSentinel(func(pid int32, at int64) (testimony, bool) {
			return c.hear(pid, bornAt(at, readClocks()))
		})
	}
	if err == nil && c.execs != ExecOff {
		err = c.followPrograms()
	}
	if err == nil {
		err = c.fill()
	}
	if p := c.lin.of(c.self); p != nil {
		p.out = true // jobd itself, restarted in a login, is no member of it
	}
	if err != nil {
		c.closeSockets()
		return nil, err
	}
	if c.readiness, err = newReadiness(c.events.fd, stormBurst); err != nil {
		c.closeSockets()
		return nil, err
	}
	return c, nil
}

func (c *Connector) openSockets() (err error) {
	if c.heir != nil {
		return c.inherit()
	}
	if c.stats, err = dialTaskstats(); err != nil {
		return err
	}
	c.events, err = dialConnector(nil)
	return err
}

// fill makes the first picture of who is alive.
func (c *Connector) fill() error {
	switch {
	case c.heir == nil:
		return c.scanFirst()
	case c.heir.state == nil:
		return c.scanOlder()
	}
	return c.sentinel.watch(c.lin.markedPIDs())
}

// followPrograms listens for execs, on a socket of their own.
func (c *Connector) followPrograms() (err error) {
	if c.execEars, err = newExecEars(); err != nil {
		return err
	}
	p, err := newPrograms(c.FS, c.execs, c.execEars)
	if err != nil {
		c.execEars.close()
		c.execEars = nil
		return err
	}
	c.programs = p
	return nil
}

// SetExecs changes what is kept of the programs that members run from now on. On an error none are followed.
func (c *Connector) SetExecs(mode ExecMode) error {
	c.dropPrograms(mode)
	c.execEars = nil
	if err := c.ListenAgain(); err != nil { // before Linux 6.6 one who leaves can silence the others
		return err
	}
	if mode == ExecOff {
		return nil
	}
	return c.followPrograms()
}

// Close ends the engine. A Ready that somebody waits on is not answered any more.
func (c *Connector) Close() {
	c.readiness.stop()
	if c.stats != nil && !c.kept && c.heir == nil { // who it was inherited from holds it for another
		c.stats.deregister()
	}
	c.closeSockets()
}

// Name is what the engine is called.
func (c *Connector) Name() string { return "connector" }

// Keep leaves the sockets listening beyond Close: somebody holds them for the next engine.
func (c *Connector) Keep() { c.kept = true }

func (c *Connector) closeSockets() {
	if c.events != nil {
		c.events.close()
	}
	if c.stats != nil {
		c.stats.close()
	}
	if c.sentinel != nil {
		c.sentinel.stop()
	}
	if c.programs != nil {
		c.programs.stop()
	}
}

// ErrLoss is events that were lost, and that the table has not been compared with /proc for yet.
var ErrLoss = errors.New("the table is still to be compared with /proc")

// Lag is how long after the end of a process its record may come: not at all.
func (c *Connector) Lag() time.Duration { return 0 }

// Loss gives ErrLoss while a loss is not made good.
func (c *Connector) Loss() error {
	if c.lost {
		return ErrLoss
	}
	return nil
}

// drainMost bounds one Drain, so that a storm that outruns the reader cannot keep commands waiting for ever.
const drainMost = 1 << 16

// Drain reads what has queued and emits it. Afterwards every event that the kernel had sent when it was called has been
// emitted, unless there were more than drainMost.
func (c *Connector) Drain(emit Emit) error {
	c.clock = readClocks()
	c.readLate()
	n := 0
	err := c.events.each(func(b []byte) bool {
		c.take(b, emit)
		n++
		return n < drainMost
	})
	if err != nil {
		return fmt.Errorf("cannot read process events: %w", err)
	}
	if n > 0 {
		c.heard = c.clock.mono
	}
	c.emptied = n < drainMost
	if err := c.checkLoss(); err != nil {
		return err
	}
	if err := c.sentinel.failed(); err != nil {
		return fmt.Errorf("cannot watch for ambiguous forks: %w", err)
	}
	if err := c.mendLabels(); err != nil {
		return err
	}
	if c.lost && n < drainMost {
		c.resync(emit)
	}
	c.counts.RecordsStray += c.stash.expire(c.clock.mono)
	c.readiness.drained(n)
	return nil
}

// checkLoss asks both sockets for drops. A drop shows up as a gap in the sequence as well, as soon as its CPU sends again,
// and a message that the kernel had no memory for as a gap only: so the larger of the two is what was lost.
func (c *Connector) checkLoss() error {
	dropped, queued, err := c.events.dropped()
	if err != nil {
		return fmt.Errorf("cannot tell whether events were lost: %w", err)
	}
	c.counts.QueuedEvents = queued
	c.counts.EventsDropped += uint64(dropped)
	c.counts.Lost = max(c.counts.EventsDropped, c.gaps.lost)
	c.lost = c.lost || dropped > 0
	records, queued, err := c.stats.dropped()
	if err != nil {
		return fmt.Errorf("cannot tell whether exit records were lost: %w", err)
	}
	c.counts.QueuedRecords = queued
	c.counts.RecordsLost += uint64(records)
	return nil
}

// Behind reports whether the last Drain left something in the queue that is from before a moment, CLOCK_MONOTONIC ns.
func (c *Connector) Behind(moment int64) bool { return !c.emptied && c.upTo < moment }

// Counts gives the engine's own figures.
func (c *Connector) Counts() Counts {
	n := c.counts
	n.Processes, n.AmbiguousParent = c.lin.live.Len(), len(c.lin.marks)
	return n
}
