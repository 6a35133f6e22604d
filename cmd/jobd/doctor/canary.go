package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// flight is what was seen of the canary. Times are since it was told to fork; 0: it was not seen.
type flight struct {
	perch perch
	err   error // it did not get so far

	watched                  bool
	forked, exited, jobEnded time.Duration
	records                  int
	recorded                 time.Duration
	reason                   string // of the job's end
	failed                   error  // jobd could not be asked on
}

// why the canary stays at home.
func (x *examination) grounded() string {
	switch {
	case !x.root:
		return "needs root"
	case x.Canary == nil:
		return "--no-canary"
	case x.status == nil:
		return "no jobd answers"
	}
	return ""
}

// canary sends it out, and follows it.
func (x *examination) canary(ctx context.Context) []Finding {
	if why := x.grounded(); why != "" {
		return []Finding{skip("login", "%s", why), skip("canary", "%s", why)}
	}
	f := x.fly(ctx)
	return []Finding{judgeLogin(f), judgeCanary(f)}
}

func (x *examination) fly(ctx context.Context) (f flight) {
	b, err := release(ctx, x.Canary)
	if err != nil {
		f.err = err
		return f
	}
	defer b.end()
	if f.err = b.hear(&f.perch); f.err != nil || f.perch.Error != "" {
		return f
	}
	ref := control.JobRef(f.perch.JID.String())
	w, err := x.client.Watch(ctx, control.Request{Job: ref, Event: "clone,exit,job_end"})
	if err != nil {
		f.failed = err
		return f
	}
	defer w.Close()
	start := time.Now()
	var pid int32
	if f.failed = b.say(); f.failed == nil {
		f.failed = b.hear(&pid)
	}
	if f.failed != nil {
		return f
	}
	f.watched = true
	b.end() // of one that nobody waits for the records come late
	if f.failed = f.follow(w, pid, start); f.failed == nil {
		f.failed = f.lookUp(ctx, x.client, ref, []int32{int32(b.cmd.Process.Pid), pid}, start)
	}
	return f
}

// follow takes the stream up to the end of the job.
func (f *flight) follow(w *control.Watching, pid int32, start time.Time) error {
	for {
		e, err := w.Next()
		switch since := time.Since(start); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case e.Event == control.EventJobEnd:
			f.jobEnded, f.reason = since, string(e.EndReason)
			return nil
		case e.TGID == nil || *e.TGID != pid:
		case e.Event == control.EventClone:
			f.forked = since
		case e.Event == control.EventExit:
			f.exited = since
		}
	}
}

// birds is how many processes there were: the canary and its child.
const birds = 2

// lookUp waits for the records of both. There may be more: Go's library tries what the kernel can with a child of its own.
func (f *flight) lookUp(ctx context.Context, c *control.Client, ref control.JobRef, both []int32, start time.Time) error {
	for {
		list, err := c.Procs(ctx, control.Request{Job: ref})
		if err != nil {
			return err
		}
		f.records = 0
		for _, p := range list {
			if slices.Contains(both, p.PID) {
				f.records++
			}
		}
		if f.records >= birds {
			f.recorded = time.Since(start)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// slowLogin is what a login may wait for its job without anybody noticing.
const slowLogin = 100 * time.Millisecond

func judgeLogin(f flight) Finding {
	p := f.perch
	switch {
	case f.err != nil:
		return skip("login", "%v", f.err)
	case p.Code == "disabled":
		return warn("login", "jobctl resume", "%s", p.Error)
	case p.Error != "":
		return fail("login", "look into jobd's log; logins go on without jobs", "%s", p.Error)
	case len(p.Takes) == 0:
		return skip("login", "the canary has not asked")
	}
	first, again := p.Takes[0], median(p.Takes[1:])
	seen := "a job takes " + short(first).String()
	if len(p.Takes) > 1 {
		seen += fmt.Sprintf("; asked again %s (median of %d)", short(again), len(p.Takes)-1)
	}
	if max(first, again) > slowLogin {
		return warn("login", "look what keeps jobd or the host busy; pam_job.so waits 500 ms at the most", "%s", seen)
	}
	return ok("login", "%s", seen)
}

func judgeCanary(f flight) Finding {
	switch {
	case f.err != nil:
		return skip("canary", "%v", f.err)
	case f.perch.Error != "", f.perch.JID == nil:
		return skip("canary", "it got no job")
	case !f.watched:
		return skip("canary", "%v", f.failed)
	}
	var missing []string
	if f.forked == 0 {
		missing = append(missing, "fork")
	}
	if f.exited == 0 {
		missing = append(missing, "exit")
	}
	seq := strconv.FormatUint(uint64(f.perch.JID.Seq()), 10)
	name := "job " + seq
	const do = "look into jobd's log; jobctl selfcheck says what differs"
	switch {
	case len(missing) > 0:
		return fail("canary", do, "%s: its %s was not seen", name, strings.Join(missing, " and "))
	case f.jobEnded == 0:
		return warn("canary", "look again: the host may be too busy; jobctl show "+seq, "%s has not ended (%v)", name, f.failed)
	case f.records < birds:
		return warn("canary", "look again: the host may be too busy; jobctl procs --job "+seq, "%s: %d of %d records are in the books (%v)",
			name, f.records, birds, f.failed)
	case f.reason != "exit":
		return fail("canary", do, "%s ended as %s", name, f.reason)
	}
	return ok("canary", "%s: fork seen after %s, exit %s, job's end %s, records %s", name, short(f.forked), short(f.exited),
		short(f.jobEnded), short(f.recorded))
}
