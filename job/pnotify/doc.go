// Package pnotify keeps a list of subscribers for each process, with data of their own, as pnotify (before: PAGG) did
// in the kernel. It stands on package watch: one watcher there serves every subscriber here.
//
// # How to use it
//
// Whoever wants to be told registers an Events: a name, and a function for each moment that they care about. Nil
// means not interested; Fork is required.
//
//	events := &pnotify.Events{Name: "test_module", Fork: attach, Exec: executes, Exit: detach}
//	err := table.Register(events)
//
// With an Init, it is subscribed to every process there is, and Init is called for each. Without, it is told of
// nobody until Subscribe puts it on a process's list. From then on it is told of that process and, by itself, of
// those that descend from it: a child gets its parent's list, and then each subscriber's Fork says whether it stays
// on it (Keep), does not (NoSub), or whether the child must not live (Refuse). When the process is gone, each
// subscriber's Exit is called and the list is dropped.
//
// What a subscriber keeps for a process is its Subscriber's Data: set it in Init, in Fork or with Subscribe; Get
// finds it by process and name. What it keeps for itself is the Events' Data.
//
// The table counts: for each subscriber, Init + Subscribed + Attached = Detached + Processes (Counts). The threads of
// a process share its list, and are told of as one. A process that nobody subscribed to costs one look-up.
//
// # What a callback may do
//
// Subscribe, unsubscribe, register and unregister, its own name too: who has been taken off a list is not called from
// it any more. A child that a Fork refused lives until whoever dispatches has killed it, and keeps its list until it
// is gone, so that nothing that it does or forks meanwhile is missed.
//
// A callback that panics has its subscriber taken out: none of its callbacks is called again, its Exit neither, since
// nobody knows what state it is in; the others go on, no fork is refused for it, and watch.Table.Panics counts it.
// One that never returns holds up everybody, as it would in package watch.
//
// # What is locked
//
// Nothing. Where the original had a semaphore for each list and the task's reference count, a Table belongs to one
// loop, as the watch.Table below it does: inside the loop nothing changes but by one's own hand, and a process is
// gone when its Exit was called. follow.Runner is such a loop, and lets other goroutines in. The package is pure, and
// never touches a process: refusing one is carried out by whoever dispatches the events.
package pnotify
