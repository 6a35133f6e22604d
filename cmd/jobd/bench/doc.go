// Package bench measures jobd from outside: what it costs per process, what it costs a workload and a login, how long a
// scrape takes, how much memory many jobs need, how long jobd takes to start where there are many jobs, processes and records, how fast
// the books of a million processes are written and asked, and how much of the CPU of short processes who finds. `make bench` runs it
// and prints one table, and one of accuracy below it; nothing in it asserts a time.
//
// All of it is in test files, so that nothing is shipped. It needs root, cgroup v2 and a C compiler, takes about a quarter of an hour,
// and runs when the test binary is asked for the table:
//
//	go test -count 1 -v ./cmd/jobd/bench -args -bench-table [-only NAME] [-rounds 10] [-millions 10] [-jobd FILE]
//
// The names are process, strangers, ran, login, size, start, attach, lists, watching, books, sustained, accuracy and micro. GNU sa (Debian's package acct) is compared with
// where it is found.
//
// What is compared is measured in one run and in pairs, one right after the other, because a machine's speed drifts
// more than jobd costs. CPU is what the scheduler charged to a cgroup (cpu.stat), which misses nothing, unlike ticks.
//
// The exit code says whether the measuring worked and no event was lost, not whether a target was met: that is in the
// table.
package bench
