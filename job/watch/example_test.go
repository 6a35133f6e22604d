package watch_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/jobd-project/jobd/job/watch"
)

// two are the processes that there are.
func two() iter.Seq[watch.ID] {
	return slices.Values([]watch.ID{{PID: 1, Gen: 1}, {PID: 10, Gen: 1}})
}

// say prints an event.
func say(e *watch.Event) error {
	fmt.Println(e.Kind, e.Proc.PID, e.Value)
	return nil
}

// A watcher is one line, for any event, or for all of them.
func Example() {
	table := watch.Table{Existing: two}
	for _, w := range []watch.Watcher{
		{Name: "existing", Init: say},
		{Name: "forks", Clone: say},
		{Name: "execs", Exec: say},
		{Name: "ids", UID: say, GID: say},
		{Name: "exits", Exit: say}, // of each thread
		{Name: "ends", Free: say},  // of the whole process
		{Name: "use", Used: say},
		{Name: "gaps", Lost: say},
		{Name: "refusals", Refuse: say},
	} {
		if err := table.Register(w); err != nil {
			fmt.Println(err)
		}
	}
	const exit3 = 3 << 8 // wait(2)
	child := watch.ID{PID: 11, Gen: 1}
	for _, e := range []watch.Event{
		{Kind: watch.Clone, Proc: child, TID: 11, Parent: watch.ID{PID: 10, Gen: 1}, Value: 17, Valid: true}, // SIGCHLD, the clone flags of fork
		{Kind: watch.Exec, Proc: child, TID: 11},
		{Kind: watch.UID, Proc: child, TID: 11, Value: 1000, Valid: true, Real: 1000},
		{Kind: watch.Exit, Proc: child, TID: 11, Value: exit3, Valid: true},
		{Kind: watch.Free, Proc: child, TID: 11, Value: exit3, Valid: true},
	} {
		if err := table.Dispatch(&e); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// init 1 0
	// init 10 0
	// clone 11 17
	// exec 11 0
	// uid 11 1000
	// exit 11 768
	// free 11 768
}

// A watcher that refuses: whoever dispatches kills the child, or has killed it.
func ExampleTable_Dispatch_refuse() {
	var table watch.Table
	children := 0
	atMost := func(most int) watch.Func {
		return func(e *watch.Event) error {
			if children++; children > most {
				return fmt.Errorf("more than %d: %w", most, watch.ErrRefuse)
			}
			return nil
		}
	}
	_ = table.Register(watch.Watcher{Name: "two", Owner: "example", Clone: atMost(2)})
	_ = table.Register(watch.Watcher{Name: "after", Clone: say}) // is told of those that are refused, too
	for pid := int32(11); pid <= 13; pid++ {
		if err := table.Dispatch(&watch.Event{Kind: watch.Clone, Proc: watch.ID{PID: pid, Gen: 1}, TID: pid}); errors.Is(err, watch.ErrRefuse) {
			fmt.Println("kill", pid, "because", err)
		}
	}
	// Output:
	// clone 11 0
	// clone 12 0
	// clone 13 0
	// kill 13 because more than 2: refused
}

// An Init that fails takes the registration back: Free is called for those whose Init did not fail.
func ExampleTable_Register_failing() {
	table := watch.Table{Existing: two}
	err := table.Register(watch.Watcher{
		Name: "picky",
		Init: func(e *watch.Event) error {
			if e.Proc.PID == 10 {
				return errors.New("not this one")
			}
			return nil
		},
		Free: func(e *watch.Event) error { fmt.Println("free", e.Proc.PID); return nil },
	})
	fmt.Println(err)
	fmt.Println(len(table.Watchers()), "watchers")
	// Output:
	// free 1
	// cannot register "picky": init of process 10: not this one
	// 0 watchers
}
