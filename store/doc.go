// Package store keeps the books on disk: the open jobs, the ended ones, and a record for every process that has left one.
//
// It is one bbolt file with one writer goroutine. PutJob, EndJob and PutRecord hand over and return: they never wait for
// the disk. What was handed over is committed together, about a second later at most, or when Flush asks for it. Reads
// see what is committed, in short read transactions beside the writer. Only Open, Reserve, Flush and Close wait for the
// disk. A Journal, in a file of its own, covers the second in which a job is not committed yet.
//
// The buckets (docs/records.md says what is in the values):
//
//	meta                   format, schema, hid, boot_id, created, next_seq
//	open                   JID -> job that is open
//	jobs                   JID -> job that has ended
//	ended                  end in Unix ns, JID -> nothing: ended jobs by their end
//	proc/YYYY-MM-DD/blocks end in Unix ns, number -> block of process records that ended on that day (UTC)
//	proc/YYYY-MM-DD/jobs   JID, key of a block -> nothing: the blocks that hold a job's records
//
// Numbers in keys are 8 bytes, big endian, so that the order of keys is the order of numbers.
//
// It never decides what a job is or when it ends, never changes a figure, never reads the clock for a record, and never
// touches a file that is not its own: whatever cannot be opened is left as it is.
package store
