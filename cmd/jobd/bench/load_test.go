package bench

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jobd-project/jobd/job"
)

// plan is a kind of job: who stays for all of it, each the child of the one before, and what is run meanwhile.
type plan struct {
	service string
	share   int // % of the jobs
	more    int // processes beside those that stay, mean
	stay    []string
	run     []string // one as likely as the other; those that stand there twice twice
	gap     float64  // ms between two of them, median
	spread  float64  // of its logarithm
}

// plans are what people and cron do on a login node: most jobs are small, most processes are of few builds and scripts.
var plans = []plan{
	{"cron", 57, 2, []string{"cron", "sh"}, []string{"flock", "python", "perl", "curl", "sadc", "find", "rm", "gzip", "sh", "date"}, 2, 1},
	{"sshd", 22, 3, []string{"sshd", "bash"}, []string{"rsync", "scp", "pack", "git", "cat", "sub", "id"}, 8, 1.5},
	{
		"sshd", 18, 17, []string{"sshd", "sshd", "login"},
		[]string{
			"sub", "sub", "sub", "sub", "sub", "id", "tty", "readlink", "dirname", "ls", "ls", "ls", "ls", "cat", "cat", "grep", "grep", "grep",
			"sed", "awk", "find", "xargs", "sort", "wc", "head", "tail", "cut", "tr", "date", "cp", "mv", "rm", "mkdir", "sleep", "ps", "git", "git",
			"git", "tar", "vim", "vim", "less", "man", "htop", "ssh", "python", "python", "sim", "Rscript",
		}, 90, 3,
	},
	{
		"sshd", 3, 155, []string{"sshd", "sshd", "login", "make"},
		[]string{
			"sh", "sh", "sh", "sub", "cc", "cc", "cc", "cc1", "cc1", "cc1", "as", "as", "as", "collect2", "ld", "rm", "sed", "grep", "mkdir", "cp",
			"cat", "tr", "dirname",
		}, 12, 1.2,
	},
}

// How large the load of the month is.
const (
	monthJobs  = 100_000
	monthProcs = 1_000_000
)

const (
	day       = 24 * time.Hour
	monthSpan = 30 * day
)

const (
	people     = 40
	loadSeed   = 20260301
	longestRun = 8 * time.Hour
)

// process is one of the load's, before its figures are made up.
type process struct {
	start, end int64 // Unix ns
	cpu        int64 // ns
	job        int32 // index
	pid, ppid  int32
	parent     int32 // index into its job's, while pids are not given; -1: none
	what       *program
}

// account is one job of the load.
type account struct {
	info  job.Info
	left  int   // processes whose records are still to come
	cpu   int64 // that is on their records
	extra int64 // that is not
	rss   int64
	read  int64
	write int64
	user  int64
	sys   int64
}

// load is made up: processes by their end, and the jobs that they were in, by their start.
type load struct {
	rng   *rand.Rand
	procs []process
	jobs  []account
}

// newLoad makes up a load whose jobs start within span, and end before now. It is the same each time, but for the dates.
// first is the first job's.
func newLoad(now time.Time, span time.Duration, first job.JID, jobs, procs int) *load {
	l := &load{rng: rand.New(rand.NewPCG(loadSeed, 1)), procs: make([]process, 0, procs), jobs: make([]account, jobs)}
	from := now.Add(-span - 2*day)
	starts := make([]int64, jobs)
	for i := range starts {
		starts[i] = from.UnixNano() + l.moment(span)
	}
	slices.Sort(starts)
	sizes := l.sizes(procs)
	users := l.users()
	for i, start := range starts {
		p := &plans[sizes[i].plan]
		end, command := l.run(int32(i), p, start, sizes[i].procs)
		l.jobs[i] = account{left: sizes[i].procs, info: l.info(users, p, first+job.JID(i), start, end)}
		l.jobs[i].info.Command, l.jobs[i].info.TotalProcesses = job.Text(command), sizes[i].procs
	}
	l.number()
	return l
}

// moment is when a job starts, ns: by day more than by night, and less at weekends.
func (l *load) moment(span time.Duration) int64 {
	for {
		ns := l.rng.Int64N(int64(span))
		busy := 10
		if hour := ns / int64(time.Hour) % 24; hour >= 8 && hour < 19 {
			busy = 30
		}
		if ns/int64(day)%7 >= 5 {
			busy = 8
		}
		if l.rng.IntN(30) < busy {
			return ns
		}
	}
}

type size struct{ plan, procs int }

// sizes draws what each job is and how many processes it has, so that they are as many as there are to be.
func (l *load) sizes(procs int) []size {
	out, sum := make([]size, len(l.jobs)), 0
	for i := range out {
		n, at := l.rng.IntN(100), 0
		for n >= plans[at].share {
			n -= plans[at].share
			at++
		}
		p := &plans[at]
		n = len(p.stay) + 1 + int(l.rng.ExpFloat64()*float64(p.more-1)+.5)
		out[i], sum = size{at, n}, sum+n
	}
	for sum != procs { // the largest kind makes up for the rest
		s := &out[l.rng.IntN(len(out))]
		switch step := cmp.Compare(procs, sum); {
		case s.plan != len(plans)-1, step < 0 && s.procs <= len(plans[s.plan].stay)+1:
		default:
			s.procs, sum = s.procs+step, sum+step
		}
	}
	return out
}

// run makes up the processes of one job. It gives the job's end, and the command of its first program.
func (l *load) run(index int32, p *plan, start int64, count int) (end int64, command string) {
	base, at := len(l.procs), start
	for i, name := range p.stay {
		l.procs = append(l.procs, process{start: at, job: index, parent: int32(i - 1), what: l.program(name)})
		at += int64(lognormal(l.rng, 5e6, .8))
	}
	shell := int32(len(p.stay) - 1)
	for range count - len(p.stay) {
		q := process{start: at, job: index, parent: shell, what: l.program(p.run[l.rng.IntN(len(p.run))])}
		l.spend(&q)
		l.procs = append(l.procs, q)
		end = max(end, q.end)
		at += min(int64(lognormal(l.rng, p.gap*1e6, p.spread)), int64(longestRun))
	}
	for i := len(p.stay) - 1; i >= 0; i-- { // they end the last first
		q := &l.procs[base+i]
		l.spend(q)
		end += 100_000 + l.rng.Int64N(3_000_000)
		q.end = max(end, q.end)
		end = q.end
	}
	command = p.run[0]
	for _, name := range p.stay {
		if w := l.program(name); !w.forked {
			return end, w.comm
		}
	}
	return end, command
}

func (l *load) program(name string) *program {
	p, ok := programs[name]
	if !ok {
		panic("no program " + name)
	}
	return &p
}

// spend draws how much CPU a process uses, and how long it is there.
func (l *load) spend(q *process) {
	cpu := min(lognormal(l.rng, float64(q.what.cpu), q.what.spread), float64(longestRun))
	wall := cpu*(1.05+l.rng.ExpFloat64()*.4) + 250e3 + l.rng.Float64()*400e3 + l.rng.ExpFloat64()*float64(q.what.waits)
	q.cpu, q.end = int64(cpu), q.start+int64(wall)
}

// number gives pids by start, as the kernel does, and puts the processes in order of their end.
func (l *load) number() {
	order := make([]int32, len(l.procs))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(l.procs[a].start, l.procs[b].start) })
	const pidMax = 4_194_304
	for n, i := range order {
		l.procs[i].pid = int32(400 + (n+n/9)%(pidMax-400)) // some are nobody's we know
	}
	first := make([]int32, len(l.jobs)) // the index of each job's first process
	for i := len(l.procs) - 1; i >= 0; i-- {
		first[l.procs[i].job] = int32(i)
	}
	for i := range l.procs {
		q := &l.procs[i]
		q.ppid = 731 // sshd's or cron's own
		if q.parent >= 0 {
			q.ppid = l.procs[first[q.job]+q.parent].pid
		}
	}
	slices.SortFunc(l.procs, func(a, b process) int { return cmp.Compare(a.end, b.end) })
}

// person is who opens jobs.
type person struct {
	name    string
	uid     uint32
	key     job.Text
	address [3]string
}

func (l *load) users() []person {
	out := make([]person, people)
	for i := range out {
		var key [32]byte
		for j := range key {
			key[j] = byte(l.rng.Uint32())
		}
		p := person{name: fmt.Sprintf("user%02d", i), uid: 1000 + uint32(i)*7, key: job.Text("SHA256:" + base64.RawStdEncoding.EncodeToString(key[:]))}
		for j := range p.address {
			p.address[j] = fmt.Sprintf("131.169.%d.%d", l.rng.IntN(32), 1+l.rng.IntN(254))
		}
		out[i] = p
	}
	return out
}

// info is what is known of a job, but for what its processes used.
func (l *load) info(users []person, p *plan, jid job.JID, start, end int64) job.Info {
	began, ended := time.Unix(0, start).UTC(), time.Unix(0, end).UTC()
	who := users[int(l.rng.ExpFloat64()*6)%len(users)]
	gid, session, status := uint32(100), jid.Seq()%1_000_000, 0
	in := job.Info{
		JID: jid, Seq: jid.Seq(), Host: "login01", BootID: "0b2f3a6e-7a55-4f0e-9a0b-6d1f0c9d2e11", User: who.name, UID: who.uid, GID: &gid,
		Service: job.Text(p.service), State: job.Ended, Started: began, Ended: &ended, LoginJID: &jid, LoginUID: &who.uid, AuditSession: &session,
		LogindSession: job.Text(fmt.Sprint(session)), Marks: []job.Mark{}, PeakProcesses: len(p.stay) + 1, CPUSource: job.SourceCgroup,
		ExitStatus: &status, POEExitStatus: &status, EndReason: job.EndExit, Witness: "cgroup", Tags: map[string]string{},
	}
	if p.service == "sshd" {
		port := 32768 + l.rng.IntN(28_000)
		in.TTY, in.RHost, in.RPort, in.AuthKey = "ssh", job.Text(who.address[l.rng.IntN(3)]), &port, who.key
		return in
	}
	if l.rng.IntN(10) < 7 {
		root, group := uint32(0), uint32(0)
		in.User, in.UID, in.GID, in.LoginUID = "root", 0, &group, &root
	}
	in.TTY = "cron"
	return in
}
