package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteJSON writes the answer for programs.
func (a Answer) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(a)
}

// width is that of the least terminal.
const width = 80

// WriteText writes a table for people: what failed last, so that it stands nearest to the prompt.
func (a Answer) WriteText(w io.Writer) error {
	names := 0
	for _, f := range a.Findings {
		names = max(names, len(f.Name))
	}
	var b strings.Builder
	for _, f := range inOrder(a.Findings) {
		writeFinding(&b, f, names)
	}
	fmt.Fprintf(&b, "\n%s\n", a.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

func inOrder(list []Finding) []Finding {
	order := map[State]int{OK: 0, Skip: 1, Warn: 2, Fail: 3}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Finding) int { return order[a.State] - order[b.State] })
	return list
}

func writeFinding(b *strings.Builder, f Finding, names int) {
	indent := names + 7
	lead := fmt.Sprintf("%-5s %-*s ", f.State, names, f.Name)
	for _, text := range []string{f.Seen, f.Do} {
		if text == "" {
			continue
		}
		if text == f.Do {
			text = "-> " + text
		}
		for _, line := range fold(plain(text), width-indent) {
			b.WriteString(strings.TrimRight(lead+line, " ") + "\n")
			lead = strings.Repeat(" ", indent)
		}
	}
}

func (a Answer) summary() string {
	what := "all is well"
	switch {
	case a.Counts[Fail] > 0:
		what = "something is to be done"
	case a.Counts[Warn] > 0:
		what = "jobd works; some could be better"
	}
	return fmt.Sprintf("%s: %d ok, %d warn, %d fail, %d skip, in %s", what, a.Counts[OK], a.Counts[Warn], a.Counts[Fail], a.Counts[Skip],
		time.Duration(a.TookNS).Round(10*time.Millisecond))
}

// plain makes a text harmless to a terminal: PAM files and file names are whoever's.
func plain(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '\n':
			b.WriteString("; ") // of errors that were joined
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// fold breaks a text into lines of so many characters at most, at a space where there is one.
func fold(s string, most int) (lines []string) {
	for runes := []rune(s); ; {
		if len(runes) <= most {
			return append(lines, string(runes))
		}
		at := most
		for i := most; i > most/2; i-- {
			if runes[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(runes[:at]))
		runes = []rune(strings.TrimLeft(string(runes[at:]), " "))
	}
}
