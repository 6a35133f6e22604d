package store

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// day0 is when the tests' processes end.
var day0 = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

// How far apart the ends of a load's processes are, on average.
const (
	busy  = 50 * time.Microsecond // 20,000 a second
	quiet = time.Second
)

// loader gives the records of a load.
type loader struct {
	rng  *rand.Rand
	gap  time.Duration
	end  int64
	n    int
	make func(l *loader) *job.Record
}

func newLoader(gap time.Duration, make func(l *loader) *job.Record) *loader {
	return &loader{rng: rand.New(rand.NewPCG(1, uint64(gap))), gap: gap, end: day0.UnixNano(), make: make}
}

func (l *loader) next() *job.Record {
	l.end += 1 + int64(l.rng.ExpFloat64()*float64(l.gap))
	r := l.make(l)
	l.n++
	return r
}

func (l *loader) take(n int) []*job.Record {
	out := make([]*job.Record, n)
	for i := range out {
		out[i] = l.next()
	}
	return out
}

// load makes n records of the mixed load on a busy host.
func load(n int) []*job.Record { return newLoader(busy, mixed).take(n) }

// sample has the records of testdata/mixed.gz: 8,192 processes in a row that a jobd wrote down, on a machine of two
// processors, of 40 jobs by five users at a time: scripts full of short commands, fork-only shells, builds by make and gcc
// and by go build, git, python, perl. Of each, a line of figures: its name, then that of each process. Times are ns,
// sizes bytes. Only the ends are not in it: a load makes those up.
var sample = sync.OnceValue(func() map[string][]string {
	f, err := os.Open("testdata/mixed.gz")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic(err)
	}
	out := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		out[words[0]] = words[1:]
	}
	return out
})

var sampled = sync.OnceValue(func() []job.Record {
	s := sample()
	out := make([]job.Record, len(s["pid"]))
	for i := range out {
		num := func(name string) int64 {
			v, err := strconv.ParseInt(s[name][i], 10, 64)
			if err != nil {
				panic(err)
			}
			return v
		}
		out[i] = job.Record{
			JID: job.NewJID(0xbeef, 100+uint32(num("job"))), PID: int32(num("pid")), End: num("life"), Status: num("status"),
			Exited: num("exited") == 1, Forked: num("forked") == 1, Estimated: num("estimated") == 1, Used: num("used") == 1,
			Usage: watch.Usage{
				Groups: watch.Group(num("groups")), Comm: s["comm"][i], UID: uint32(num("uid")), GID: uint32(num("gid")),
				PPID: int32(num("ppid")), BTime: num("btime"), Elapsed: num("elapsed"), Nice: int8(num("nice")),
				Sched: uint8(num("sched")), Flags: uint8(num("flags")), Threads: int32(num("threads")),
				CPU: num("cpu"), User: num("user"), System: num("system"), MinFault: num("minfault"), MajFault: num("majfault"),
				MaxRSS: num("maxrss"), MaxVM: num("maxvm"), CoreMem: num("coremem"), VirtMem: num("virtmem"),
				ReadChars: num("readchars"), WriteChars: num("writechars"), ReadCalls: num("readcalls"), WriteCalls: num("writecalls"),
				ReadBytes: num("readbytes"), WriteBytes: num("writebytes"), VolSwitch: num("volswitch"), InvSwitch: num("invswitch"),
			},
		}
	}
	return out
})

// mixed goes through the sample, again and again. What a process ran is where Debian has it, and is run as long after
// the fork as a shell takes.
func mixed(l *loader) *job.Record {
	s := sampled()
	r := s[l.n%len(s)]
	life := r.End
	r.End, r.Start = l.end, l.end-life
	r.Usage.BTime += r.Start / 1e9
	if r.Exe = path(r.Usage.Comm); !r.Forked {
		r.Execs = []job.Exec{{At: ranAt(l.rng, &r), Exe: r.Exe}}
	}
	return &r
}

// storm has processes that fork and exit, all alike.
func storm(l *loader) *job.Record {
	life := 150_000 + l.rng.Int64N(60_000)
	cpu := 60_000 + l.rng.Int64N(20_000)
	end := l.end
	return &job.Record{
		JID: job.NewJID(0xbeef, 7), PID: int32(1000 + l.n%4_000_000), Start: end - life, End: end, Exited: true, Forked: true, Used: true,
		Exe: "/usr/bin/storm",
		Usage: watch.Usage{
			Groups: watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch, Comm: "storm", PPID: 900,
			BTime: (end - life) / 1e9, Elapsed: (life - 3000 - l.rng.Int64N(2000)) / 1000 * 1000, CPU: cpu, Flags: 1, Threads: 1,
			MinFault: 30 + l.rng.Int64N(2), MaxRSS: (300 + l.rng.Int64N(3)) << 12, MaxVM: 2 << 20, InvSwitch: l.rng.Int64N(2),
		},
	}
}

func ranAt(rng *rand.Rand, r *job.Record) int64 {
	return r.Start + min(120_000+int64(rng.ExpFloat64()*200_000), (r.End-r.Start)/2)
}

func path(comm string) string {
	switch comm {
	case "compile", "asm", "cgo", "link":
		return "/usr/local/go/pkg/tool/linux_amd64/" + comm
	case "go":
		return "/usr/local/go/bin/go"
	case "cc1", "collect2":
		return "/usr/lib/gcc/x86_64-linux-gnu/12/" + comm
	case "gcc", "as", "ld":
		return fmt.Sprintf("/usr/bin/x86_64-linux-gnu-%s-12", comm)
	case "build.sh":
		return "/usr/bin/bash"
	case "awk":
		return "/usr/bin/mawk"
	case "python3":
		return "/usr/bin/python3.11"
	}
	return "/usr/bin/" + comm
}
