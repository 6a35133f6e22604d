package bench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/report"
)

// asked are the answers to one question: how long each took, s, and the CPU that all who worked on it used, s.
type asked struct{ wall, cpu samples }

// questions measures what a real jobd answers from the month's books.
func (b *bench) questions(home string, w *written) (err error) {
	d, err := b.startIn(home, connector)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.sums(w); err != nil {
		return err
	}
	if err := b.besideSA(d, w); err != nil {
		return err
	}
	for i := range manyAsk {
		if err := manyAsk[i].measure(d); err != nil {
			return err
		}
	}
	return nil
}

// question is one that people ask, and how long they should wait at most, s; 0: nobody said.
type question struct {
	what   string
	most   float64
	rounds int // fewer than the others; 0: as many
	args   []string
}

var manyAsk = []question{
	{"history of one user", .2, 0, []string{"history", "--user", "user05"}},
	{"history, the last 20", .2, 0, []string{"history", "--limit", "20"}},
	{"history of a network, in the last days", .2, 0, []string{"history", "--rhost", "131.169.0.0/21", "--since", "8d"}},
	{"history, the 20 that used the most CPU", .2, 0, []string{"history", "--sort", "cpu", "--limit", "20"}},
	{"history, all " + number(monthJobs) + " jobs as JSON", 0, 2, []string{"history", "--json"}},
	{"procs --command '^cc1$' --min-cpu 1s", 0, 0, []string{"procs", "--command", "^cc1$", "--min-cpu", "1s"}},
	{"report by user", 1, 0, []string{"report", "--by", "user"}},
	{"report by command of one user, of days", 0, 0, []string{"report", "--by", "command", "--user", "user05", "--since", "8d"}},
}

func (q *question) measure(d *daemon) error {
	var a asked
	size := 0
	for range cmp.Or(q.rounds, (*rounds+1)/2) {
		out, err := d.ask(&a, q.args...)
		if err != nil {
			return err
		}
		size = len(out)
	}
	r := row{what: q.what, measured: a.wall.spread("%.3f", " s"), beside: fmt.Sprintf("%.2f s of CPU, %s bytes", a.cpu.median(), number(size))}
	if q.most > 0 {
		r.target, r.ok = fmt.Sprintf("< %g s", q.most), met(a.wall.median() < q.most)
	}
	d.b.add(r)
	return nil
}

// sums looks whether a report has all of what was written. It also has jobd read the file once before anything is measured.
func (d *daemon) sums(w *written) error {
	var a asked
	out, err := d.ask(&a, "--json", "report", "--by", "command")
	if err != nil {
		return err
	}
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return fmt.Errorf("cannot read the report: %w", err)
	}
	if t := r.Total; t.Processes != monthProcs || t.Jobs != monthJobs || t.CPU != w.cpu {
		return fmt.Errorf("the report has %d processes of %d jobs and %d ns of CPU, written were %d of %d and %d",
			t.Processes, t.Jobs, t.CPU, monthProcs, monthJobs, w.cpu)
	}
	return nil
}

// ask has jobctl ask jobd, and gives what it printed.
func (d *daemon) ask(a *asked, args ...string) (string, error) {
	return d.b.timed(a, d.b.file("jobctl"), append([]string{"--run-dir", d.file("run")}, args...)...)
}

// timed runs a program to its end. The CPU is that of its cgroup and of jobd's.
func (b *bench) timed(a *asked, name string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var own cpu
	jobd, err := charged(b.groups[daemonGroup], func() (err error) {
		own, err = charged(b.groups[plainGroup], func() error {
			start := time.Now()
			if err := b.launch(cmd, plainGroup); err != nil {
				return err
			}
			err := cmd.Wait()
			a.wall = append(a.wall, time.Since(start).Seconds())
			return err
		})
		return err
	})
	a.cpu = append(a.cpu, (own.total+jobd.total)/1e6)
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	return out.String(), nil
}

// besideSA compares a report by command with GNU sa, which makes the same table from the same processes.
func (b *bench) besideSA(d *daemon, w *written) error {
	sa := findSA()
	var ours, theirs asked
	for range *rounds {
		if _, err := d.ask(&ours, "report", "--by", "command"); err != nil {
			return err
		}
		if sa == "" {
			continue
		}
		// -i: nothing of the host is read. Without -s nothing is written.
		out, err := b.timed(&theirs, sa, "-i", "-a", "--other-savacct-file", w.acct+".sav", "--other-usracct-file", w.acct+".usr", w.acct)
		if err != nil {
			return err
		}
		if first, _, _ := strings.Cut(strings.TrimSpace(out), " "); first != fmt.Sprint(monthProcs) {
			return fmt.Errorf("sa counted %s processes, not %d", first, monthProcs)
		}
	}
	b.add(row{
		what: fmt.Sprintf("report by command over %s records", number(monthProcs)), measured: ours.wall.spread("%.3f", " s"),
		target: "< 1 s", ok: met(ours.wall.median() < 1),
	})
	if sa == "" {
		b.add(row{what: "  beside GNU sa", measured: "skipped: there is no sa here (Debian's package acct)"})
		return nil
	}
	slower := each(ours.wall, theirs.wall, ratio)
	b.add(row{
		"  beside GNU sa", ours.wall.spread("%.3f", " s"), "sa " + theirs.wall.spread("%.3f", " s"), slower.spread("%.2f", ""), "≤ 1",
		met(slower.median() <= 1),
	})
	b.add(row{
		what: "  CPU of it", measured: ours.cpu.spread("%.3f", " s"), beside: "sa " + theirs.cpu.spread("%.3f", " s"),
		ratio: each(ours.cpu, theirs.cpu, ratio).spread("%.2f", ""),
	})
	return nil
}

// findSA looks for GNU sa where packages and .ci/deps put it; empty: nowhere.
func findSA() string {
	for _, name := range []string{"sa", "/usr/sbin/sa", "../../../bin/sa"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	return ""
}
