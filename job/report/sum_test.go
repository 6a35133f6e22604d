package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// TestSumsAreAsGoodAsRecords: what the books keep in sum gives the same report as each record.
func TestSumsAreAsGoodAsRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		one, other := sheet(t, "command", Options{}), sheet(t, "command", Options{})
		sums := make(map[string]*job.Sum)
		for range rapid.IntRange(0, 30).Draw(rt, "records") {
			r := anyUse(rt, rapid.Int64Range(0, 1<<40))
			one.Record(r, nil)
			comm := r.Usage.Comm
			if !r.Used {
				comm = ""
			}
			if sums[comm] == nil {
				sums[comm] = new(job.Sum)
			}
			sums[comm].Add(r)
		}
		for comm, s := range sums {
			other.Sum(comm, s)
		}
		if d := cmp.Diff(one.Report(), other.Report()); d != "" {
			rt.Fatalf("-records +sums:\n%s", d)
		}
	})
}
