package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job/control"
)

// asked is what Prometheus has for a query.
type asked struct {
	Status, Error string
	Data          struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
}

func askPrometheus(t *testing.T, address, path string) (a asked) {
	t.Helper()
	resp, err := http.Get("http://" + address + "/api/v1/" + path)
	if err != nil {
		return a
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, json.Unmarshal(text, &a))
	return a
}

// data reports whether there is a number among what came.
func (a *asked) data() bool {
	for _, r := range a.Data.Result {
		if v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err == nil && v == v {
			return true
		}
	}
	return false
}

// queries are those of the dashboard, by the title of their panel, with the variables as Grafana would put them in.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dashboards, "jobd.json"))
	must(t, err)
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(text, &d))
	out := make(map[string][]string)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$host", ".*", "$__rate_interval", "10s").Replace(q.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable is left in %s", p.Title, expr)
			}
			out[p.Title] = append(out[p.Title], expr)
		}
	}
	return out
}

// Every query of the dashboard, asked of a real Prometheus that scrapes a real jobd under load, has data; every series in it is there;
// every rule for alerts can be judged; and no series is there more often than its page says.
func TestDashboard(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	address := h.prometheus(t, "")
	h.watch(t, control.Request{All: true}) // whoever listens is counted
	left, asks := queries(t), 0
	t.Cleanup(func() {
		if len(left) > 0 {
			t.Logf("no data for %v", left)
		}
	})
	untilWithin(t, "every query to have data", 3*patience, func() bool { // the load is made between looks
		for _, user := range []string{"alice", "bob"} {
			w.loginEnv([]string{"HOME=" + w.dir + "/home/" + user}, "svc", user, nil, "sh", "-c",
				"dd if=/dev/zero of=$HOME/file bs=4096 count=20 2>/dev/null; "+built.lab+" storm 50; "+built.lab+" burn 20").wait()
		}
		for title, exprs := range left {
			left[title] = slices.DeleteFunc(exprs, func(expr string) bool {
				asks++
				a := askPrometheus(t, address, "query?query="+url.QueryEscape(expr))
				if a.Status == "error" {
					t.Fatalf("%s: %s: %s", title, expr, a.Error)
				}
				return a.data()
			})
			if len(left[title]) == 0 {
				delete(left, title)
			}
		}
		return len(left) == 0
	})
	checkSeries(t, address)
	until(t, "every rule to be judged", func() bool {
		judged := 0
		for _, g := range askPrometheus(t, address, "rules").Data.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					t.Fatalf("rule %s: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					judged++
				}
			}
		}
		return judged >= 19
	})
	h.checkCardinality(t)
	t.Logf("asked %d times", asks)
}

// checkSeries asks for every series that the dashboard names.
func checkSeries(t *testing.T, address string) {
	t.Helper()
	name := regexp.MustCompile(`\b(jobd|process|go)_\w+`)
	for title, exprs := range queries(t) {
		for _, n := range name.FindAllString(strings.Join(exprs, " "), -1) {
			if a := askPrometheus(t, address, "query?query="+url.QueryEscape("count("+n+")")); !a.data() {
				t.Errorf("%s: Prometheus has no %s", title, n)
			}
		}
	}
}

// checkCardinality compares a scrape with docs/metrics.md.
func (h *host) checkCardinality(t *testing.T) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/metrics.md")
	must(t, err)
	now, err := readMetrics(h.soon(), h.metrics)
	must(t, err)
	n := make(map[string]int)
	for series := range now {
		name, _, _ := strings.Cut(series, "{")
		n[name]++
	}
	row := regexp.MustCompile("(?m)^\\| `(jobd_\\w+)` \\| (\\w+) .*\\| ([^|]+) \\|$")
	rows := row.FindAllStringSubmatch(string(page), -1)
	for _, m := range rows {
		name, kind, says := m[1], m[2], m[3]
		got := n[name]
		if kind == "histogram" {
			got = n[name+"_bucket"] + n[name+"_sum"] + n[name+"_count"]
		}
		most, err := strconv.Atoi(strings.ReplaceAll(strings.TrimPrefix(says, "up to "), ",", ""))
		exact := err == nil && !strings.HasPrefix(says, "up to ")
		if says == "0 or 1" {
			most = 1
		}
		if got > most || exact && got != most {
			t.Errorf("%s: %d series, the page says %s", name, got, says)
		}
	}
	if len(rows) < 50 {
		t.Errorf("%d rows found", len(rows))
	}
}
