package pnotify_test

import (
	"fmt"
	"iter"
	"slices"

	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// What an engine does: the processes that there are, and the moments of their lives.

func proc(pid int32) watch.ID { return watch.ID{PID: pid, Gen: 1} }

func three() iter.Seq[watch.ID] { return slices.Values([]watch.ID{proc(1), proc(2), proc(3)}) }

func tables(existing func() iter.Seq[watch.ID]) (*watch.Table, *pnotify.Table) {
	w := &watch.Table{Existing: existing}
	n, err := pnotify.New(w)
	check(err)
	return w, n
}

func fork(w *watch.Table, parent, child int32) error {
	return w.Dispatch(&watch.Event{Kind: watch.Clone, Proc: proc(child), TID: child, Parent: proc(parent)})
}

func happens(w *watch.Table, kind watch.Kind, pid int32) {
	check(w.Dispatch(&watch.Event{Kind: kind, Proc: proc(pid), TID: pid}))
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
	}
}

// The document's test module: what was attached, and what there was, is detached in the end.
func Example() {
	w, table := tables(three)
	var attach, detach, execs, inits int
	check(table.Register(&pnotify.Events{
		Name: "test_module",
		Init: func(s *pnotify.Subscriber) error {
			inits++
			if table.Get(s.Proc, "test_module") == nil {
				return fmt.Errorf("process %d is not subscribed to", s.Proc.PID)
			}
			return nil
		},
		Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { attach++; return pnotify.Keep },
		Exec: func(*pnotify.Subscriber, *watch.Event) { execs++ },
		Exit: func(*pnotify.Subscriber, *watch.Event) { detach++ },
	}))
	check(fork(w, 1, 10))
	happens(w, watch.Exec, 10)
	happens(w, watch.Free, 10)
	check(table.Unregister("test_module"))
	fmt.Printf("detach %d, attach %d, init %d, exec %d\n", detach, attach, inits, execs)
	fmt.Println("attach + init = detach:", attach+inits == detach)
	// Output:
	// detach 4, attach 1, init 3, exec 1
	// attach + init = detach: true
}

// The three answers of a fork callback.
func ExampleAnswer() {
	w, table := tables(nil)
	check(table.Register(&pnotify.Events{Name: "answers", Fork: func(child, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer {
		switch child.Proc.PID {
		case 11:
			return pnotify.Keep // PNOTIFY_OK
		case 12:
			return pnotify.NoSub // PNOTIFY_NOSUB
		default:
			return pnotify.Refuse // PNOTIFY_ERROR
		}
	}}))
	_, err := table.Subscribe(proc(10), "answers", nil)
	check(err)
	for pid := int32(11); pid <= 13; pid++ {
		err := fork(w, 10, pid)
		fmt.Printf("%d: subscribed %t, error %v\n", pid, table.Get(proc(pid), "answers") != nil, err)
	}
	// Output:
	// 11: subscribed true, error <nil>
	// 12: subscribed false, error <nil>
	// 13: subscribed true, error process 13: refused by answers
}

// What is kept for each process is fetched by process and name.
func ExampleTable_Get() {
	type widget struct{ id, depth int }
	w, table := tables(nil)
	check(table.Register(&pnotify.Events{
		Name: "widgets",
		Fork: func(child, parent *pnotify.Subscriber, _ *watch.Event) pnotify.Answer {
			above := parent.Data.(*widget)
			child.Data = &widget{above.id, above.depth + 1}
			return pnotify.Keep
		},
		Exit: func(s *pnotify.Subscriber, e *watch.Event) {
			fmt.Printf("process %d, gone: %t, had widget %d\n", s.Proc.PID, e != nil, s.Data.(*widget).id)
		},
	}))
	_, err := table.Subscribe(proc(10), "widgets", &widget{id: 7})
	check(err)
	check(fork(w, 10, 11))
	check(fork(w, 11, 12))
	if s := table.Get(proc(12), "widgets"); s != nil {
		fmt.Println(*s.Data.(*widget))
	}
	fmt.Println(table.Get(proc(99), "widgets") == nil)
	happens(w, watch.Free, 11)
	check(table.Unsubscribe(proc(12), "widgets"))
	fmt.Printf("%+v\n", table.Counts("widgets"))
	// Output:
	// {7 2}
	// true
	// process 11, gone: true, had widget 7
	// process 12, gone: false, had widget 7
	// {Init:0 Subscribed:1 Attached:2 Detached:2 Processes:1}
}

// An exec callback, of one process and its descendants: others' execs are not told.
func ExampleEvents_exec() {
	w, table := tables(nil)
	check(table.Register(&pnotify.Events{
		Name: "execs",
		Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Keep },
		Exec: func(s *pnotify.Subscriber, _ *watch.Event) { fmt.Println("exec hook fired for PID", s.Proc.PID) },
	}))
	_, err := table.Subscribe(proc(10), "execs", nil)
	check(err)
	check(fork(w, 10, 11))
	for _, pid := range []int32{10, 11, 12} {
		happens(w, watch.Exec, pid)
	}
	// Output:
	// exec hook fired for PID 10
	// exec hook fired for PID 11
}

// An Init over all processes that fails takes everything back.
func ExampleTable_Register() {
	_, table := tables(three)
	err := table.Register(&pnotify.Events{
		Name: "picky",
		Init: func(s *pnotify.Subscriber) error {
			if s.Proc.PID == 3 {
				return fmt.Errorf("not this one")
			}
			return nil
		},
		Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Keep },
	})
	fmt.Println(err)
	fmt.Println(table.Get(proc(1), "picky") == nil)
	fmt.Println(table.Register(&pnotify.Events{Name: "picky"}))
	// Output:
	// cannot register "picky": init of process 3: not this one
	// true
	// cannot register "picky": the fork callback is required
}
