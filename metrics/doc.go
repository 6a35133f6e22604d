// Package metrics shows one snapshot of jobd to Prometheus.
//
// A Collector asks for a Snapshot once per scrape and turns it into constant metrics; Handler serves them over HTTP
// together with those of the Go runtime and of the process. docs/metrics.md describes each series, and a test holds the
// page to the code.
//
// The package never counts anything but its own failures, never reads the kernel, the table or the store, and never
// names a process or a job in a label. What is unknown is a series left out, never a 0.
//
// Counters of users do not go back, though users come and go, only so many of them are shown by name, and jobd is restarted:
//
//   - A value of a label that was shown once keeps its place. Free places go to the users with the most CPU; who finds
//     none is added up under "other", and stays there. So "other" only ever gains users, and nobody's past use moves
//     into or out of it.
//   - What was said of a user's use is not taken back. A figure that includes live processes can fall by a tick when one
//     of them exits (its exit record holds less than the scheduler had charged), and to Prometheus the smallest fall is
//     a restart from 0. The series then stands still until the truth has caught up.
//   - What is about to be said is given to Options.Keep first, and said when that has it. The next Collector goes on from
//     there (Options.Said).
package metrics
