package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// dashboard is what matters here of Grafana's model.
type dashboard struct {
	UID        string
	Templating struct{ List []struct{ Name, Type string } }
	Panels     []struct {
		ID                       int
		Type, Title, Description string
		Datasource               struct{ UID string }
		GridPos                  struct{ H, W, X, Y int }
		Targets                  []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	}
}

// The dashboard is one that Grafana can take: numbers, places, data sources; and it looks at series that there are. That they have data is
// tried beside a real jobd (cmd/jobd/e2e).
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboards/jobd.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var names, rows []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name+" "+v.Type)
	}
	if got := strings.Join(names, ", "); d.UID != "jobd" || got != "datasource datasource, host query" {
		t.Errorf("uid %q, variables %s", d.UID, got)
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the number %d", p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" || at[0] >= 24 {
					t.Fatalf("%q lies over %q, or beside the page", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %d, %q, lacks a title, a description, a query or the data source", p.ID, p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" || !strings.Contains(q.Expr, `instance=~"$host"`) {
				t.Errorf("%q does not ask the data source for the host: %s", p.Title, q.Expr)
			}
			for _, name := range unknownSeries(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(q.Expr, `""`)) {
				t.Errorf("%q looks at %s, which there is not", p.Title, name)
			}
		}
	}
	if got := strings.Join(rows, ", "); got != "Jobs, Users, Events and loss, jobd itself" {
		t.Errorf("rows: %s", got)
	}
}
