package bench

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ran measures how long jobd's programs in the kernel run for a process, by the kernel's own clock: what they add to a storm is less than
// what storms differ by.
func (b *bench) ran() (err error) {
	clock, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("cannot have the kernel time programs: %w", err)
	}
	defer func() { err = errors.Join(err, clock.Close()) }()
	for _, k := range []kind{forks, execs} {
		var in, out samples
		for range (*rounds + 2) / 4 {
			for to, inside := range map[*samples]bool{&in: true, &out: false} {
				us, err := b.ranOnce(k, inside)
				if err != nil {
					return err
				}
				*to = append(*to, us)
			}
		}
		b.add(row{
			what: "programs in the kernel, for a member: " + k.what, measured: in.spread(perProcess, " µs"),
			beside: "outside every job " + out.spread("%.3f", " µs"),
		})
	}
	return nil
}

// ranOnce gives how long they ran for each process of one storm, µs.
func (b *bench) ranOnce(k kind, inside bool) (us float64, err error) {
	d, err := b.startDaemon(bpf)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	where, prepare := plainGroup, nobody
	if inside {
		where, prepare = rootGroup, d.enter
	}
	before, err := d.ranFor()
	if err != nil {
		return 0, err
	}
	if _, err := b.runStorm(k, where, settleJobd, prepare); err != nil {
		return 0, err
	}
	after, err := d.ranFor()
	return (after - before) / 1e3 / float64(k.size()), err
}

// ranFor adds up how long the programs have run that jobd has open, ns (/proc/PID/fdinfo: run_time_ns). That which looks for changes of
// ids it has closed.
func (d *daemon) ranFor() (sum float64, err error) {
	dir := fmt.Sprintf("/proc/%d/fdinfo", d.cmd.Process.Pid)
	list, err := os.ReadDir(dir)
	for _, e := range list {
		b, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			continue // closed by now
		}
		if _, rest, ok := strings.Cut(string(b), "run_time_ns:"); ok {
			var ns float64
			if _, err := fmt.Sscan(rest, &ns); err != nil {
				return 0, fmt.Errorf("cannot read how long a program ran: %w", err)
			}
			sum += ns
		}
	}
	return sum, err
}
