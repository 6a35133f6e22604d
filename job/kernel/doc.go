// Package kernel is the Linux edge: it turns what the kernel sends into events, and what is to be done into system
// calls.
//
// There are two engines. A Connector listens to the proc connector and to taskstats' exit records, keeps a table of
// every process (lineage.go) with the label that each has inherited, and emits watch.Events. Where a fork event
// cannot say whose child it tells of (ambiguity.go), a witness that the kernel itself lets be inherited decides: the
// cgroup, the audit session (witness.go, sentinel.go). After a loss it compares the table with /proc (scan.go).
//
// A BPF (bpf.go) is told by programs in the kernel (package label), which carry the labels themselves: its table is
// of members only (bpfevents.go), a copy of what the kernel has (bpfrecover.go), and everybody else is a stranger
// (strangers.go). What both have is in engine.go and the methods of that type.
//
// # How to open an engine, and drive it
//
// Both take root in the initial pid and user namespace (InitialNamespaces; ErrNotInitial). A Connector needs
// CAP_NET_ADMIN, CONFIG_PROC_EVENTS (ErrNoConnector) and CONFIG_TASKSTATS (ErrNoTaskstats), and tells of all
// processes:
//
//	engine, err := kernel.OpenConnector(kernel.Proc, &kernel.Cgroups{}, slog.Default(), kernel.KeepExecs(kernel.ExecOff))
//
// An empty Cgroups is one that asks no cgroup; FindCgroups finds those that there are. A BPF needs CAP_BPF and a
// kernel that label.Follow takes, and tells of those that have a label:
//
//	labels, err := label.Follow("/sys/fs/bpf/mine", key) // what is kept there goes on until label.Unload
//	engine, err := kernel.OpenBPF(kernel.Proc, &kernel.Cgroups{}, slog.Default(), labels, kernel.KeepExecs(kernel.ExecOff))
//	_, err = engine.Recover(nil) // once, before anything else
//	engine.Testify(7, job.Placement{}, nil) // 7 is a label from now on
//
// Then one goroutine calls Rest, waits for Ready, looks at Err, and calls Drain, with a function that takes each
// event; usually the Dispatch of a watch.Table, whose Existing and Alive are the engine's. Before it acts on what it
// knows it drains once more: then everything has been emitted that the kernel had told before, unless Behind says
// otherwise. Identify gives a process by pid, Attach a label, which what it forks inherits. Package follow is all of
// that in a loop: whoever only wants to be told needs no more.
//
// A Clone that is answered with watch.ErrRefuse has the child killed, through a pidfd, and emits a Refuse. Any other
// error of a watcher is logged, and changes nothing. What the kernel had no room for is counted (Counts), emitted as
// a Lost, and made good by comparing the table with /proc, or with the kernel's labels: what is found so is Inferred.
//
// Whose child is told of: a Connector's fork event names real_parent, which is not who called clone(CLONE_PARENT).
// Where that matters, Attach: forks around those that have a label are settled by their witnesses. A BPF names the
// caller.
//
// # What is locked
//
// Nothing that a caller sees: but for Rouse, Settle, Survey and Charges, an engine belongs to one goroutine at a
// time, and so do what Drain emits and what it is emitted to. FS and Cgroups look at nothing of the engine's: any
// goroutine may use them. Within, what is heard by other threads (sentinel, programs, readiness) has locks of its
// own. An emit that does not return holds up the engine; the kernel queues as far as there is room: 64 MiB for each
// of the Connector's sockets, label.Room for a BPF.
//
// # What it never does
//
// The package never decides what a job is or what is kept of it. It never signals anything but through a pidfd, and
// nothing but a child that was refused, unless it is asked to. It never moves a process that somebody else has
// placed.
//
// # How it is made
//
// Each facility is in three pieces: open and read (socket.go, listen.go: needs root), decode (cnproc.go,
// taskstats.go, procfs.go: pure), and translate to an event (translate.go: pure but for the witness). Constants name
// their C header.
package kernel
