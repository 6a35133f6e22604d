// Package logs is jobd's log: lines of text on standard error, or entries with fields where systemd's journal takes them. Whoever logs never
// waits: a goroutine of the log's own writes, from a queue that is bounded. What finds no room there, or cannot be written, is counted, and
// said as soon as that goes again. Of a burst of lines of one kind the first are written, and how many more there were.
//
// It knows of jobs no more than how their ids are written: host:seq, as people type them.
package logs
