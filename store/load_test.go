package store

import (
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// day0 is when the tests' processes end.
var day0 = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func fields(v any) int { return reflect.TypeOf(v).NumField() }

// mixed makes the i-th record of a mixed load: shells and their short commands, a build's compilers, now and then a long
// process with much I/O, over 40 jobs of 20 users. What the kernel counts in ticks, pages and µs comes in those.
func mixed(rng *rand.Rand, i int) *job.Record {
	names := [...]string{"bash", "sh", "cc1", "as", "ld", "make", "grep", "sed", "cat", "ls", "git", "python3", "sshd", "sleep"}
	seq := 100 + uint32(rng.IntN(40))
	end := day0.UnixNano() + int64(i)*50_000 + rng.Int64N(40_000)
	wall := 500_000 + rng.Int64N(4_000_000)
	cpu := wall * (20 + rng.Int64N(70)) / 100
	if rng.IntN(20) == 0 {
		wall *= 1 + rng.Int64N(10_000)
		cpu = min(wall, cpu*200)
	}
	u := watch.Usage{
		Groups: watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO | watch.GroupSwitch,
		Comm:   names[rng.IntN(len(names))], UID: 1000 + seq%20, GID: 100, PPID: int32(2000 + seq*7),
		BTime: (end - wall) / 1e9, Elapsed: (wall - rng.Int64N(30_000)) / 1000 * 1000,
		CPU: cpu, User: cpu / 4_000_000 * 4_000_000, System: cpu / 3 / 4_000_000 * 4_000_000,
		MinFault: 90 + rng.Int64N(300), MaxRSS: (900 + rng.Int64N(3000)) * 4096, MaxVM: (2000 + rng.Int64N(200)) * 4096,
		ReadChars: 3000 + rng.Int64N(20_000), WriteChars: rng.Int64N(4000), ReadCalls: 5 + rng.Int64N(30), WriteCalls: rng.Int64N(10),
		VolSwitch: 1 + rng.Int64N(6), InvSwitch: rng.Int64N(4), Threads: 1,
	}
	u.CoreMem, u.VirtMem = u.MaxRSS/1048576*cpu/1000, u.MaxVM/1048576*cpu/1000
	if rng.IntN(10) == 0 {
		u.ReadBytes, u.WriteBytes, u.MajFault = rng.Int64N(100)*4096, rng.Int64N(50)*4096, rng.Int64N(5)
	}
	r := &job.Record{
		JID: job.NewJID(0xbeef, seq), PID: int32(10_000 + i%4_000_000), Start: end - wall, End: end,
		Exited: true, Forked: rng.IntN(6) == 0, Used: true, Usage: u,
	}
	if rng.IntN(8) == 0 {
		r.Status = int64(rng.IntN(3)) << 8
	}
	return r
}
