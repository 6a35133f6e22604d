package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
)

// command is something that is to be done in the loop, where the model may be touched.
type command struct {
	do   func() error
	done chan<- error
}

// housekeeping is how often the loop looks after what waits: a cgroup that was busy, a late audit session. With nothing
// waiting it does not run.
const housekeeping = 200 * time.Millisecond

// saveUsed is how often the sums of jobs that lost members are written down: what a kill of jobd can cost of them is in the
// books as records.
const saveUsed = 5 * time.Second

// loop owns the model. Everything that changes it comes through here: bursts of events, and commands, before each of
// which the engine is drained, so that a command is judged by all that came before it.
func (d *jobd) loop(ctx context.Context) error {
	defer close(d.ended)
	var timer <-chan time.Time // nil while nothing waits
	beats, stopBeats := d.beats()
	defer stopBeats()
	for {
		select {
		case c := <-d.logins: // whatever else waits: nothing on the other sockets delays a login
			if err := d.command(c); err != nil {
				return err
			}
			continue
		case <-beats: // also where logins never cease
			d.beat()
			continue
		default:
		}
		d.engine.Rest()
		select {
		case <-ctx.Done():
			return d.stop()
		case <-beats:
			d.beat()
		case <-d.engine.Ready():
			if err := d.engine.Err(); err != nil {
				return fmt.Errorf("the engine failed: %w", err)
			}
			if err := d.drain(); err != nil {
				return err
			}
		case c := <-d.logins:
			if err := d.command(c); err != nil {
				return err
			}
		case c := <-d.commands:
			if err := d.command(c); err != nil {
				return err
			}
		case <-timer:
			timer = nil
			if d.engine.Unsettled() || d.watching.ring.Keeps() { // of which nothing has to be told any more
				if err := d.drain(); err != nil {
					return err
				}
			}
			d.keepHouse()
		case <-d.ears.timer:
			if err := d.listenUp(); err != nil {
				return err
			}
		}
		d.prick()
		if timer == nil && d.chores() {
			timer = time.After(housekeeping)
		}
	}
}

// exemptMost is how long a jobd that stops waits for those that are to leave their jobs.
const exemptMost = 100 * time.Millisecond

// stop is the loop's last turn.
func (d *jobd) stop() error {
	err := d.drainAll()
	for end := time.Now().Add(exemptMost); err == nil && d.exempting && time.Now().Before(end); err = d.drainAll() {
		time.Sleep(time.Millisecond) // the next jobd would not hear of them
	}
	d.table.SaveUsed()
	d.removeCgroups()
	d.closeGap(time.Now().Add(lossOver))
	d.mark(job.Moment{Time: time.Now(), Kind: job.MomentStop})
	if err = d.carryOut(err); err == nil {
		d.handOver()
	}
	return err
}

// command carries one out. The error is the engine's: the command's own goes to whoever gave it.
func (d *jobd) command(c command) error {
	if err := d.drain(); err != nil {
		c.done <- err
		return err
	}
	c.done <- d.carryOut(c.do())
	d.asks = nil
	return nil
}

// drain reads what the kernel has sent, and carries out what follows from it.
func (d *jobd) drain() error {
	d.syncClock()
	err := d.engine.Drain(d.watch.Dispatch)
	if err != nil {
		return fmt.Errorf("the engine failed: %w", err)
	}
	d.leaveExempt()
	d.keepOut()
	d.trouble("what processes run is not followed", d.engine.ProgramsFailed())
	d.lookForLosses()
	if n := d.engine.Counts().Events; n != d.sweptAt && time.Since(d.swept) > sweepEvery { // only a host on which something happens is looked at
		d.sweptAt = n
		d.sweep()
	}
	d.tuneCollector()
	return d.carryOut(nil)
}

// drainAll drains until all is read that was queued when it was called: that may be more than one drain takes, and a storm may
// send more than anybody can read.
func (d *jobd) drainAll() error {
	for now := monotonic(); ; {
		if err := d.drain(); err != nil || !d.engine.Behind(now) {
			return err
		}
	}
}

// do runs f in the loop and waits for it.
func (d *jobd) do(ctx context.Context, f func() error) error { return d.doBy(ctx, d.commands, f) }

func (d *jobd) doBy(ctx context.Context, by chan<- command, f func() error) error {
	done := make(chan error, 1)
	d.rouse()
	defer d.settle()
	select {
	case by <- command{f, done}:
	case <-ctx.Done():
		return control.Errorf(control.Timeout, "gave up before jobd could answer")
	case <-d.ended:
		return control.Errorf(control.Unavailable, "jobd is stopping")
	}
	return <-done // the loop always answers, and soon
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// chores reports whether something waits for housekeeping.
func (d *jobd) chores() bool {
	return d.engine.Unsettled() || d.watching.ring.Keeps() || d.exempting || !d.losses.since.IsZero() || len(d.unplaced) > 0 || len(d.toSweep) > 0 || d.used || len(d.lateAudit) > 0 || d.table.Left() < reserveLow && !d.reserving
}

func (d *jobd) keepHouse() {
	d.leaveExempt()
	d.reclaimEach(d.engine.SettleLate())
	d.removeCgroups()
	d.lookForAudit()
	d.sweep()
	d.reserve()
	d.closeGap(time.Now())
	if d.used && time.Since(d.saved) > saveUsed {
		d.used, d.saved = false, time.Now()
		d.table.SaveUsed()
	}
	if err := d.carryOut(nil); err != nil {
		d.log.Error("cannot carry out what the table asked for", "error", err)
	}
}

// unplaced is a cgroup that was still busy when its job ended.
type unplaced struct {
	placement job.Placement
	tries     int
}

// patience is how often its removal is tried before it is tried less often.
const patience = 25

// removeCgroups tries again to remove those whose last process had not quite left.
func (d *jobd) removeCgroups() {
	rest := d.unplaced[:0]
	for _, u := range d.unplaced {
		u.tries++
		patient := u.tries > patience && u.tries%patience != 0
		if patient || d.engine.Unplace(u.placement) != nil {
			rest = append(rest, u)
		}
	}
	d.unplaced = rest
}

// auditWait is how long after a login an audit session may be set: pam_loginuid can stand behind pam_job in the stack.
const auditWait = 2 * time.Second

// awaitAudit has the audit session looked for of a job that has none yet.
func (d *jobd) awaitAudit(jid job.JID, p job.Placement) {
	if p.Audit == nil {
		d.lateAudit[jid] = time.Now().Add(auditWait)
	}
}

// lookForAudit reads the audit session again of jobs that were opened before they had one.
func (d *jobd) lookForAudit() {
	for jid, until := range d.lateAudit {
		saved, err := d.table.Saved(jid)
		if err != nil || time.Now().After(until) {
			delete(d.lateAudit, jid)
			continue
		}
		poe, ok := d.table.POE(jid)
		session := kernel.Proc.Session(saved.POE)
		if !ok || !d.engine.Alive(poe) || session == nil {
			continue
		}
		delete(d.lateAudit, jid)
		p := saved.Placement
		p.Audit = d.engine.OwnSession(saved.POE)
		witness := d.engine.Testify(kernel.Label(jid), p, session)
		err = d.table.SetPlacement(jid, p, func(in *job.Info) {
			in.AuditSession, in.LoginUID = session, kernel.Proc.LoginUID(saved.POE)
			in.Witness = job.Text(witness)
		})
		if err != nil {
			d.log.Error("cannot note an audit session", "jid", jid, "error", err)
		}
	}
}

// How many sequence numbers are reserved on disk at a time, and when the next are fetched.
const (
	reserveBlock = 1000
	reserveLow   = 500
)

// reserve fetches sequence numbers ahead, away from the loop, because the disk is waited for.
func (d *jobd) reserve() {
	if d.reserving || d.table.Left() >= reserveLow {
		return
	}
	d.reserving = true
	go func() {
		first, limit, err := d.store.Reserve(reserveBlock)
		_ = d.do(context.Background(), func() error { // fails only when jobd stops
			d.reserving = false
			d.trouble("cannot reserve sequence numbers", err)
			if err == nil {
				d.table.Reserve(first, limit)
			}
			return nil
		})
	}()
}
