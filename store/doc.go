// Package store keeps the books on disk: the open jobs, the ended ones, and a record for every process that has left one.
//
// It is one bbolt file with one writer goroutine. PutJob, EndJob and PutRecord hand over and return: they never wait for
// the disk. What was handed over is committed together, about a second later at most, or when Flush asks for it. Reads
// see what is committed, in short read transactions beside the writer. Only Open, Reserve, Flush and Close wait for the
// disk. A Journal, in a file of its own, covers the second in which a job is not committed yet.
//
// The buckets (docs/records.md says what is in the values):
//
//	meta                   format, schema, hid, boot_id, created, next_seq, records_from, jobs_from
//	open                   JID -> job that is open
//	jobs                   JID -> end in Unix ns of a job that has ended
//	ended                  end in Unix ns, JID -> job that has ended
//	proc/YYYY-MM-DD/blocks end in Unix ns, number -> a bucket, in which the same key has the block: process records that ended
//	                       on that day (UTC)
//	moments                time in Unix ns, number -> mark of time
//	parts                  time in Unix ns, JID -> part of a job's use
//	dropped                number -> day that was dropped, being cleared
//
// Numbers in keys are 8 bytes, big endian, so that the order of keys is the order of numbers.
//
// What is too old is dropped in small steps while nothing else is to be written. Without room history halts, and goes on
// by itself; what that costs is a gap in the books. A file that is damaged is set aside for Repair.
//
// It never decides what a job is or when it ends, never changes a figure, never reads the clock for a record, and never
// changes a file that is not its own.
package store
