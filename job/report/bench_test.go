package report

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// million is how many records go through a report or a filter.
const million = 1_000_000

// load is records as the books give them: by their end, of 300 commands and 1,000 jobs.
func load(n int) ([]job.Record, []job.Info) {
	rnd := rand.New(rand.NewPCG(1, 2))
	jobs := make([]job.Info, 1000)
	for i := range jobs {
		jobs[i] = job.Info{JID: job.JID(i + 1), User: fmt.Sprintf("user%02d", i%50), UID: uint32(1000 + i%50), Service: "sshd", Command: "bash",
			Started: noon, Tags: map[string]string{"project": fmt.Sprintf("p%d", i%20)}}
	}
	recs := make([]job.Record, n)
	for i := range recs {
		end := noon.UnixNano() + int64(i)*int64(100*time.Millisecond)
		cpu := rnd.Int64N(1e9)
		recs[i] = job.Record{JID: jobs[rnd.IntN(len(jobs))].JID, PID: int32(i % 32768), Start: end - 2*cpu, End: end, Exited: true, Used: true}
		recs[i].Usage = watch.Usage{
			Groups: allGroups, Comm: fmt.Sprintf("command%03d", rnd.IntN(300)), UID: uint32(1000 + rnd.IntN(50)), GID: uint32(100 + rnd.IntN(9)),
			Elapsed: 2 * cpu, CPU: cpu, User: cpu / 2, System: cpu / 3, MaxRSS: rnd.Int64N(1 << 30), CoreMem: cpu / 1000, ReadBytes: 4096, WriteBytes: 512,
		}
	}
	return recs, jobs
}

// cycle is how many of the records there are, so that they fit into memory that is not the benchmark's subject.
const cycle = 1 << 16

// BenchmarkSheetMillion adds up 1,000,000 records.
func BenchmarkSheetMillion(b *testing.B) {
	recs, jobs := load(cycle)
	billing := goldenWeights
	for _, by := range append([]string{"command, billed"}, everyBy...) {
		b.Run(by, func(b *testing.B) {
			opt := Options{Limit: 20}
			by := by
			if by == "command, billed" {
				by, opt.Billing = "command", &billing
			}
			b.ReportAllocs()
			for b.Loop() {
				s, err := New(by, opt)
				if err != nil {
					b.Fatal(err)
				}
				for i := range million {
					r := &recs[i%cycle]
					s.Record(r, &jobs[r.JID-1])
				}
				if rep := s.Report(); rep.Total.Processes != million {
					b.Fatal(rep.Total)
				}
			}
		})
	}
}

// BenchmarkFilterMillion has 1,000,000 records go through a filter.
func BenchmarkFilterMillion(b *testing.B) {
	recs, _ := load(cycle)
	for _, c := range []struct {
		name string
		f    Filter
	}{
		{"command", Filter{Command: "command.*7$"}},
		{"figures", Filter{MinCPU: 1, MinRSS: 1, MinIO: 1, Exit: "0", Since: noon, UID: ptr(uint32(1003))}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := compiled(b, c.f)
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for i := range million {
					if m.Record(&recs[i%cycle]) {
						n++
					}
				}
				if n == 0 {
					b.Fatal("none")
				}
			}
		})
	}
}

// BenchmarkTopMillion takes the 20 largest of 1,000,000 records.
func BenchmarkTopMillion(b *testing.B) {
	recs, _ := load(cycle)
	order, err := RecordOrder("cpu")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		top := NewTop(20, order)
		for i := range million {
			top.Add(&recs[i%cycle])
		}
		if len(top.List()) != 20 {
			b.Fatal("not 20")
		}
	}
}

// TestSheetsDoNotAllocate: what a record adds to a line that is there costs no memory.
func TestSheetsDoNotAllocate(t *testing.T) {
	recs, jobs := load(1000)
	for _, by := range everyBy {
		s := sheet(t, by, Options{Billing: &goldenWeights})
		enter := func() {
			for i := range recs {
				s.Record(&recs[i], &jobs[recs[i].JID-1])
			}
		}
		enter()
		if n := testing.AllocsPerRun(5, enter); n != 0 {
			t.Errorf("by %s: %v allocations for 1000 records", by, n)
		}
	}
}
