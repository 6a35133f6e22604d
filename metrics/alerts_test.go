package metrics

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v2"
)

const alertRules = "dashboards/alerts.yml"

type alertRule struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

func readAlerts(t *testing.T) (rules []alertRule) {
	t.Helper()
	text, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []alertRule }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// Each alert says what it means, leads to the page that says what to do, and looks at series that there are.
func TestAlerts(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var onPage, inRules []string
	for _, m := range regexp.MustCompile(`(?m)^### (Jobd\w+)$`).FindAllStringSubmatch(section, -1) {
		onPage = append(onPage, m[1])
	}
	for _, r := range readAlerts(t) {
		inRules = append(inRules, r.Alert)
		for _, key := range []string{"summary", "description", "runbook_url"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s has no %s", r.Alert, key)
			}
		}
		if want := "/docs/operations.md#" + strings.ToLower(r.Alert); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
			t.Errorf("%s leads to %s, not to %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s has severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range unknownSeries(r.Expr) {
			t.Errorf("%s looks at %s, which there is not", r.Alert, name)
		}
	}
	if d := cmp.Diff(inRules, onPage); d != "" {
		t.Errorf("the section Alerts of docs/operations.md has not the alerts of %s, in their order (-rules +page):\n%s", alertRules, d)
	}
}

// unknownSeries are the names in a query that no scrape has.
func unknownSeries(query string) (unknown []string) {
	known := map[string]bool{"jobd": true} // the job's name
	for _, s := range all() {
		known[s.name] = true
		if s.most == buckets {
			known[s.name+"_bucket"], known[s.name+"_sum"], known[s.name+"_count"] = true, true, true
		}
	}
	for _, name := range regexp.MustCompile(`\bjobd\w*`).FindAllString(query, -1) {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// alertCases has for each alert series with which it fires at a time, and series so close to that as they can be with which it does not.
// Series are as promtool has them, a value a minute: 1x9 is ten times 1, 0+5x9 goes up by 5, _ is none.
var alertCases = []struct {
	alert, at    string
	fires, quiet string
}{
	{"JobdDown", "8m", `up{job="jobd"} 1 1 0x9`, `up{job="jobd"} 1 1 0x3 1x9`},
	{"JobdAbsent", "12m", `up{job="other"} 1x20`, `up{job="jobd"} 0x20`},
	{"JobdRestarting", "20m", `process_start_time_seconds{job="jobd"} 1 2 3 4 5 5x20`, `process_start_time_seconds{job="jobd"} 1 2 3 4 4x20`},
	{"JobdDegraded", "8m", `jobd_degraded 1x10`, `jobd_degraded 1x3 0 1x5`},
	{"JobdBalanceError", "3m", `jobd_balance_error -1x5`, `jobd_balance_error 0x1 3 0x5`},
	{"JobdEventsLost", "12m", `jobd_events_lost_total 7x8 9x8`, `jobd_events_lost_total 7x20`},
	{"JobdUnwitnessed", "12m", `jobd_unwitnessed_total 0x8 1x8`, `jobd_unwitnessed_total 1x20`},
	{"JobdRecordsMissed", "12m", `jobd_records_missed_total 0x8 1x8`, `jobd_records_missed_total 3x20`},
	{"JobdStoreHalted", "2m", `jobd_store_halted 1x5`, `jobd_store_halted 0x5`},
	{"JobdDiskFilling", "15m", "jobd_store_free_bytes 500000000x20\njobd_store_floor_bytes 268435456x20",
		"jobd_store_free_bytes 600000000x20\njobd_store_floor_bytes 268435456x20"},
	{"JobdDiskFilling", "15m", "jobd_store_free_bytes 200000000x20\njobd_store_floor_bytes 0x20",
		"jobd_store_free_bytes 200000000x8 300000000x20\njobd_store_floor_bytes 0x20"},
	{"JobdStoreErrors", "12m", `jobd_store_errors_total 0x8 1x8`, `jobd_store_errors_total 3x20`},
	{"JobdStoreDropped", "12m", "jobd_store_dropped_records_total 0x8 1x8\njobd_store_dropped_jobs_total 0x20",
		"jobd_store_dropped_records_total 5x20\njobd_store_dropped_jobs_total 1x20"},
	{"JobdStoreDropped", "12m", "jobd_store_dropped_records_total 0x20\njobd_store_dropped_jobs_total 0x8 1x8",
		"jobd_store_dropped_records_total 0x20\njobd_store_dropped_jobs_total 0x20"},
	{"JobdStoreSlow", "35m", histogram("jobd_store_commit_duration_seconds", 80), histogram("jobd_store_commit_duration_seconds", 95)},
	{"JobdLoginsSlow", "35m", histogram("jobd_login_duration_seconds", 98), histogram("jobd_login_duration_seconds", 100)},
	{"JobdLoginsRefused", "12m", `jobd_logins_refused_total{code="internal"} 0+1x20`,
		"jobd_logins_refused_total{code=\"disabled\"} 0+9x20\njobd_logins_refused_total{code=\"no_process\"} 0+9x20\njobd_logins_refused_total{code=\"busy\"} 0x8 3x9"},
	{"JobdDrained", "250m", `jobd_drained 1x300`, `jobd_drained 1x200 0 1x100`},
	{"JobdAuditDropped", "12m", `jobd_audit_dropped_total 0x8 1x8`, `jobd_audit_dropped_total 3x20`},
	{"JobdJobsLinger", "13h", `jobd_jobs{state="lingering"} 1x800`,
		"jobd_jobs{state=\"lingering\"} 1x600 0 1x200\njobd_jobs{state=\"open\"} 5x800"},
	{"JobdUserOverThreshold", "60m", `jobd_user_cpu_seconds_total{user="alice"} 0+500x90`,
		"jobd_user_cpu_seconds_total{user=\"alice\"} 0+470x90\njobd_user_cpu_seconds_total{user=\"other\"} 0+9000x90\n" +
			"jobd_user_cpu_seconds_total 0+9000x90"},
}

// histogram is one of which so many of a hundred are done in good time, and the others take longer than anybody wants.
func histogram(name string, soon int) string {
	return fmt.Sprintf("%[1]s_bucket{le=\"0.1\"} 0+%[2]dx40\n%[1]s_bucket{le=\"0.5\"} 0+%[2]dx40\n%[1]s_bucket{le=\"1\"} 0+%[2]dx40\n"+
		"%[1]s_bucket{le=\"5\"} 0+100x40\n%[1]s_bucket{le=\"+Inf\"} 0+100x40", name, soon)
}

// Every alert fires when it should and does not when it need not, by Prometheus' own judgement.
func TestIntegrationAlerts(t *testing.T) {
	tool := binary(t, "promtool")
	rules, err := filepath.Abs(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	tried := make(map[string]bool)
	text := fmt.Sprintf("rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", rules)
	for _, c := range alertCases {
		tried[c.alert] = true
		text += ruleTest(c.alert, c.at, c.fires, 1) + ruleTest(c.alert, c.at, c.quiet, 0)
	}
	for _, r := range readAlerts(t) {
		if !tried[r.Alert] {
			t.Errorf("%s is not tried", r.Alert)
		}
	}
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, args := range [][]string{{"check", "rules", alertRules}, {"test", "rules", file}} {
		if out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// ruleTest is a test of promtool's: whether so many of an alert fire.
func ruleTest(alert, at, series string, want int) string {
	text := fmt.Sprintf("- interval: 1m\n  name: %s %d\n  input_series:\n", alert, want)
	for line := range strings.SplitSeq(series, "\n") {
		name, values, _ := strings.Cut(line, " ")
		text += fmt.Sprintf("  - {series: '%s', values: '%s'}\n", name, values)
	}
	return text + fmt.Sprintf("  promql_expr_test:\n  - expr: count(ALERTS{alertname=%q,alertstate=\"firing\"}) or vector(0)\n"+
		"    eval_time: %s\n    exp_samples: [{labels: '{}', value: %d}]\n", alert, at, want)
}
