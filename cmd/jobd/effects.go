package main

import (
	"fmt"
	"time"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
)

// carryOut does what the table asked for, in order, and gives err back: the answer of the command that led to it.
func (d *jobd) carryOut(err error) error {
	effects := d.table.Effects()
	n := len(effects)
	for ; len(effects) > 0; effects = d.table.Effects() { // a job that goes on after all asks for more
		d.carryOutEach(effects)
	}
	if n > 0 {
		d.sample()
	}
	d.watching.ring.Tell()
	return err
}

func (d *jobd) carryOutEach(effects []job.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case *job.Record:
			d.store.PutRecord(e)
			if !e.Partial {
				d.left(e)
				d.used = true
				d.mayLinger(e.JID)
			}
		case job.Part:
			d.store.PutPart(e)
		case job.Opened:
			d.opened(e.Saved)
		case job.Changed:
			d.store.PutJob(e.Saved)
			d.keep(e.Saved)
			d.mayLinger(e.Saved.JID)
		case job.EndedJob:
			if !d.goesOn(e.Saved) {
				d.jobEnded(e.Saved)
			}
		case job.Joined:
			d.log.Debug("joined", "jid", e.JID, "pid", e.ID.PID)
		default:
			d.log.Error("unknown effect", "type", fmt.Sprintf("%T", e))
		}
	}
}

// opened writes a job down before anybody is answered: the journal survives jobd, the store survives the host.
func (d *jobd) opened(s job.Saved) {
	d.store.PutJob(s)
	d.borrow(s)
	args := append(identity(&s.Info), "cgroup", s.Placement.Cgroup, "witness", string(s.Witness))
	d.log.Info(jobStarted, append(args, by(d.asks)...)...)
	d.tellJob(feed.JobStart, &s.Info, s.Started)
	d.keep(s)
}

// journalMost is how large the journal may grow before it is written anew with what the store does not have yet; when
// that alone is more, twice as large as it was then.
const journalMost = 1 << 20

// keep writes a job to the journal. One that cannot be written is in the store within a second: the login is answered, and
// that a kill of jobd in that second would lose it is said.
func (d *jobd) keep(s job.Saved) {
	err := d.journal.Append(s)
	if err == nil && d.journal.Size() > max(journalMost, 2*d.compacted) {
		err = d.journal.Compact(d.store.Waiting())
		d.compacted = d.journal.Size()
	}
	d.trouble("cannot write the journal", err)
}

// jobEnded closes a job's books with the best figures there are, and lets go of what the kernel held for it.
func (d *jobd) jobEnded(s job.Saved) {
	d.finalCPU(&s)
	d.bequeath(s)
	d.store.EndJob(s)
	d.keep(s) // until the end is committed, the journal has it
	if err := d.engine.Forget(kernel.Label(s.JID)); err != nil {
		d.log.Error("cannot narrow the watch for ambiguous forks", "error", err)
	}
	if err := d.engine.Unplace(s.Placement); err != nil {
		d.unplaced = append(d.unplaced, unplaced{placement: s.Placement})
	}
	delete(d.lateAudit, s.JID)
	d.lingersNoMore(s.JID)
	d.account(&s.Info)
	d.log.Info(jobFinished, append(identity(&s.Info), "end_reason", string(s.EndReason), "exit_status", number(s.ExitStatus),
		"cpu", duration(s.CPU), "cpu_source", string(s.CPUSource), "processes", s.TotalProcesses, "lasted", s.Ended.Sub(s.Started),
		"estimated", s.Estimated)...)
	d.tellJob(feed.JobEnd, &s.Info, *s.Ended)
	for _, w := range d.waiters[s.JID] {
		w <- s.Info
	}
	delete(d.waiters, s.JID)
}

// setCgroupCPU puts the scheduler's figures into a job.
func setCgroupCPU(in *job.Info, cpu kernel.CPU) {
	in.SetCPU(cpu.Total, job.SourceCgroup)
	if cpu.User >= 0 {
		in.CPUUser, in.CPUSystem = &cpu.User, &cpu.System
	}
}

// duration gives nanoseconds for the log; nil: they are not known.
func duration(ns *int64) any {
	if ns == nil {
		return nil
	}
	return time.Duration(*ns)
}

// number gives what a pointer points to, or nil, for the log.
func number[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
