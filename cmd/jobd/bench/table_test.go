package bench

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"text/tabwriter"
)

// row is one line of the table.
type row struct {
	what     string
	measured string
	beside   string // what it is compared with
	ratio    string // median of the pairs' ratios
	target   string
	ok       verdict
}

// verdict is whether a target was met; empty where there is none.
type verdict string

const (
	yes verdict = "yes"
	no  verdict = "NO"
)

func met(b bool) verdict {
	if b {
		return yes
	}
	return no
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// legend stands below the table.
const legend = "figures: median (lower to upper quartile) of the runs; ratio: the same of the ratios of runs made in pairs"

func (t *table) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(tw, "what\t measured\t beside\t ratio\t target\t ok?")
	for _, r := range t.rows {
		fmt.Fprintln(tw, strings.Join([]string{r.what, r.measured, r.beside, r.ratio, r.target, string(r.ok)}, "\t "))
	}
	tw.Flush()
	fmt.Fprintln(w, legend)
}

func TestTableLinesUp(t *testing.T) {
	var tab table
	tab.add(row{what: "a", measured: "1 µs", target: "≤ 2", ok: met(true)})
	tab.add(row{what: "longer than that", beside: "x", ok: met(false)})
	var out strings.Builder
	tab.print(&out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want heading, two rows and legend:\n%s", len(lines), out.String())
	}
	column := func(s string) int { return len([]rune(s[:strings.LastIndex(s, "|")])) }
	if a, b := column(lines[1]), column(lines[2]); a != b {
		t.Errorf("the last column begins at %d and at %d:\n%s", a, b, out.String())
	}
}
