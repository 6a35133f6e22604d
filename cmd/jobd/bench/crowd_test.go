package bench

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// crowd is many jobs with many members that do nothing.
type crowd struct {
	daemon *daemon
	proc   *proc
	jobs   []control.JobRef

	attached samples // how long that took, µs
}

// gather makes the jobs, and puts one process into each.
func (c *crowd) gather() error {
	d, b := c.daemon, c.daemon.b
	p, err := b.start(rootGroup, "crowd", strconv.Itoa(jobs), strconv.Itoa(perJob))
	if err != nil {
		return err
	}
	c.proc = p
	for range jobs {
		said, err := p.line()
		if err != nil {
			return err
		}
		pid, err := strconv.ParseInt(said, 10, 32)
		if err != nil {
			return fmt.Errorf("cannot read what the crowd said: %w", err)
		}
		ref, err := d.hold()
		if err != nil {
			return err
		}
		c.jobs = append(c.jobs, ref)
		start := time.Now()
		if _, err := d.client.Attach(b.ctx, control.Request{PID: int32(pid), Job: ref}); err != nil {
			return err
		}
		c.attached = append(c.attached, float64(time.Since(start))/float64(time.Microsecond))
	}
	return p.expect("ready")
}

// hold makes an empty job. Sequence numbers are reserved in blocks; a new block takes a moment.
func (d *daemon) hold() (control.JobRef, error) {
	for tries := 0; ; tries++ {
		in, err := d.client.Create(d.b.ctx, control.Request{Hold: true, User: "bench"})
		var e *control.Error
		if errors.As(err, &e) && e.Code == control.Unavailable && tries < 100 {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		return control.JobRef(in.JID.String()), err
	}
}

// grow has each member fork the others of its job.
func (c *crowd) grow() error {
	c.proc.in.Close()
	return c.await("the members", func(s control.StatusAnswer) bool { return s.Members == members })
}

// disband ends the processes, then the jobs.
func (c *crowd) disband() error {
	if c.proc == nil {
		return nil
	}
	if err := c.proc.kill(); err != nil {
		return err
	}
	for _, ref := range c.jobs {
		if err := c.daemon.client.Release(c.daemon.b.ctx, ref); err != nil {
			return err
		}
	}
	return c.await("the end of the jobs", func(s control.StatusAnswer) bool {
		return s.Jobs[job.Open]+s.Jobs[job.Lingering] == 0
	})
}

// await asks until jobd sees what is waited for.
func (c *crowd) await(what string, seen func(control.StatusAnswer) bool) error {
	for range 300 {
		s, err := c.daemon.client.Status(c.daemon.b.ctx)
		if err != nil || seen(s) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("waited too long for %s", what)
}
