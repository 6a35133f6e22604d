// Package kernel is the Linux edge: it turns what the kernel sends into events, and what is to be done into system calls.
//
// There are two engines. A Connector listens to the proc connector and to taskstats' exit records, keeps a table of every process
// (lineage.go) with the label that each has inherited, and emits watch.Events. Where a fork event cannot say whose child it
// tells of (ambiguity.go), a witness that the kernel itself lets be inherited decides: the cgroup, the audit session
// (witness.go, sentinel.go). After a loss it compares the table with /proc (scan.go).
//
// A BPF (bpf.go) is told by programs in the kernel (package label), which carry the labels themselves: its table is of members only
// (bpfevents.go), a copy of what the kernel has (bpfrecover.go), and everybody else is a stranger (strangers.go). What both have is
// in engine.go and the methods of that type.
//
// Each facility is in three pieces: open and read (socket.go, listen.go: needs root), decode (cnproc.go, taskstats.go,
// procfs.go: pure), and translate to an event (translate.go: pure but for the witness). Constants name their C header.
//
// The package never decides what a job is or what is kept of it, and never signals anything but through a pidfd. But for
// FS, Cgroups, Survey and Charges, which look at nothing of the engine's, it belongs to one loop.
package kernel
