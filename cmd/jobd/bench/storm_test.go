package bench

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// A storm: so many forkers at once, and how many children each has.
const (
	forkers  = 2
	children = 15_000
	storm    = forkers * children
)

// kind is a kind of storm.
type kind struct {
	what     string // a child does
	program  string // that it runs, of the run's directory; empty: none
	children int    // of each forker
}

// To load a program takes several times as long as a fork.
var (
	forks = kind{"fork, exit", "", children}
	execs = kind{"vfork, exec, exit", short, children / 3}
)

func (k kind) size() int { return forkers * k.children }

func (k kind) String() string {
	return fmt.Sprintf("%d × %s (%s)", forkers, number(k.children), k.what)
}

// How long a reader goes on working after a storm: to the end of a burst, and jobd until the books are committed.
const (
	settleReader = 50 * time.Millisecond
	settleJobd   = 1300 * time.Millisecond
)

// charge is what one storm cost, µs.
type charge struct {
	storm   float64 // to the storm's own cgroup
	reader  cpu     // to whoever listened
	foreign float64 // % of the processes that were not the storm's
	missed  uint64  // exit records
	lost    uint64  // events
}

// alone runs a storm that nobody listens to.
func (b *bench) alone(k kind) (charge, error) {
	return b.runStorm(k, plainGroup, 0, nobody)
}

// nobody is to be told of a storm.
func nobody(int) error { return nil }

// beside runs a storm beside the bare reader.
func (b *bench) beside(k kind) (c charge, err error) {
	r, err := b.start(daemonGroup, "reader")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.kill()) }()
	if err := r.expect("ready"); err != nil {
		return c, err
	}
	if c, err = b.runStorm(k, plainGroup, settleReader, nobody); err != nil {
		return c, err
	}
	r.in.Close()
	said, err := r.line()
	if err != nil {
		return c, err
	}
	var messages, records, drops float64
	if _, err := fmt.Sscan(said, &messages, &records, &drops); err != nil {
		return c, fmt.Errorf("cannot read what the reader said: %q: %w", said, err)
	}
	c.foreign = percent(messages/2, float64(k.size()+forkers)) // a fork and an exit each
	if drops > 0 {
		err = fmt.Errorf("the reader lost %.0f messages", drops)
	}
	return c, errors.Join(err, r.finish())
}

// inJob runs a storm inside a job.
func (b *bench) inJob(k kind, e engine, env ...string) (c charge, err error) {
	d, err := b.startDaemon(e, env...)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if c, err = b.runStorm(k, rootGroup, settleJobd, d.enter); err != nil {
		return c, err
	}
	s, err := d.client.Status(b.ctx)
	c.missed, c.lost = s.RecordsMissed, s.EventsLost
	if err == nil && c.lost == 0 && s.Balance.Departed < uint64(k.size()) {
		err = fmt.Errorf("jobd saw %d of %d members leave", s.Balance.Departed, k.size())
	}
	return c, err
}

// outside runs a storm outside every job, beside a jobd that has none.
func (b *bench) outside(k kind, e engine) (c charge, err error) {
	d, err := b.startDaemon(e)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if c, err = b.runStorm(k, plainGroup, settleJobd, nobody); err != nil {
		return c, err
	}
	s, err := d.client.Status(b.ctx)
	c.lost = s.EventsLost
	return c, err
}

// enter puts a process into a job that ends with it.
func (d *daemon) enter(pid int) error {
	in, err := d.client.Create(d.b.ctx, control.Request{Hold: true})
	if err != nil {
		return err
	}
	ref := control.JobRef(in.JID.String())
	if _, err := d.client.Attach(d.b.ctx, control.Request{PID: int32(pid), Job: ref}); err != nil {
		return err
	}
	return d.client.Release(d.b.ctx, ref)
}

// runStorm runs one storm. prepare is told of its first process before it begins.
func (b *bench) runStorm(k kind, where string, settle time.Duration, prepare func(pid int) error) (c charge, err error) {
	args := []string{strconv.Itoa(forkers), strconv.Itoa(k.children)}
	if k.program != "" {
		args = append(args, b.file(k.program))
	}
	s, err := b.start(where, "storm", args...)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.kill()) }()
	if err := errors.Join(s.expect("ready"), prepare(s.pid())); err != nil {
		return c, err
	}
	g, err := groupOf(b.mount, s.pid())
	if err != nil {
		return c, err
	}
	done := func() error {
		if _, err := io.WriteString(s.in, "\n"); err != nil {
			return err
		}
		return s.expect("done")
	}
	c.reader, err = charged(b.groups[daemonGroup], func() error {
		own, err := charged(g, done)
		c.storm = own.total
		time.Sleep(settle)
		return err
	})
	return c, errors.Join(err, s.finish())
}

// charged measures what f costs a cgroup.
func charged(g group, f func() error) (cpu, error) {
	before, err := g.cpu()
	if err == nil {
		err = f()
	}
	if err != nil {
		return cpu{}, err
	}
	after, err := g.cpu()
	return after.less(before), err
}
