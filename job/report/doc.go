// Package report says which jobs and process records are wanted, adds up what they used by who or what used it, and prices
// it. It is pure: jobs and records go in, lines come out; it never reads the books, a clock or a name service, and never
// starts a goroutine.
package report
