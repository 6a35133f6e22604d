package report_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/job/watch"
)

var day = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

const known = watch.GroupBasic | watch.GroupCPU | watch.GroupMemory | watch.GroupIO

// A process that lives over midnight leaves a partial record there, so that what it used counts on the day on which it did.
func ExampleSheet() {
	alice := &job.Info{JID: 17, User: "alice", UID: 1000, Ended: ptr(day.Add(25 * time.Hour)), CPUUnattributed: ptr(int64(500e6))}
	by := func(by string) {
		sheet, err := report.New(by, report.Options{From: day, To: day.AddDate(0, 0, 2)})
		if err != nil {
			panic(err)
		}
		midnight, start := day.AddDate(0, 0, 1), day.Add(12*time.Hour).UnixNano()
		first := watch.Usage{Groups: known, Comm: "make", CPU: 40e9, Elapsed: int64(12 * time.Hour)}
		whole := watch.Usage{Groups: known, Comm: "make", CPU: 42e9}
		sheet.Record(&job.Record{JID: 17, Start: start, End: midnight.UnixNano(), Used: true, Usage: first, Partial: true}, alice)
		sheet.Record(&job.Record{JID: 17, Start: start, End: alice.Ended.UnixNano(), Used: true, Usage: whole, Earlier: &first}, alice)
		sheet.Job(alice, 0)
		rep := sheet.Report()
		for _, l := range append(rep.Lines, rep.Total) {
			fmt.Printf("%-18s %d jobs %d processes %6s CPU in %s\n", l.Key, l.Jobs, l.Processes, time.Duration(l.CPU), time.Duration(l.Wall))
		}
	}
	by("day")
	by("command")
	// Output:
	// 2026-03-04         0 jobs 0 processes    40s CPU in 12h0m0s
	// 2026-03-05         1 jobs 1 processes   2.5s CPU in 1h0m0s
	// total              1 jobs 1 processes  42.5s CPU in 13h0m0s
	// make               0 jobs 1 processes    42s CPU in 13h0m0s
	// (unattributed CPU) 0 jobs 0 processes  500ms CPU in 0s
	// -                  1 jobs 0 processes     0s CPU in 0s
	// total              1 jobs 1 processes  42.5s CPU in 13h0m0s
}

// A second of CPU costs 1 unit in prime time and a quarter of that else; the test queue is free.
func ExampleBilling() {
	const config = `
		prime_hours = "07:30-17:30"
		prime_days = "Mon-Fri"
		holidays = ["2026-04-03", "12-25"]
		[prime]
		basic = 1.0
		time = 1.0
		utime = 1.0
		stime = 1.0
		[nonprime]
		basic = 0.25
		time = 1.0
		utime = 1.0
		stime = 1.0
		[[factor]]
		tag = "queue=test"
		factor = 0.0`
	var b report.Billing
	if _, err := toml.Decode(config, &b); err != nil {
		panic(err)
	}
	pricer, err := b.Compile(time.UTC)
	if err != nil {
		panic(err)
	}
	in := &job.Info{Tags: map[string]string{"queue": "long"}}
	r := &job.Record{Used: true, Usage: watch.Usage{Groups: known, CPU: 100e9, User: 90e9, System: 10e9}}
	for _, hour := range []time.Duration{9, 16, 20} {
		r.Start = day.Add(hour * time.Hour).UnixNano()
		r.End = r.Start + int64(3*time.Hour)
		fmt.Println(pricer.Units(r, in), "units from", int(hour), "o'clock")
	}
	fmt.Println(pricer.Units(r, &job.Info{Tags: map[string]string{"queue": "test"}}), "in the test queue")
	// Output:
	// 100 units from 9 o'clock
	// 62.5 units from 16 o'clock
	// 25 units from 20 o'clock
	// 0 in the test queue
}

func ExampleTree() {
	list := []job.Process{
		{PID: 12, PPID: ptr(int32(11)), Comm: "cc1", Started: ptr(day.Add(2)), Ended: ptr(day.Add(3))},
		{PID: 12, PPID: ptr(int32(11)), Comm: "ld", Started: ptr(day.Add(5)), Ended: ptr(day.Add(6))},
		{PID: 11, PPID: ptr(int32(10)), Comm: "make", Started: ptr(day.Add(1)), Ended: ptr(day.Add(9))},
	}
	for _, n := range report.Tree(list) {
		fmt.Println(strings.Repeat("  ", n.Depth) + string(list[n.Process].Comm))
	}
	// Output:
	// make
	//   cc1
	//   ld
}

func ExampleFilter() {
	m, err := report.Filter{Command: "^(cc1|ld)$", RHost: "131.169.0.0/16", Exit: "!0"}.Compile()
	if err != nil {
		panic(err)
	}
	in := &job.Info{RHost: "::ffff:131.169.4.7"}
	r := &job.Record{Used: true, Usage: watch.Usage{Comm: "cc1"}, Exited: true, Status: 9}
	fmt.Println(m.JobOf(in), m.Record(r))
	_, err = report.Filter{RHost: "131.169"}.Compile()
	fmt.Println(err)
	// Output:
	// true true
	// cannot use "131.169" for the remote host: an address (192.0.2.1), a network (192.0.2.0/24), or a name
}

func ptr[T any](v T) *T { return &v }
