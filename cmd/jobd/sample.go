package main

import (
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
)

// borrowed is an open job whose cgroup is somebody else's: logind removes a session's scope milliseconds after its last
// process. So its CPU is read with every burst in which the job lost a member, and what exit records told after the last
// reading is added to that in the end.
type borrowed struct {
	placement job.Placement
	last      kernel.CPU // since the job was opened
	read      bool
	after     int64 // ns, by exit records since the last reading
	touched   bool
}

// borrow notes a job whose cgroup can vanish before its books are closed.
func (d *jobd) borrow(s job.Saved) {
	if s.Placement.BaseCPU != nil && !s.Placement.Own {
		d.borrowed[s.JID] = &borrowed{placement: s.Placement}
	}
}

// left notes the exit of a member.
func (d *jobd) left(r *job.Record) {
	if len(d.borrowed) == 0 {
		return
	}
	if b := d.borrowed[r.JID]; b != nil {
		b.after += r.Usage.CPU
		b.touched = true
	}
}

// sample reads the cgroups of jobs that lost members in this burst.
func (d *jobd) sample() {
	for _, b := range d.borrowed {
		if !b.touched {
			continue
		}
		b.touched = false
		if cpu, ok := kernel.CgroupCPU(d.cgroups, b.placement); ok {
			b.last, b.read, b.after = cpu, true, 0
		}
	}
}

// finalCPU puts the best figure there is into a job that has ended: what the kernel added up; its cgroup's, while that is there; the last
// reading and the records since; what records say.
func (d *jobd) finalCPU(s *job.Saved) {
	b := d.borrowed[s.JID]
	delete(d.borrowed, s.JID)
	d.setPeak(&s.Info, s.Placement)
	if ns, ok := d.engine.Charge(kernel.Label(s.JID)); ok && s.EndReason != job.EndBoot {
		s.SetCPU(ns, job.SourceBPF)
		return
	}
	if s.Placement.BaseCPU == nil || s.EndReason == job.EndBoot {
		return
	}
	cpu, ok := kernel.CgroupCPU(d.cgroups, s.Placement)
	switch {
	case ok:
		setCgroupCPU(&s.Info, cpu)
	case b != nil && b.read:
		s.SetCPU(b.last.Total+b.after, job.SourceCgroup)
		s.Estimated = true
	default:
		s.Estimated = true
	}
}

// setPeak puts in the most memory that a job held, where its cgroup can say.
func (d *jobd) setPeak(in *job.Info, p job.Placement) {
	if peak, ok := kernel.PeakMemory(d.cgroups, p); ok {
		in.PeakMemory = &peak
	}
}
