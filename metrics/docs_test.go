package metrics

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is what a reader sees of a series: its type, its labels in the order of the alphabet, and how many there can be.
type shown struct {
	Type, Labels string
	Most         int
}

// The page has a row for each series of the golden file, with its type, labels and cardinality, and no other.
func TestDocs(t *testing.T) {
	docs := make(map[string]shown)
	for name, row := range inDocs(t) {
		docs[name] = row.shown
	}
	if d := cmp.Diff(inGolden(t), docs); d != "" {
		t.Errorf("docs/metrics.md differs from %s (-golden +docs):\n%s", golden, d)
	}
}

// documented is a row of the page.
type documented struct {
	shown
	exact bool // it says so many, not up to so many
}

func inGolden(t *testing.T) map[string]shown {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]shown)
	name := ""
	label := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "#" && f[1] == "TYPE" {
			name = f[2]
			types[name] = shown{Type: f[3]}
		} else if f[0] != "#" {
			var labels []string
			for _, m := range label.FindAllStringSubmatch(line, -1) {
				if m[1] != "le" { // the buckets', which is not ours
					labels = append(labels, m[1])
				}
			}
			if len(labels) > 0 {
				types[name] = shown{Type: types[name].Type, Labels: strings.Join(labels, " ")}
			}
		}
	}
	for _, s := range all() {
		row := types[s.name]
		row.Most = s.most
		types[s.name] = row
	}
	return types
}

// number reads a cardinality: so many, none or one, or up to so many.
func number(t *testing.T, cell string) (most int, exact bool) {
	t.Helper()
	if cell == "0 or 1" {
		return 1, false
	}
	digits := strings.ReplaceAll(strings.TrimPrefix(cell, "up to "), ",", "")
	most, err := strconv.Atoi(digits)
	if err != nil {
		t.Errorf("cardinality %q is no number, nor \"0 or 1\", nor \"up to\" a number", cell)
	}
	return most, digits == cell
}

// What is said to be so many is so many when all is known, and nothing is ever more than the page has.
func TestCardinality(t *testing.T) {
	full, flooded := counted(expose(t, constant(full()))), counted(expose(t, constant(flood())))
	for name, row := range inDocs(t) {
		if row.exact && row.Type != "histogram" && full[name] != row.Most {
			t.Errorf("%s: %d series, the page says %d", name, full[name], row.Most)
		}
		if full[name] > row.Most || flooded[name] > row.Most {
			t.Errorf("%s: %d series, and %d in a flood; the page has up to %d", name, full[name], flooded[name], row.Most)
		}
		reached := !row.exact && row.Most >= few && !strings.Contains(row.Labels, " ") // by a flood of words for one label
		if reached && flooded[name] != row.Most {
			t.Errorf("%s: %d series in a flood; the page has up to %d", name, flooded[name], row.Most)
		}
	}
}

// flood is a snapshot with more words for each label than anybody has.
func flood() Snapshot {
	s := full()
	for i := range 1500 {
		word := "word" + strconv.Itoa(i)
		s.Users = append(s.Users, User{Name: word, CPU: new(1.0), ReadBytes: new(1.0), WriteBytes: new(1.0)})
		s.Witnesses = append(s.Witnesses, word)
		s.Requests = append(s.Requests, Request{word, word, 1})
		s.Sockets = append(s.Sockets, Socket{word, new(int64), new(uint64)})
		s.Logins.Refused[word] = 1
	}
	return s
}

func counted(text string) map[string]int {
	n := make(map[string]int)
	for series := range samples(text) {
		name, _, _ := strings.Cut(series, "{")
		n[name]++
	}
	return n
}

func inDocs(t *testing.T) map[string]documented {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]documented)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`jobd_") {
			continue
		}
		if len(cells) != 7 {
			t.Errorf("a row has %d cells, not series, type, labels, meaning and cardinality: %s", len(cells)-2, line)
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		name := strings.Trim(cells[1], "`")
		if _, twice := rows[name]; twice {
			t.Errorf("%s has two rows", name)
		}
		labels := strings.FieldsFunc(cells[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(labels)
		if cells[4] == "" {
			t.Errorf("%s has no meaning", name)
		}
		most, exact := number(t, cells[5])
		rows[name] = documented{shown{cells[2], strings.Join(labels, " "), most}, exact}
	}
	return rows
}
