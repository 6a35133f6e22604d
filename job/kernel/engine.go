package kernel

import (
	"iter"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// engine is what every engine has, however it hears of processes: the table of them, the witnesses of jobs, what is read in /proc and
// done to cgroups.
type engine struct {
	FS      FS
	Cgroups *Cgroups
	Log     *slog.Logger

	lin       *lineage
	labels    *labels // nil: none are kept in the kernel
	bench     *bench
	programs  *programs // nil: nobody wants to know
	exempt    *exempt   // nil: no program is
	unread    []unread
	outcasts  []Outcast
	execs     ExecMode
	groups    watch.Group // that are kept
	readiness *readiness
	self      int32
	partial   bool                // only members are followed; others are known from /proc, when somebody asks
	stayed    int                 // strangers that were left when it was last looked which have gone
	heir      *heir               // of a Connector; nil: it opens sockets of its own
	first     []seen              // what the first scan found, until Recover has it
	runs      map[watch.ID][]byte // the programs of members that Recover found, until the next Drain
	replays   bool                // what queued is from before the scan, and not read yet

	counts  Counts
	scratch watch.Event
	clock   clocks
	hearing uint32 // a bit for each who hears of processes in no job, too
	scanned int64  // CLOCK_MONOTONIC of the last scan: forks from before it may be of processes that it found
}

// Counts is what an engine has seen and missed since it was opened.
type Counts struct {
	Lost            uint64 // process events
	Resyncs         uint64 // scans of /proc after a loss
	Unwitnessed     uint64 // processes whose creator nobody could tell
	Witnessed       uint64 // ambiguous forks that a witness settled
	Refused         uint64 // forks that failed, and children that were killed, because they were refused
	RecordsLost     uint64 // exit records that the kernel dropped: the connector's are of anybody, bpf's of members
	RecordsMissed   uint64 // members that are gone, and of which a record is missing
	TasksMissed     uint64 // exits of members' tasks without a record
	RecordsUntold   uint64 // processes whose last use was not told in time: it is estimated
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

// Option is something that an engine is to do otherwise than by itself.
type Option func(*engine)

// KeepExecs says what is kept of the programs that members run; without it ExecExe.
func KeepExecs(mode ExecMode) Option { return func(c *engine) { c.execs = mode } }

// KeepGroups says which groups of figures are kept of exit records; without it all that the kernel gives. The others are
// unknown. GroupBasic is always kept.
func KeepGroups(groups watch.Group) Option { return func(c *engine) { c.SetGroups(groups) } }

// SetGroups changes which groups those are, of what exits from now on.
func (c *engine) SetGroups(groups watch.Group) {
	c.groups = groups | watch.GroupBasic
	if !delayAccounting(c.FS) {
		c.groups &^= watch.GroupDelay // they read 0
	}
}

// newEngine makes one that has heard of nobody yet.
func newEngine(fs FS, cgroups *Cgroups, log *slog.Logger, options []Option) engine {
	c := engine{
		FS: fs, Cgroups: cgroups, Log: log, self: int32(os.Getpid()),
		lin: newLineage(), bench: newBench(), execs: ExecExe, groups: ^watch.Group(0),
	}
	c.SetGroups(c.groups)
	for _, set := range options {
		set(&c)
	}
	return c
}

func delayAccounting(fs FS) bool {
	b, err := os.ReadFile(string(fs) + "/sys/kernel/task_delayacct")
	return err == nil && string(trimmed(b)) == "1"
}

// Ready says when there is something to drain, a few milliseconds after the first event of a burst came in, or that the
// engine can wait no more: then Err says why. In a storm it says nothing without Rest.
func (c *engine) Ready() <-chan time.Time { return c.readiness.first }

// Rest has to be called by whoever drains, before it waits for Ready. In a storm it lets events gather for up to 10 ms, or 40, which
// it does for less CPU than a wait for a channel; Ready is then sure to have something. Otherwise it returns at once.
func (c *engine) Rest() { c.readiness.rest() }

// Rouse ends a Rest, and there is no other until Settle is called: something else is to be done by whoever drains. Any
// goroutine may call them.
func (c *engine) Rouse() { c.readiness.bed.rouse() }

// Settle takes a Rouse back.
func (c *engine) Settle() { c.readiness.bed.settle() }

// Err is why the engine can wait no more; nil: it can.
func (c *engine) Err() error {
	if err := c.readiness.err.Load(); err != nil {
		return *err
	}
	return nil
}

// ProgramsFailed says why what processes run is not followed any more; nil: it is, or is not asked for.
func (c *engine) ProgramsFailed() error {
	if c.programs == nil {
		return nil
	}
	return c.programs.failed()
}

// Existing yields every living process that the engine knows of, or can see.
func (c *engine) Existing() iter.Seq[watch.ID] {
	if c.partial {
		return slices.Values(c.everybody())
	}
	return func(yield func(watch.ID) bool) {
		for p := range c.lin.all() {
			if !yield(p.id) {
				return
			}
		}
	}
}
