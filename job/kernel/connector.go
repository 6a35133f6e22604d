package kernel

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// Emit takes an event along. An error for a Clone means that the process is refused.
type Emit func(*watch.Event) error

// Connector is the engine that follows the kernel's process events: the proc connector for the life of tasks, the
// taskstats exit records for what they used. Open it, and from one goroutine call Rest, then Drain whenever Ready says so,
// and before each command. It keeps the membership (a label for each process) as the bpf engine keeps it in the kernel.
type Connector struct {
	FS      FS
	Cgroups *Cgroups
	Log     *slog.Logger

	events    *source
	stats     *source
	sentinel  *sentinel
	programs  *programs // nil: nobody wants to know
	exempt    *exempt   // nil: no program is
	lin       *lineage
	labels    *labels // nil: none are kept in the kernel
	bench     *bench
	gaps      gaps
	stash     stash
	unread    []unread
	outcasts  []Outcast
	unsettled unsettled
	execs     ExecMode
	groups    watch.Group // that are kept
	readiness *readiness
	self      int32
	heir      *heir // nil: it opens sockets of its own
	replays   bool  // the queue is from before the scan, and not read yet
	kept      bool  // the sockets outlive the engine

	counts   Counts
	scratch  watch.Event
	exited   watch.Usage // the exit record that was found last
	lost     bool
	heard    int64 // CLOCK_MONOTONIC ns when something was read last
	upTo     int64 // the last event's stamp
	row      int   // exits of members in a row without a record
	emptied  bool  // the last Drain read everything
	clock    clocks
	scanned  int64  // CLOCK_MONOTONIC of the last scan: forks from before it may be of processes that it found
	reported uint64 // losses that a Lost event has told of
}

// Counts is what the engine has seen and missed since it was opened.
type Counts struct {
	Lost            uint64 // process events
	Resyncs         uint64 // scans of /proc after a loss
	Unwitnessed     uint64 // processes whose creator nobody could tell
	Witnessed       uint64 // ambiguous forks that a witness settled
	Refused         uint64 // children killed because a subscriber refused them
	RecordsLost     uint64 // exit records that the kernel dropped
	RecordsMissed   uint64 // exits of members without a record
	RecordsStray    uint64 // records without an exit
	ExecsUnread     uint64 // execs of members that had run another program, or had gone, before somebody could look
	Malformed       uint64 // datagrams that could not be read
	QueuedEvents    uint32 // bytes in the receive buffers at the last look
	QueuedRecords   uint32
	Records         uint64 // exit records read
	Events          uint64 // process events read that say that something happened to a process
	EventsDropped   uint64 // process events that the socket dropped; the kernel may lose more
	Unlabelled      uint64 // processes that may have been left without their label in the kernel for a while
	Processes       int    // alive, of the whole host
	AmbiguousParent int
}

// Option is something that the engine is to do otherwise than by itself.
type Option func(*Connector)

// KeepExecs says what is kept of the programs that members run; without it ExecExe.
func KeepExecs(mode ExecMode) Option { return func(c *Connector) { c.execs = mode } }

// KeepGroups says which groups of figures are kept of exit records; without it all that the kernel gives. The others are
// unknown. GroupBasic is always kept.
func KeepGroups(groups watch.Group) Option {
	return func(c *Connector) { c.groups = groups | watch.GroupBasic }
}

// OpenConnector opens the sockets, then makes the first scan, so that nothing falls between: what queued meanwhile is
// read by the first Drain.
func OpenConnector(fs FS, cgroups *Cgroups, log *slog.Logger, options ...Option) (*Connector, error) {
	if err := InitialNamespaces(fs); err != nil {
		return nil, err
	}
	c := &Connector{
		FS: fs, Cgroups: cgroups, Log: log, self: int32(os.Getpid()),
		lin: newLineage(), bench: newBench(), stash: make(stash), execs: ExecExe, groups: ^watch.Group(0),
	}
	for _, set := range options {
		set(c)
	}
	if !delayAccounting(fs) {
		c.groups &^= watch.GroupDelay // they read 0
	}
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
		c.programs, err = newPrograms(fs, c.execs)
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
	if c.readiness, err = newReadiness(c.events); err != nil {
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

func delayAccounting(fs FS) bool {
	b, err := os.ReadFile(string(fs) + "/sys/kernel/task_delayacct")
	return err == nil && string(trimmed(b)) == "1"
}

// Close ends the engine. A Ready that somebody waits on is not answered any more.
func (c *Connector) Close() {
	c.readiness.stop()
	if c.stats != nil && !c.kept && c.heir == nil { // who it was inherited from holds it for another
		c.stats.deregister()
	}
	c.closeSockets()
}

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

// Ready says when there is something to drain, a few milliseconds after the first event of a burst came in, or that the
// engine can wait no more: then Err says why. In a storm it says nothing without Rest.
func (c *Connector) Ready() <-chan time.Time { return c.readiness.first }

// Rest has to be called by whoever drains, before it waits for Ready. In a storm it lets events gather for up to 10 ms, which
// it does for less CPU than a wait for a channel; Ready is then sure to have something. Otherwise it returns at once.
func (c *Connector) Rest() { c.readiness.rest() }

// Rouse ends a Rest, and there is no other until Settle is called: something else is to be done by whoever drains. Any
// goroutine may call them.
func (c *Connector) Rouse() { c.readiness.bed.rouse() }

// Settle takes a Rouse back.
func (c *Connector) Settle() { c.readiness.bed.settle() }

// Err is why the engine can wait no more; nil: it can.
func (c *Connector) Err() error {
	if err := c.readiness.err.Load(); err != nil {
		return *err
	}
	return nil
}

// ErrLoss is events that were lost, and that the table has not been compared with /proc for yet.
var ErrLoss = errors.New("the table is still to be compared with /proc")

// Loss gives ErrLoss while a loss is not made good.
func (c *Connector) Loss() error {
	if c.lost {
		return ErrLoss
	}
	return nil
}

// ProgramsFailed says why what processes run is not followed any more; nil: it is, or is not asked for.
func (c *Connector) ProgramsFailed() error {
	if c.programs == nil {
		return nil
	}
	return c.programs.failed()
}

// Existing yields every living process that the engine knows of.
func (c *Connector) Existing() iter.Seq[watch.ID] {
	return func(yield func(watch.ID) bool) {
		for p := range c.lin.all() {
			if !yield(p.id) {
				return
			}
		}
	}
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
