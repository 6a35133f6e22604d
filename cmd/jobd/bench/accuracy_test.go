package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// short is the program that a storm of execs runs.
const short = "short"

// errNoAcct: the kernel cannot do BSD process accounting (CONFIG_BSD_PROCESS_ACCT), or this process may not ask for it.
var errNoAcct = errors.New("no process accounting")

// accountedRounds is how many storms of each kind the table of accuracy is about.
const accountedRounds = 2

// accountedProcs is how many processes such a storm has: the children, the forkers, and what started these.
const accountedProcs = storm + forkers + 1

// measures are those who say how much CPU a storm used, and how many processes it had. The first is right.
var measures = []string{
	"its cgroup's `cpu.stat`: what the scheduler charged",
	"jobd, of the job",
	"jobd, on the process records",
	"taskstats, `cpu_run_virtual_total`",
	"taskstats, `ac_utime` + `ac_stime`",
	"psacct, `ac_utime` + `ac_stime`",
}

// What jobd says, among the measures.
const byJob, byRecords = 1, 2

// sources are where the CPU of a job is from that has ended.
var sources = map[engine]string{connector: job.SourceCgroup, bpf: job.SourceBPF}

// told is what one of them says of one storm. It counted no processes: -1.
type told struct {
	cpu   float64 // s
	procs int
}

// verdicts are what each of the measures says, a storm each.
type verdicts [][]told

// accountedKinds are the kinds of storms that it is about, all of one size.
var accountedKinds = []kind{forks, execs}

// accuracy compares who accounts for short processes, over the same storms: with the connector everybody, with bpf jobd.
func (b *bench) accuracy() error {
	all := make(map[engine][]verdicts)
	for _, e := range engines {
		all[e] = make([]verdicts, len(accountedKinds))
	}
	for range accountedRounds {
		for _, e := range engines {
			err := b.accountAll(e, all[e])
			if errors.Is(err, errNoAcct) {
				b.add(row{what: "accuracy", measured: "skipped: " + err.Error()})
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	for i, k := range accountedKinds {
		for _, e := range engines {
			b.reportAccuracy(k.what+", "+string(e), all[e][i])
		}
	}
	b.appendix += accuracyTable(all)
	return nil
}

// accountAll adds a storm of each kind.
func (b *bench) accountAll(e engine, to []verdicts) error {
	for i, k := range accountedKinds {
		v, err := b.account(e, k.program)
		if err != nil {
			return err
		}
		to[i] = append(to[i], v)
	}
	return nil
}

// accuracyTable has a line for each measure.
func accuracyTable(all map[engine][]verdicts) string {
	head, rule := "| CPU time of "+number(accountedProcs)+" processes, by |", "|---|"
	for _, k := range accountedKinds {
		head += " " + k.what + " | processes |"
		rule += "---|---|"
	}
	out := "\n" + head + "\n" + rule + "\n"
	for m, what := range measures {
		out += accuracyLine(what, all[connector], m)
		if m == byJob || m == byRecords {
			out += accuracyLine(what+", bpf", all[bpf], m)
		}
	}
	return out
}

func accuracyLine(what string, of []verdicts, measure int) string {
	out := "| " + what + " |"
	for _, v := range of {
		out += " " + v.cell(measure) + " |"
	}
	return out + "\n"
}

// of gives what a measure said of the CPU, in % of what was charged.
func (v verdicts) of(measure int) (s samples) {
	for _, one := range v {
		s = append(s, one[measure].cpu/one[0].cpu*100)
	}
	return s
}

// procs gives how many processes a measure counted in the storm where that was the furthest from how many there were.
func (v verdicts) procs(measure int) int {
	worst := v[0][measure].procs
	for _, one := range v {
		if n := one[measure].procs; abs(n-accountedProcs) > abs(worst-accountedProcs) {
			worst = n
		}
	}
	return worst
}

func abs(n int) int { return max(n, -n) }

// cell is a cell of CPU and one of processes, as medians.
func (v verdicts) cell(measure int) string {
	procs := "–"
	if n := v.procs(measure); n >= 0 {
		procs = number(n)
	}
	if measure > 0 {
		return fmt.Sprintf("%.1f %% | %s", v.of(measure).median(), procs)
	}
	var s samples
	for _, one := range v {
		s = append(s, one[0].cpu)
	}
	return fmt.Sprintf("%.2f s = 100 %% | %s", s.median(), procs)
}

func (b *bench) reportAccuracy(what string, v verdicts) {
	job := v.of(byJob)
	off := max(100-job.at(0), job.at(1)-100)
	b.add(row{
		what:     "CPU of the job after " + number(accountedProcs) + " processes: " + what,
		measured: job.spread("%.2f", " %"), beside: "charged by the scheduler: 100 %", target: "within 1 %", ok: met(off <= 1),
	})
	b.add(row{
		what: "  on the process records", measured: v.of(byRecords).spread("%.2f", " %"), beside: "charged by the scheduler: 100 %",
	})
	b.add(row{
		what: "  processes of the job, records", measured: number(v.procs(byJob)) + ", " + number(v.procs(byRecords)),
		target: number(accountedProcs), ok: met(v.procs(byJob) == accountedProcs && v.procs(byRecords) == accountedProcs),
	})
}

// account has one storm measured by all of them at once.
func (b *bench) account(e engine, program string) (v []told, err error) {
	d, err := b.startDaemon(e)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	name := fmt.Sprintf("jb%d-%d", os.Getpid(), b.homes) // nobody else's
	if program != "" {
		program = b.file(name)
		if err := os.Link(b.file(short), program); err != nil {
			return nil, err
		}
	}
	r, err := b.start(daemonGroup, "reader", name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.kill()) }()
	if err := r.expect("ready"); err != nil {
		return nil, err
	}
	a := accounted{d: d, file: filepath.Join(d.home, "acct")}
	if err := a.run(name, program); err != nil {
		return nil, err
	}
	return a.verdict(r)
}

// accounted is one storm in a job, and who accounts for it.
type accounted struct {
	d       *daemon
	file    string  // of process accounting
	charged float64 // s
	job     job.Info
	records []job.Process
}

// run runs the storm. The job is held, so that its cgroup can be read when nobody is left in it.
func (a *accounted) run(name, program string) (err error) {
	b, c := a.d.b, a.d.client
	if err := os.WriteFile(a.file, nil, 0o600); err != nil {
		return err
	}
	args := []string{name, a.file, strconv.Itoa(forkers), strconv.Itoa(children)}
	if program != "" {
		args = append(args, program)
	}
	s, err := b.start(rootGroup, "accounted", args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.kill()) }()
	pid, err := s.number()
	if err != nil {
		return err
	}
	in, err := c.Create(b.ctx, control.Request{Hold: true})
	if err != nil {
		return err
	}
	ref := control.JobRef(in.JID.String())
	if _, err := c.Attach(b.ctx, control.Request{PID: int32(pid), Job: ref}); err != nil {
		return err
	}
	g, err := groupOf(b.mount, pid)
	if err != nil {
		return err
	}
	if g == group(filepath.Clean(b.mount)) {
		return errors.New("jobd gave the job no cgroup of its own")
	}
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return err
	}
	if err := errors.Join(s.expect("done"), s.finish()); err != nil {
		return err
	}
	used, err := g.cpu()
	if err != nil {
		return err
	}
	a.charged = used.total / 1e6
	return a.end(ref)
}

// end closes the job's books and reads them.
func (a *accounted) end(ref control.JobRef) (err error) {
	ctx, c := a.d.b.ctx, a.d.client
	if err := c.Release(ctx, ref); err != nil {
		return err
	}
	if a.job, err = c.Wait(ctx, control.Request{Job: ref, Timeout: 30 * time.Second}); err != nil {
		return err
	}
	if a.records, err = c.Procs(ctx, control.Request{Job: ref}); err != nil {
		return err
	}
	_, err = a.d.lost()
	return err
}

// number reads the pid that the program says. Where it cannot have the kernel account, it says why not.
func (p *proc) number() (int, error) {
	said, err := p.line()
	if err != nil {
		return 0, err
	}
	if why, ok := strings.CutPrefix(said, "no "); ok {
		return 0, fmt.Errorf("%w: %s", errNoAcct, why)
	}
	return strconv.Atoi(said)
}

// verdict puts together what each says.
func (a *accounted) verdict(r *proc) ([]told, error) {
	if want := sources[a.d.engine]; a.job.CPU == nil || string(a.job.CPUSource) != want {
		return nil, fmt.Errorf("the job's CPU is from %q, not from %q", a.job.CPUSource, want)
	}
	out := []told{{a.charged, -1}, {float64(*a.job.CPU) / 1e9, a.job.TotalProcesses}, {procs: len(a.records)}}
	for i := range a.records {
		if cpu := a.records[i].CPU; cpu != nil {
			out[2].cpu += float64(*cpu) / 1e9
		}
	}
	r.in.Close()
	said, err := r.line()
	if err != nil {
		return nil, err
	}
	var messages, records, drops, count, virtual, ticks float64
	if _, err := fmt.Sscan(said, &messages, &records, &drops, &count, &virtual, &ticks); err != nil || drops > 0 {
		return nil, errors.Join(fmt.Errorf("cannot use what the reader said: %q", said), err)
	}
	out = append(out, told{virtual / 1e9, int(count)}, told{ticks / 1e6, int(count)})
	acct, err := a.acct()
	return append(out, acct), errors.Join(err, r.finish())
}

// acct adds up the file of process accounting. When the kernel closes it, it writes the namespace's first process down
// once more (acct_pin_kill in kernel/acct.c).
func (a *accounted) acct() (t told, err error) {
	b, err := os.ReadFile(a.file)
	if err != nil {
		return t, err
	}
	list, err := readAcct(b)
	seen := false
	for _, r := range list {
		if r.pid == 1 && seen {
			continue
		}
		seen = seen || r.pid == 1
		t.procs++
		t.cpu += float64(r.user+r.system) / 1e9
	}
	return t, err
}
