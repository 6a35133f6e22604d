package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// cgroupEffect says what jobd does with cgroups here: own, read or off.
func (d *jobd) cgroupEffect() string {
	switch {
	case d.cgroups.Mount == "":
		return string(kernel.CgroupOff)
	case d.cgroups.CanMake():
		return string(kernel.CgroupOwn)
	default:
		return string(kernel.CgroupRead)
	}
}

// witnesses names what the kernel can be asked here.
func (d *jobd) witnesses() []string {
	out := []string{}
	if d.labels != nil {
		out = append(out, "label")
	}
	if d.cgroups.Mount != "" {
		out = append(out, "cgroup")
	}
	if kernel.Proc.HasAudit() {
		out = append(out, "audit")
	}
	return out
}

func (d *jobd) status(ctx context.Context) (any, error) {
	s := control.StatusAnswer{
		Version: version, Host: d.cfg.Host, HID: d.store.HID(), BootID: d.boot, PID: pid(), Started: d.started,
		EngineWhy: d.engineWhy, EngineFellBack: d.fellBack, Witnesses: d.witnesses(),
		Cgroup: d.cgroupEffect(), CgroupWhy: job.Text(d.cgroups.Why),
		Jobs: map[job.State]int{job.Open: 0, job.Lingering: 0}, Events: make(map[string]uint64),
	}
	err := d.do(ctx, func() error {
		d.statusOfModel(&s)
		return nil
	})
	d.statusOfStore(&s)
	s.Labels, s.LabelsWhy = d.statusOfLabels()
	s.Confined, s.Audit = d.confined, d.auditing().status()
	s.Log = control.LogStatus{To: d.lines.To(), Dropped: d.lines.Lost()}
	s.Config = d.statusOfConfig()
	return s, err
}

func (d *jobd) statusOfModel(s *control.StatusAnswer) {
	s.Engine, s.IDsLate = d.engine.Name(), job.Text(d.idsLate)
	s.Refusal, s.RefusalWhy = d.statusOfRefusal()
	for _, in := range d.table.Jobs() {
		s.Jobs[in.State]++
		s.Members += in.Processes
	}
	for _, k := range watch.Kinds() {
		s.Events[k.String()], _ = d.watch.Count(k)
	}
	c := d.engine.Counts()
	s.EventsLost, s.Unwitnessed, s.Resyncs, s.RecordsMissed = c.Lost, c.Unwitnessed, c.Resyncs, d.recordsMissed(c)
	s.ExecsUnread, s.Unlabelled, s.RecordsUntold = c.ExecsUnread, c.Unlabelled, c.RecordsUntold
	s.Drained, s.Balance, s.RecordsDue = d.table.Drained(), d.table.Balance(), d.table.Due()
	d.storeTrouble()
	if since, why := d.troubles.degraded(); !since.IsZero() {
		s.DegradedSince, s.DegradedWhy = &since, why
	}
	s.Subscribers, s.Streams = listeners(d.watch, d.notify), d.watching.readers
}

func (d *jobd) statusOfStore(s *control.StatusAnswer) {
	st := d.store.Stats()
	s.Store = control.StoreStatus{Path: d.storePath(), Bytes: st.FileSize, Queued: st.Queued, Dropped: st.Dropped, Errors: st.Errors}
	if st.LastError != nil {
		s.Store.LastError = job.Text(st.LastError.Error())
	}
	if !st.LastCommit.IsZero() {
		s.Store.LastCommit = &st.LastCommit
	}
	if !st.Halted.IsZero() {
		s.Store.HaltedSince = &st.Halted
	}
	if aside := d.store.SetAside(); aside != nil {
		s.Store.SetAside = job.Text(aside.Path)
	}
}

// A difference has to last to be one: an exit is on its way for as long as its CPU is kept from sending it.
const (
	looks   = 40
	lookGap = 50 * time.Millisecond
)

// selfcheck compares the table with the kernel. What differs at first is looked at again, the engine drained each time,
// because processes come and go meanwhile.
func (d *jobd) selfcheck(ctx context.Context) (any, error) {
	survey, err := d.engine.Survey()
	if err != nil {
		return nil, err
	}
	var suspects []int32
	err = d.do(ctx, func() error {
		suspects = d.engine.Suspects(survey)
		return nil
	})
	if err != nil {
		return nil, err
	}
	ans := control.SelfcheckAnswer{}
	for look := range looks {
		if look > 0 && sleep(ctx, lookGap) != nil {
			break
		}
		err := d.do(ctx, func() error {
			ans.Differences = append(d.processesDiffer(suspects), d.tableDiffers()...)
			ans.Balance = d.table.Balance()
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(ans.Differences) == 0 {
			break
		}
	}
	if n := ans.Balance.Error(); n != 0 {
		ans.Differences = append(ans.Differences, fmt.Sprintf("the balance is off by %d", n))
	}
	ans.OK = len(ans.Differences) == 0
	return ans, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (d *jobd) processesDiffer(suspects []int32) []string {
	out := []string{}
	for _, pid := range suspects {
		if diff := d.engine.Differs(pid); diff != "" {
			out = append(out, diff)
		}
	}
	return out
}

// tableDiffers compares the jobs' lists with the engine's labels, both ways.
func (d *jobd) tableDiffers() []string {
	var out []string
	members := make(map[watch.ID]job.JID)
	for _, in := range d.table.Jobs() {
		for _, id := range d.membersOf([]job.JID{in.JID}) {
			members[id] = in.JID
			if got := d.engine.Label(id); got != kernel.Label(in.JID) {
				out = append(out, fmt.Sprintf("process %d is in job %d, the engine says %d", id.PID, in.Seq, job.JID(got).Seq()))
			}
		}
	}
	for id := range d.engine.Existing() {
		if l := d.engine.Label(id); l != 0 && members[id] == 0 {
			out = append(out, fmt.Sprintf("process %d is in no job, the engine says %d", id.PID, job.JID(l).Seq()))
		}
	}
	slices.Sort(out)
	return out
}
