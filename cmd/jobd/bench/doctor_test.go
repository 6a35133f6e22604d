package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"syscall"

	"github.com/jobd-project/jobd/cmd/jobd/doctor"
)

const (
	doctors    = 5
	doctorMost = 3 // s
)

// reportDoctor measures how long doctor takes with a jobd that has much to do, and with one that does not answer.
func (b *bench) reportDoctor(d *daemon) (err error) {
	what := fmt.Sprintf("doctor, beside %s jobs and %s members, %s", number(jobs), number(members), d.engine)
	if err := b.examine(what, d); err != nil {
		return err
	}
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cmd.Process.Signal(syscall.SIGCONT)) }()
	return b.examine("  and beside a jobd that hangs", d)
}

func (b *bench) examine(what string, d *daemon) error {
	var a asked
	var skipped int
	for range doctors {
		out, err := b.timed(&a, b.file("jobd"), "doctor", "--run-dir", d.file("run"), "--json")
		var said doctor.Answer
		if bad := json.Unmarshal([]byte(out), &said); bad != nil { // its exit code tells of the host
			return errors.Join(err, fmt.Errorf("cannot read what doctor said: %w", bad))
		}
		skipped = said.Counts[doctor.Skip]
	}
	b.add(row{
		what: what, measured: a.wall.spread("%.2f", " s") + fmt.Sprintf(", max %.2f", a.wall.at(1)),
		beside: fmt.Sprintf("%.2f s of CPU, %d things not looked at", a.cpu.median(), skipped),
		target: fmt.Sprintf("< %d s", doctorMost), ok: met(a.wall.at(1) < doctorMost),
	})
	return nil
}
