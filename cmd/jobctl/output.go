package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/jobd-project/jobd/job"
)

// column is one column of a table. Where a line would be too long, those with a floor are made narrower, the widest
// first, down to it.
type column struct {
	title string
	right bool // numbers stand at the right
	floor int
}

// table is rows of cells that are fit for a terminal already (see plain).
type table struct {
	columns []column
	rows    [][]string
	notes   map[int][]string // lines below a row
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// note puts a line below the row that was added last.
func (t *table) note(line string) {
	if t.notes == nil {
		t.notes = make(map[int][]string)
	}
	last := len(t.rows) - 1
	t.notes[last] = append(t.notes[last], line)
}

// write prints the table; no line is wider than width.
func (t *table) write(w io.Writer, width int) error {
	widths := t.fit(width)
	var b strings.Builder
	if titles := t.titles(); titles != nil {
		t.line(&b, titles, widths, width)
	}
	for i, row := range t.rows {
		t.line(&b, row, widths, width)
		for _, note := range t.notes[i] {
			b.WriteString(shorten("  "+note, width) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// titles is nil for a table without a header.
func (t *table) titles() []string {
	var titles []string
	for _, c := range t.columns {
		if c.title == "" {
			return nil
		}
		titles = append(titles, c.title)
	}
	return titles
}

// fit gives each column what it needs, and then takes away what there is too much.
func (t *table) fit(width int) []int {
	widths := make([]int, len(t.columns))
	total := len(t.columns) - 1
	for i, c := range t.columns {
		widths[i] = cells(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], cells(row[i]))
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		i := t.widest(widths)
		if i < 0 {
			break
		}
		widths[i]--
	}
	return widths
}

func (t *table) widest(widths []int) int {
	found := -1
	for i, c := range t.columns {
		if c.floor > 0 && widths[i] > c.floor && (found < 0 || widths[i] > widths[found]) {
			found = i
		}
	}
	return found
}

func (t *table) line(b *strings.Builder, row []string, widths []int, width int) {
	var line strings.Builder
	for i, c := range t.columns {
		text := shorten(row[i], widths[i])
		pad := strings.Repeat(" ", widths[i]-cells(text))
		if i > 0 {
			line.WriteByte(' ')
		}
		if c.right {
			line.WriteString(pad + text)
		} else {
			line.WriteString(text + pad)
		}
	}
	b.WriteString(shorten(strings.TrimRight(line.String(), " "), width))
	b.WriteByte('\n')
}

// facts are what is known of one thing, a name and a value a line. Nothing of a value is lost: a long one goes on below.
type facts struct {
	names  []string
	values []string
}

func (f *facts) add(name, value string) {
	f.names = append(f.names, name)
	f.values = append(f.values, value)
}

func (f *facts) write(w io.Writer, width int) error {
	indent := 0
	for _, name := range f.names {
		indent = max(indent, cells(name)+2)
	}
	var b strings.Builder
	for i, name := range f.names {
		for _, line := range fold(f.values[i], width-indent) {
			line = name + strings.Repeat(" ", indent-cells(name)) + line
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			name = ""
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeJSON prints a value as the contract names it, whole and indented.
func writeJSON(w io.Writer, v any) error {
	b, err := marshal(v, "")
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// marshal writes a value as JSON that is fit for a terminal: what plain would show as \u202e is escaped like that here too,
// which is the same text to whoever reads JSON.
func marshal(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return escaped(b.Bytes()), nil
}

// escaped escapes what json leaves as it is: DEL, and beyond ASCII what is not to be printed.
func escaped(b []byte) []byte {
	if bytes.IndexFunc(b, func(r rune) bool { return r > '~' && hostile(r) }) < 0 {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) { // valid UTF-8: json has seen to that
		switch {
		case r <= '~' || !hostile(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}

// array keeps an empty list from becoming null.
func array[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// unjobbed is a process in no job: its JID is null, not 0.
type unjobbed struct {
	job.Process
	JID *job.JID `json:"jid"`
	Seq *uint32  `json:"seq"`
}

// processArray is processes as the contract names them.
func processArray(list []job.Process) []any {
	out := make([]any, len(list))
	for i, p := range list {
		out[i] = named(p)
	}
	return out
}

func named(p job.Process) any {
	if p.JID == 0 {
		return unjobbed{Process: p}
	}
	return p
}

// arrayWriter prints a JSON array while it comes, as writeJSON prints it whole.
type arrayWriter struct {
	out *bufio.Writer
	any bool
}

func (a *arrayWriter) add(v any) error {
	b, err := marshal(v, "  ")
	if err != nil {
		return err
	}
	sep := "[\n  "
	if a.any {
		sep = ",\n  "
	}
	a.any = true
	_, err = a.out.WriteString(sep + strings.TrimSuffix(string(b), "\n"))
	return err
}

func (a *arrayWriter) end() error {
	text := "\n]\n"
	if !a.any {
		text = "[]\n"
	}
	_, _ = a.out.WriteString(text) // Flush tells
	return a.out.Flush()
}
