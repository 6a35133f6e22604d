package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is what a reader sees of a series: its type, and its labels in the order of the alphabet.
type shown struct{ Type, Labels string }

// The page has a row for each series of the golden file, with its type and labels, and no other.
func TestDocs(t *testing.T) {
	if d := cmp.Diff(inGolden(t), inDocs(t)); d != "" {
		t.Errorf("docs/metrics.md differs from %s (-golden +docs):\n%s", golden, d)
	}
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
				types[name] = shown{types[name].Type, strings.Join(labels, " ")}
			}
		}
	}
	return types
}

func inDocs(t *testing.T) map[string]shown {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]shown)
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
		if cells[4] == "" || cells[5] == "" {
			t.Errorf("%s has no meaning or no cardinality", name)
		}
		rows[name] = shown{cells[2], strings.Join(labels, " ")}
	}
	return rows
}
