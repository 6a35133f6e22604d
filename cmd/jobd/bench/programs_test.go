package bench

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// program is a command of the made-up load. The figures are about what jobd recorded of real ones: the same program takes
// nearly the same faults and memory each time, its CPU time is all over the place, and what it reads goes by its data.
type program struct {
	comm, path string
	cpu        time.Duration // median
	spread     float64       // of its logarithm
	waits      time.Duration // mean of what it sleeps
	faults     int64
	rss, vm    int64 // KiB
	reads      int64 // KiB through read(2) whatever it works on
	data       int64 // KiB more, median; 0: none
	writes     int64 // KiB through write(2), median
	failing    int   // % that end with another status than 0
	forked     bool  // never runs a program of its own
}

// programs of the load, by what names them in the plans.
var programs = map[string]program{
	"sshd":     {comm: "sshd", path: "/usr/sbin/sshd", cpu: 9 * time.Millisecond, spread: .4, faults: 640, rss: 9700, vm: 17700, reads: 60, writes: 3, forked: true},
	"cron":     {comm: "cron", path: "/usr/sbin/cron", cpu: 700 * time.Microsecond, spread: .3, faults: 190, rss: 2900, vm: 6900, reads: 17, forked: true},
	"login":    {comm: "bash", path: "/usr/bin/bash", cpu: 14 * time.Millisecond, spread: .6, faults: 900, rss: 5100, vm: 8900, reads: 52, writes: 4, failing: 9},
	"bash":     {comm: "bash", path: "/usr/bin/bash", cpu: 2800 * time.Microsecond, spread: .4, faults: 313, rss: 3160, vm: 4360, reads: 16, failing: 3},
	"sub":      {comm: "bash", path: "/usr/bin/bash", cpu: 290 * time.Microsecond, spread: .5, waits: time.Millisecond, faults: 91, rss: 1840, vm: 4360, failing: 2, forked: true},
	"sh":       {comm: "sh", path: "/usr/bin/dash", cpu: 600 * time.Microsecond, spread: .4, faults: 110, rss: 1640, vm: 2580, reads: 4, failing: 4},
	"id":       {comm: "id", path: "/usr/bin/id", cpu: 300 * time.Microsecond, spread: .5, faults: 149, rss: 2290, vm: 3724, reads: 11},
	"tty":      {comm: "tty", path: "/usr/bin/tty", cpu: 260 * time.Microsecond, spread: .5, faults: 101, rss: 1270, vm: 2480, reads: 3},
	"ls":       {comm: "ls", path: "/usr/bin/ls", cpu: 1300 * time.Microsecond, spread: .6, faults: 160, rss: 2500, vm: 3824, reads: 11, writes: 2, failing: 4},
	"cat":      {comm: "cat", path: "/usr/bin/cat", cpu: 800 * time.Microsecond, spread: .7, faults: 151, rss: 1690, vm: 3060, reads: 6, data: 14, writes: 14, failing: 3},
	"grep":     {comm: "grep", path: "/usr/bin/grep", cpu: 900 * time.Microsecond, spread: 1.1, faults: 174, rss: 2290, vm: 3892, reads: 11, data: 160, failing: 31},
	"sed":      {comm: "sed", path: "/usr/bin/sed", cpu: 310 * time.Microsecond, spread: .6, faults: 150, rss: 2150, vm: 3840, reads: 10, data: 4, writes: 3},
	"awk":      {comm: "awk", path: "/usr/bin/mawk", cpu: 700 * time.Microsecond, spread: 1.2, faults: 136, rss: 2290, vm: 3968, reads: 8, data: 40, writes: 2},
	"find":     {comm: "find", path: "/usr/bin/find", cpu: 5600 * time.Microsecond, spread: 1.3, faults: 185, rss: 2950, vm: 4924, reads: 9, writes: 7, failing: 8},
	"xargs":    {comm: "xargs", path: "/usr/bin/xargs", cpu: 1400 * time.Microsecond, spread: .5, waits: 15 * time.Millisecond, faults: 143, rss: 1820, vm: 3216, reads: 13, failing: 5},
	"sort":     {comm: "sort", path: "/usr/bin/sort", cpu: 2500 * time.Microsecond, spread: .9, waits: 12 * time.Millisecond, faults: 134, rss: 1800, vm: 11316, reads: 7, data: 9, writes: 9},
	"wc":       {comm: "wc", path: "/usr/bin/wc", cpu: 900 * time.Microsecond, spread: 1.2, waits: 4 * time.Millisecond, faults: 133, rss: 1850, vm: 2940, reads: 6, data: 50},
	"head":     {comm: "head", path: "/usr/bin/head", cpu: 420 * time.Microsecond, spread: .5, waits: 4 * time.Millisecond, faults: 128, rss: 1620, vm: 2952, reads: 7, data: 4, writes: 2},
	"tail":     {comm: "tail", path: "/usr/bin/tail", cpu: 1080 * time.Microsecond, spread: .5, waits: 30 * time.Second, faults: 131, rss: 1600, vm: 2952, reads: 7, data: 9, writes: 3, failing: 20},
	"cut":      {comm: "cut", path: "/usr/bin/cut", cpu: 420 * time.Microsecond, spread: .5, faults: 126, rss: 1610, vm: 2944, reads: 6, data: 3, writes: 1},
	"tr":       {comm: "tr", path: "/usr/bin/tr", cpu: 250 * time.Microsecond, spread: .6, faults: 119, rss: 1590, vm: 2944, reads: 6},
	"date":     {comm: "date", path: "/usr/bin/date", cpu: 300 * time.Microsecond, spread: .5, faults: 124, rss: 1700, vm: 2996, reads: 6},
	"dirname":  {comm: "dirname", path: "/usr/bin/dirname", cpu: 310 * time.Microsecond, spread: .5, faults: 126, rss: 1640, vm: 2940, reads: 6},
	"readlink": {comm: "readlink", path: "/usr/bin/readlink", cpu: 250 * time.Microsecond, spread: .6, faults: 99, rss: 1420, vm: 2500, reads: 3, failing: 12},
	"cp":       {comm: "cp", path: "/usr/bin/cp", cpu: 460 * time.Microsecond, spread: .9, faults: 134, rss: 2180, vm: 3908, reads: 11, data: 60, writes: 60},
	"mv":       {comm: "mv", path: "/usr/bin/mv", cpu: 420 * time.Microsecond, spread: .5, faults: 135, rss: 2200, vm: 3916, reads: 11},
	"rm":       {comm: "rm", path: "/usr/bin/rm", cpu: 400 * time.Microsecond, spread: .7, faults: 104, rss: 1590, vm: 2948, reads: 6, failing: 2},
	"mkdir":    {comm: "mkdir", path: "/usr/bin/mkdir", cpu: 370 * time.Microsecond, spread: .5, faults: 130, rss: 2100, vm: 3860, reads: 11, failing: 5},
	"sleep":    {comm: "sleep", path: "/usr/bin/sleep", cpu: 260 * time.Microsecond, spread: .5, waits: 20 * time.Second, faults: 101, rss: 1280, vm: 2480, reads: 3},
	"ps":       {comm: "ps", path: "/usr/bin/ps", cpu: 5800 * time.Microsecond, spread: .4, faults: 567, rss: 4520, vm: 8680, reads: 211, writes: 15},
	"git":      {comm: "git", path: "/usr/bin/git", cpu: 2600 * time.Microsecond, spread: 1.2, faults: 250, rss: 4720, vm: 9280, reads: 11, data: 6, writes: 4, failing: 6},
	"tar":      {comm: "tar", path: "/usr/bin/tar", cpu: 4 * time.Millisecond, spread: 1.8, waits: 5 * time.Millisecond, faults: 170, rss: 2616, vm: 4240, reads: 20, data: 900, writes: 900},
	"gzip":     {comm: "gzip", path: "/usr/bin/gzip", cpu: 12 * time.Millisecond, spread: 1.7, faults: 172, rss: 1510, vm: 3256, reads: 8, data: 400, writes: 130},
	"rsync":    {comm: "rsync", path: "/usr/bin/rsync", cpu: 24 * time.Millisecond, spread: 1.5, waits: 2 * time.Second, faults: 420, rss: 4900, vm: 9900, reads: 30, data: 4000, writes: 3000, failing: 3},
	"scp":      {comm: "sftp-server", path: "/usr/lib/openssh/sftp-server", cpu: 8 * time.Millisecond, spread: 1.5, waits: time.Second, faults: 260, rss: 4300, vm: 6700, reads: 16, data: 2000, writes: 2000},
	"pack":     {comm: "git-upload-pack", path: "/usr/lib/git-core/git-upload-pack", cpu: 9 * time.Millisecond, spread: 1, faults: 330, rss: 5600, vm: 12400, reads: 20, data: 300, writes: 200},
	"vim":      {comm: "vim.basic", path: "/usr/bin/vim.basic", cpu: 90 * time.Millisecond, spread: 1.2, waits: 4 * time.Minute, faults: 1100, rss: 11500, vm: 16900, reads: 230, data: 20, writes: 40},
	"less":     {comm: "less", path: "/usr/bin/less", cpu: 3 * time.Millisecond, spread: .8, waits: 40 * time.Second, faults: 180, rss: 2400, vm: 4500, reads: 14, data: 30, writes: 20},
	"man":      {comm: "man", path: "/usr/bin/man", cpu: 5 * time.Millisecond, spread: .6, waits: 30 * time.Second, faults: 260, rss: 3900, vm: 7700, reads: 40, writes: 10, failing: 6},
	"htop":     {comm: "htop", path: "/usr/bin/htop", cpu: 2 * time.Second, spread: 1.3, waits: 3 * time.Minute, faults: 600, rss: 4700, vm: 8800, reads: 9000, writes: 900},
	"ssh":      {comm: "ssh", path: "/usr/bin/ssh", cpu: 30 * time.Millisecond, spread: .9, waits: 5 * time.Minute, faults: 560, rss: 8800, vm: 15100, reads: 50, data: 60, writes: 40, failing: 14},
	"perl":     {comm: "perl", path: "/usr/bin/perl", cpu: 9 * time.Millisecond, spread: 1.3, faults: 380, rss: 6100, vm: 9100, reads: 30, data: 20, writes: 3},
	"python":   {comm: "python3", path: "/usr/bin/python3.11", cpu: 70 * time.Millisecond, spread: 1.8, waits: 100 * time.Millisecond, faults: 2880, rss: 14000, vm: 19000, reads: 1378, data: 80, writes: 5, failing: 8},
	"sim":      {comm: "lammps", path: "/opt/lammps/bin/lammps", cpu: 20 * time.Second, spread: 2, waits: 3 * time.Second, faults: 61000, rss: 240_000, vm: 610_000, reads: 2100, data: 9000, writes: 5000, failing: 6},
	"Rscript":  {comm: "R", path: "/usr/lib/R/bin/exec/R", cpu: 900 * time.Millisecond, spread: 1.5, waits: 200 * time.Millisecond, faults: 21000, rss: 92_000, vm: 190_000, reads: 3100, data: 700, writes: 30, failing: 5},
	"make":     {comm: "make", path: "/usr/bin/make", cpu: 6 * time.Millisecond, spread: .8, faults: 230, rss: 2900, vm: 5100, reads: 34, data: 9, failing: 11},
	"cc":       {comm: "cc", path: "/usr/bin/x86_64-linux-gnu-gcc-12", cpu: 2500 * time.Microsecond, spread: .2, waits: 160 * time.Millisecond, faults: 133, rss: 2768, vm: 4256, reads: 6, failing: 2},
	"cc1":      {comm: "cc1", path: "/usr/lib/gcc/x86_64-linux-gnu/12/cc1", cpu: 78 * time.Millisecond, spread: .9, faults: 2300, rss: 31_300, vm: 49_800, reads: 460, data: 90, writes: 14, failing: 2},
	"as":       {comm: "as", path: "/usr/bin/x86_64-linux-gnu-as", cpu: 2 * time.Millisecond, spread: .6, waits: time.Millisecond, faults: 296, rss: 4280, vm: 6568, reads: 12, data: 14, writes: 5},
	"collect2": {comm: "collect2", path: "/usr/lib/gcc/x86_64-linux-gnu/12/collect2", cpu: 900 * time.Microsecond, spread: .4, waits: 25 * time.Millisecond, faults: 120, rss: 1950, vm: 3100, reads: 5, failing: 2},
	"ld":       {comm: "ld", path: "/usr/bin/x86_64-linux-gnu-ld.bfd", cpu: 20 * time.Millisecond, spread: .7, faults: 1763, rss: 9300, vm: 11_684, reads: 650, data: 40, writes: 30},
	"sadc":     {comm: "sadc", path: "/usr/lib/sysstat/sadc", cpu: 1100 * time.Microsecond, spread: .4, faults: 140, rss: 1900, vm: 3300, reads: 38, writes: 22},
	"flock":    {comm: "flock", path: "/usr/bin/flock", cpu: 400 * time.Microsecond, spread: .4, waits: 30 * time.Millisecond, faults: 105, rss: 1400, vm: 2560, reads: 4},
	"curl":     {comm: "curl", path: "/usr/bin/curl", cpu: 14 * time.Millisecond, spread: .6, waits: 180 * time.Millisecond, faults: 940, rss: 12_500, vm: 22_900, reads: 95, data: 12, writes: 6, failing: 4},
}

// around gives a number that is near v, and now and then not.
func around(rng *rand.Rand, v int64) int64 {
	return max(v+int64(rng.NormFloat64()*float64(v)*0.012), 0)
}

// lognormal gives a number whose median is v.
func lognormal(rng *rand.Rand, v, spread float64) float64 {
	return v * math.Exp(rng.NormFloat64()*spread)
}

// tick is the kernel's, at CONFIG_HZ=250: what it counts in ticks is a multiple of this.
const tick = int64(4 * time.Millisecond)

// ticks is how often the clock finds a process running that uses so much CPU: by chance where it is little.
func ticks(rng *rand.Rand, cpu int64) int64 {
	n := cpu / tick
	if rng.Int64N(tick) < cpu%tick {
		n++
	}
	return n
}

// kib is what the kernel tells of bytes that went through read(2) and write(2): whole KiB.
func kib(rng *rand.Rand, median int64) int64 {
	if median == 0 {
		return 0
	}
	return int64(lognormal(rng, float64(median), 1.2)) << 10
}

// usage makes up what one process used that was charged cpu ns.
func (p *program) usage(rng *rand.Rand, cpu, wall int64) watch.Usage {
	u := watch.Usage{
		Groups: watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch,
		Comm:   p.comm, CPU: cpu, Threads: 1, Elapsed: max(wall-rng.Int64N(30_000), 0) / 1000 * 1000,
		MinFault: around(rng, p.faults), MaxRSS: around(rng, p.rss/4) * 4096, MaxVM: p.vm / 4 * 4096,
		InvSwitch: rng.Int64N(3) + cpu/(3*tick), VolSwitch: int64(lognormal(rng, .7, .8)),
		ReadChars: p.reads<<10 + kib(rng, p.data), WriteChars: kib(rng, p.writes),
	}
	if rng.IntN(5) == 0 {
		u.MaxVM += rng.Int64N(30) * 4096
	}
	if u.VolSwitch += int64(p.waits / (50 * time.Millisecond)); cpu < tick && rng.IntN(4) == 0 {
		u.CPU = 0 // gone before the scheduler looked
	}
	n := ticks(rng, cpu)
	user := (n*(30+rng.Int64N(60)) + rng.Int64N(100)) / 100
	u.User, u.System = user*tick, (n-user)*tick
	if n > 0 { // the integrals are taken at ticks, while the process still grows
		us, mib := n*tick/1000, int64(1<<20/4096) // in pages
		u.CoreMem, u.VirtMem = u.MaxRSS/4096*(60+rng.Int64N(40))/100*us/mib, u.MaxVM/4096*us/mib
	}
	if p.writes > 0 && rng.IntN(3) == 0 {
		u.WriteBytes = (u.WriteChars + 4095) / 4096 * 4096
	}
	if rng.IntN(50) == 0 { // not in the page cache
		u.ReadBytes, u.MajFault = (1+rng.Int64N(60))*4096, 1+rng.Int64N(6)
		u.VolSwitch += u.MajFault
	}
	return u
}

// ran is what is kept of the programs that a process ran: its own, some time after the fork.
func (p *program) ran(rng *rand.Rand, start int64) []job.Exec {
	if p.forked {
		return nil
	}
	return []job.Exec{{At: start + 120_000 + rng.Int64N(400_000), Exe: p.path}}
}

// status is a wait status: now and then something went wrong.
func (p *program) status(rng *rand.Rand) int64 {
	if rng.IntN(100) >= p.failing {
		return 0
	}
	if rng.IntN(12) == 0 {
		return 15 // SIGTERM
	}
	return 1 << 8
}
