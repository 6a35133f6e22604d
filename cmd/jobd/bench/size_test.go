package bench

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// How much jobd is to hold: jobs, and members of all of them together.
const (
	jobs    = 1000
	perJob  = 20
	members = jobs * perJob
)

// A host is idle when jobd has looked once more at the cgroups of all jobs, 10 s after it did so last.
const (
	settling = 12 * time.Second
	idle     = 10 * time.Second
)

// quiet is how many events of others still count as nothing happening. With more, what jobd used says little.
const quiet = 200

// size measures jobd with many jobs and many members, each engine.
func (b *bench) size() error {
	if why := noRoom(); why != "" {
		b.add(row{what: "many jobs and members", measured: "skipped: " + why})
		return nil
	}
	for _, e := range engines {
		if err := b.sizeOf(e); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sizeOf(e engine) (err error) {
	d, err := b.startDaemon(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	c := crowd{daemon: d}
	defer func() { err = errors.Join(err, c.disband()) }()
	empty, err := d.scrapes()
	if err != nil {
		return err
	}
	small, err := d.memory()
	if err != nil {
		return err
	}
	if err := c.gather(); err != nil {
		return err
	}
	b.add(row{what: "to put a process into a job, as jobd is asked to, " + string(e), measured: c.attached.spread("%.0f", " µs")})
	if err := b.reportScrape("scrape with "+number(jobs)+" jobs, a member each", d, empty); err != nil {
		return err
	}
	if err := c.grow(); err != nil {
		return err
	}
	if err := b.reportMemory(d, small); err != nil {
		return err
	}
	if err := b.reportScrape("scrape with "+number(members)+" members", d, empty); err != nil {
		return err
	}
	return errors.Join(b.reportIdle(d), b.reportDoctor(d))
}

// noRoom says why so many processes cannot be made here.
func noRoom() string {
	const spare, perProcess = 5000, 60 << 10 // pids for everybody else; kernel and user memory of a small process
	b, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		return err.Error()
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || most < members+spare {
		return fmt.Sprintf("kernel.pid_max is %d, %d processes need more", most, members)
	}
	free, err := field("/proc/meminfo", "MemAvailable:")
	if err != nil || free < members*perProcess {
		return fmt.Sprintf("%d processes need more than the %.0f MiB of memory that are free", members, free/(1<<20))
	}
	return ""
}

// field reads a line "name  value kB" of a file of /proc, in bytes.
func field(path, name string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// memory is what jobd holds in RAM, MiB.
type memory struct{ rss, anon, peak float64 }

func (d *daemon) memory() (memory, error) {
	var m memory
	path := fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid)
	for name, to := range map[string]*float64{"VmRSS:": &m.rss, "RssAnon:": &m.anon, "VmHWM:": &m.peak} {
		v, err := field(path, name)
		if err != nil {
			return m, err
		}
		*to = v / (1 << 20)
	}
	return m, nil
}

func (b *bench) reportMemory(d *daemon, small memory) error {
	m, err := d.memory()
	if err != nil {
		return err
	}
	mib := func(v float64) string { return fmt.Sprintf("%.1f MiB", v) }
	b.add(row{
		fmt.Sprintf("jobd's RSS with %s jobs and %s members, %s", number(jobs), number(members), d.engine), mib(m.rss),
		"with none " + mib(small.rss), fmt.Sprintf("%.2f", m.rss/small.rss), "< 40 MiB", met(m.rss < 40),
	})
	b.add(row{what: "  of it its own, not of files", measured: mib(m.anon), beside: "with none " + mib(small.anon)})
	b.add(row{what: "  RSS at its highest", measured: mib(m.peak), beside: "with none " + mib(small.peak)})
	return nil
}

// scrapes gives the times of scrapes, ms.
func (d *daemon) scrapes() (samples, error) {
	var out samples
	for range 50 {
		start := time.Now()
		resp, err := http.Get("http://" + d.metrics + "/metrics")
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("a scrape was answered %s", resp.Status)
		}
		out = append(out, float64(time.Since(start))/float64(time.Millisecond))
		time.Sleep(20 * time.Millisecond)
	}
	return out, nil
}

func (b *bench) reportScrape(what string, d *daemon, empty samples) error {
	s, err := d.scrapes()
	if err != nil {
		return err
	}
	b.add(row{
		what + ", " + string(d.engine), s.spread("%.2f", " ms") + fmt.Sprintf(", max %.1f", s.at(1)), "with no jobs " + empty.spread("%.2f", " ms"),
		fmt.Sprintf("%.1f", s.median()/empty.median()), "< 10 ms", met(s.median() < 10),
	})
	return nil
}

// reportIdle measures what jobd does when nothing happens in its jobs. Others on the host go on meanwhile.
func (b *bench) reportIdle(d *daemon) error {
	var before control.StatusAnswer
	for range 2 { // whoever asks has jobd look at what happened last: the second answer is from after that
		var err error
		if before, err = d.client.Status(b.ctx); err != nil {
			return err
		}
		time.Sleep(settling)
	}
	used, err := charged(b.groups[daemonGroup], func() error {
		time.Sleep(idle)
		return b.ctx.Err()
	})
	if err != nil {
		return err
	}
	after, err := d.lost()
	if err != nil {
		return err
	}
	others := events(after) - events(before)
	r := row{
		what: fmt.Sprintf("CPU in %.0f idle seconds, %s", idle.Seconds(), d.engine), measured: fmt.Sprintf("%.1f ms", used.total/1e3),
		beside: fmt.Sprintf("%d events of others", others), target: "< 10 ms",
	}
	if used.total < 10e3 || others < quiet {
		r.ok = met(used.total < 10e3)
	}
	b.add(r)
	return nil
}

func events(s control.StatusAnswer) uint64 {
	var n uint64
	for _, v := range s.Events {
		n += v
	}
	return n
}
