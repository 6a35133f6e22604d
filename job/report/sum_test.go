package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// TestSumsAreAsGoodAsRecords: what the books keep in sum gives the same report as each record.
func TestSumsAreAsGoodAsRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		one, other := sheet(t, "command", Options{}), sheet(t, "command", Options{})
		sums := make(map[string]*job.Sum)
		for range rapid.IntRange(0, 30).Draw(rt, "records") {
			r := anyUse(rt, rapid.Int64Range(0, 1<<40))
			r.Usage.Groups = rapid.SampledFrom([]watch.Group{allGroups, allGroups &^ watch.GroupDelay, allGroups &^ watch.GroupIO, watch.GroupCPU}).Draw(rt, "groups")
			r.Used = rapid.IntRange(0, 4).Draw(rt, "unused") > 0
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

// TestTakesSums: what is billed, or not by command, needs each record.
func TestTakesSums(t *testing.T) {
	for _, tt := range []struct {
		by   string
		opt  Options
		want bool
	}{{"command", Options{}, true}, {"command", Options{Billing: &goldenWeights}, false}, {"user", Options{}, false}, {"day", Options{}, false}} {
		if got := sheet(t, tt.by, tt.opt).TakesSums(); got != tt.want {
			t.Errorf("by %s, %+v: %v", tt.by, tt.opt.Billing, got)
		}
	}
}
