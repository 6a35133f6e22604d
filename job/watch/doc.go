// Package watch is Task Watchers: one ordered list of watchers for each event in a task's life, for the whole system.
// It is the ground that pnotify stands on.
//
// Whoever wants to know registers a Watcher, in one line:
//
//	table.Register(watch.Watcher{Name: "audit", Exec: logExec})
//
// and is called for each event in the order of registration. A nil Func means not interested. The moments of a life
// are told in this order: Clone, then Exec, UID and GID as they happen, Exit for each task, Free when the whole
// process is gone. Init is not told by the kernel: it is called at registration, for each process that exists then.
//
// # Where events come from
//
// Not from here: whoever has events calls Dispatch. Package follow opens an engine (package kernel), owns a Table,
// and does that; a test makes its own events, as the examples do. Times, ids and the like are in the Event, which
// says of each value whether it is known: watchers need neither a clock nor a look at /proc.
//
// # What a watcher may do
//
// A Clone watcher that returns ErrRefuse says that the new process must not live. The kernel has made it by then:
// whoever dispatches kills it (package kernel), and it may have run until then. Any other error is counted, and
// returned to whoever dispatches; it stops no later watcher. An error of an Init takes the registration back.
//
// A watcher may register and unregister others, and itself: lists never change while an event goes along them, so
// that counts from the next event on. One that panics is taken out: none of its functions is called again, the others
// go on, and Panics counts it. The error of that dispatch is a *Panic, which refuses nobody. One that never returns
// holds up everybody, the engine's queue fills, and what there is no room for is lost, and told as Lost: whatever may
// take long belongs in a goroutine of the watcher's own, with a copy of what it needs of the event, which is valid
// only during the call.
//
// # What is locked
//
// Nothing: lists are replaced, not changed, so there is no lock on the way. The package is pure. It never reads a
// socket, a file or a clock, never starts a goroutine, never touches a process, and is not safe for use from several
// goroutines at once: one loop owns a Table. follow.Runner is such a loop, and lets other goroutines in.
package watch
