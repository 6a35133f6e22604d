package main

import (
	"cmp"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/report"
)

// leastGraph is the columns that bars need to say anything.
const leastGraph = 8

// graphed reports whether a report is over time, so that bars show how it went.
func graphed(by string) bool { return by == "day" || by == "hour" }

// writeGraph prints the table of a report by day or by hour, with a bar for the CPU time of each line, as long as the
// terminal allows. A line with … stands for days or hours in which nothing was used.
func writeGraph(w io.Writer, t *table, r report.Report, width int) error {
	var b strings.Builder
	widths := t.fit(width)
	used := len(widths) - 1
	for _, n := range widths {
		used += n
	}
	room := width - used - 2
	most := int64(0)
	for _, l := range r.Lines {
		most = max(most, l.CPU)
	}
	blocks := unicodeLocale(os.Getenv)
	t.line(&b, t.titles(), widths, width)
	for i, row := range t.rows {
		if i > 0 && i < len(r.Lines) && !adjacent(r.By, r.Lines[i-1].Key, r.Lines[i].Key) {
			b.WriteString(skipped(blocks) + "\n")
		}
		var line strings.Builder
		t.line(&line, row, widths, width)
		text := strings.TrimSuffix(line.String(), "\n")
		if i < len(r.Lines) && room >= leastGraph {
			text += strings.Repeat(" ", used-cells(text)+2) + bar(r.Lines[i].CPU, most, room, blocks)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func skipped(blocks bool) string {
	if blocks {
		return "…"
	}
	return "..."
}

// adjacent reports whether nothing lies between two days, or two hours. What is no time is taken for one after the other.
func adjacent(by, before, after string) bool {
	form, step := time.DateOnly, day
	if by == "hour" {
		form, step = "2006-01-02T15", time.Hour
	}
	a, err := time.Parse(form, before)
	b, err2 := time.Parse(form, after)
	return err != nil || err2 != nil || b.Sub(a) <= step
}

// bar is n of most in width columns; what is more than nothing is seen.
func bar(n, most int64, width int, blocks bool) string {
	if n <= 0 || most <= 0 {
		return ""
	}
	if !blocks {
		return strings.Repeat("#", max(int(float64(n)/float64(most)*float64(width)), 1))
	}
	eighths := max(int(float64(n)/float64(most)*float64(width)*8), 1)
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return text
}

// unicodeLocale reports whether the terminal shows block characters, as far as the locale says: locale(7). Where none is
// set they are taken to be fine, as the lines of a tree are.
func unicodeLocale(env func(string) string) bool {
	locale := strings.ToLower(cmp.Or(env("LC_ALL"), env("LC_CTYPE"), env("LANG")))
	return locale == "" || strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}
