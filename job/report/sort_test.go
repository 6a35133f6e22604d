package report

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

func jids(list []job.Info) (out []uint32) {
	for _, in := range list {
		out = append(out, in.JID.Seq())
	}
	return out
}

func TestJobOrder(t *testing.T) {
	at := func(min int) time.Time { return noon.Add(time.Duration(min) * time.Minute) }
	list := []job.Info{
		{JID: 1, Started: at(0), Ended: ptr(at(50)), CPU: ptr(int64(3)), MaxRSS: ptr(int64(1)), ReadBytes: ptr(int64(9)), WriteBytes: ptr(int64(1)), TotalProcesses: 5},
		{JID: 2, Started: at(5), CPU: ptr(int64(1)), MaxRSS: ptr(int64(2)), ReadBytes: ptr(int64(99)), TotalProcesses: 1},
		{JID: 3, Started: at(2), Ended: ptr(at(60)), CPU: ptr(int64(3)), MaxRSS: ptr(int64(3)), ReadBytes: ptr(int64(1)), WriteBytes: ptr(int64(8)), TotalProcesses: 9},
		{JID: 4, Started: at(7), Ended: ptr(at(60))},
	}
	for by, want := range map[string][]uint32{
		"": {2, 4, 3, 1}, "ended": {2, 4, 3, 1}, "started": {4, 2, 3, 1}, "cpu": {3, 1, 2, 4}, "memory": {3, 2, 1, 4}, "io": {1, 3, 4, 2},
		"elapsed": {2, 3, 4, 1}, "processes": {3, 1, 2, 4},
	} {
		order, err := JobOrder(by, at(90))
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Clone(list)
		if Sort(got, order); !slices.Equal(jids(got), want) {
			t.Errorf("by %q: %v, want %v", by, jids(got), want)
		}
	}
	if _, err := JobOrder("size", noon); err == nil {
		t.Error("there is an order by size")
	}
}

func TestRecordOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.Custom(anyRecord), 0, 20, func(r job.Record) [3]int64 {
			return [3]int64{int64(r.JID), int64(r.PID), r.End}
		}).Draw(rt, "records")
		by := rapid.SampledFrom([]string{"", "ended", "started", "cpu", "memory", "io", "elapsed"}).Draw(rt, "by")
		records, err := RecordOrder(by)
		if err != nil {
			rt.Fatal(err)
		}
		Sort(list, records)
		for i := range list {
			for j := range list {
				if c := records(&list[i], &list[j]); (c < 0) != (i < j) || (c == 0) != (i == j) {
					rt.Fatalf("by %q the order is not total: %d and %d give %d", by, i, j, c)
				}
			}
		}
	})
}

func anyRecord(rt *rapid.T) job.Record {
	small := rapid.Int64Range(0, 3)
	r := job.Record{
		JID: job.JID(small.Draw(rt, "jid")), PID: int32(small.Draw(rt, "pid")), End: noon.UnixNano() + small.Draw(rt, "end"),
		Used: rapid.Bool().Draw(rt, "used"),
	}
	if rapid.Bool().Draw(rt, "started") {
		r.Start = noon.UnixNano() - small.Draw(rt, "elapsed")
	}
	r.Usage = watch.Usage{
		Groups: watch.Group(rapid.Uint16Range(0, 63).Draw(rt, "groups")), CPU: small.Draw(rt, "cpu"), MaxRSS: small.Draw(rt, "rss"),
		ReadBytes: small.Draw(rt, "read"), WriteBytes: small.Draw(rt, "write"),
	}
	return r
}

func TestUnknownOrders(t *testing.T) {
	if _, err := RecordOrder("processes"); err == nil {
		t.Error("records are ordered by processes")
	}
}

// TestTopAgainstSort: the first n of a stream are the first n of it sorted, at every moment.
func TestTopAgainstSort(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(rt, "n")
		stream := rapid.SliceOfN(rapid.IntRange(0, 20), 0, 40).Draw(rt, "stream")
		order := func(a, b *int) int { return *a - *b }
		top := NewTop(n, order)
		var all []int
		for _, v := range stream {
			all = append(all, v)
			slices.Sort(all)
			if n > 0 && len(all) > n {
				all = all[:n]
			}
			kept := top.Add(&v)
			if kept != nil && (kept == &v || *kept != v) {
				rt.Fatal("kept", *kept, "for", v)
			}
			if in := slices.Contains(all, v); kept != nil && !in {
				rt.Fatal(v, "was kept, and is none of the first")
			}
		}
		var got []int
		for _, v := range top.List() {
			got = append(got, *v)
		}
		if !slices.Equal(got, all) {
			rt.Fatalf("got %v, want %v", got, all)
		}
	})
}
