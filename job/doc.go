// Package job is what a job is: a container of processes that nothing started in it can leave.
//
// A job has a point of entry (POE), the process for which it was made, and members. Its life:
//
//	Create ──> open ──POE gone, or its session closed──> lingering ──last member gone──> ended
//	             └───────────────last member gone───────────────────────────────────────^
//
// A Table is pnotify's first subscriber: a child is born into its parent's job, a process leaves when the last of its
// threads has exited, and the job ends with its last member. What members used is added up as they leave, once, and the
// balance (attached + inherited + adopted = departed + live) proves that none was counted twice or forgotten.
//
// The package is pure: events and commands go in, effects come out. It never opens a file or a socket, never reads a
// clock, starts no goroutine and takes no lock; one loop owns a Table and carries out the effects (see cmd/jobd). What a
// live process uses, who its witnesses are and how to reach it is known at the Linux edge (package kernel).
package job
