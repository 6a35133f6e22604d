package main

import (
	"fmt"
	"strconv"
	"time"
)

// none stands for what is unknown.
const none = "-"

const day = 24 * time.Hour

// size shows bytes for people: 512, 1.5K, 12M.
func size(n *int64) string {
	if n == nil {
		return none
	}
	if *n < 1024 {
		return strconv.FormatInt(*n, 10)
	}
	v, units := float64(*n)/1024, "KMGTPE"
	for v >= 1023.5 && len(units) > 1 {
		v, units = v/1024, units[1:]
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f%c", v, units[0])
	}
	return fmt.Sprintf("%.0f%c", v, units[0])
}

// span shows nanoseconds for people: 0.4ms, 12ms, 3.2s, 42s, 3m02s, 5h07m, 12d03h. What is cut off is dropped, so that
// no figure is larger than what was used.
func span(ns *int64) string {
	if ns == nil {
		return none
	}
	return spanOf(time.Duration(*ns))
}

func spanOf(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Millisecond:
		return tenths(max(d, 100*time.Microsecond), time.Millisecond) + "ms"
	case d < time.Second:
		return strconv.FormatInt(int64(d/time.Millisecond), 10) + "ms"
	case d < 10*time.Second:
		return tenths(d, time.Second) + "s"
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

func tenths(d, unit time.Duration) string {
	n := d / (unit / 10)
	return fmt.Sprintf("%d.%d", n/10, n%10)
}

// about is span with a ~ before a figure that jobd marks as estimated.
func about(ns *int64, estimated bool) string {
	if ns == nil || !estimated {
		return span(ns)
	}
	return "~" + span(ns)
}

// clock shows a time in few columns: 09:12 today, Nov 20 this year, else 2024-11-20.
func clock(t, now time.Time) string {
	if t.IsZero() {
		return none
	}
	t = t.In(now.Location())
	switch {
	case sameDay(t, now):
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("Jan _2")
	}
	return t.Format("2006-01-02")
}

// moment is clock with the time of day where there is room for it.
func moment(t, now time.Time) string {
	if t.IsZero() {
		return none
	}
	t = t.In(now.Location())
	switch {
	case sameDay(t, now):
		return t.Format("15:04:05")
	case t.Year() == now.Year():
		return t.Format("Jan _2 15:04")
	}
	return t.Format("2006-01-02")
}

func momentOr(t *time.Time, now time.Time) string {
	if t == nil {
		return none
	}
	return moment(*t, now)
}

// fullTime leaves nothing out but the fraction.
func fullTime(t, now time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.In(now.Location()).Format("2006-01-02 15:04:05 -0700")
}

func sameDay(a, b time.Time) bool {
	return a.Year() == b.Year() && a.YearDay() == b.YearDay()
}

// count is a number with its noun: 1 process, 4 processes.
func count[N int | int32 | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// number shows what may be unknown.
func number[N int | int8 | int32 | uint32 | int64 | uint64](n *N) string {
	if n == nil {
		return none
	}
	return fmt.Sprint(*n)
}
