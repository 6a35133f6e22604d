package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// sample asks Prometheus for the one value of a query; ok is false while there is none.
func sample(t *testing.T, address, query string) (v float64, ok bool) {
	t.Helper()
	resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	var ans struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &ans); err != nil || len(ans.Data.Result) != 1 {
		return 0, false
	}
	v, err = strconv.ParseFloat(fmt.Sprint(ans.Data.Result[0].Value[1]), 64)
	must(t, err)
	return v, true
}

// dashboards is where the rules and the dashboard are.
const dashboards = "../../../metrics/dashboards"

// prometheus runs one that scrapes jobd each second until the test ends, and gives its address. more goes into its configuration.
func (h *host) prometheus(t *testing.T, more string) string {
	t.Helper()
	program, dir, address := needProgram(t, "prometheus"), t.TempDir(), freeAddress(t)
	rules, err := filepath.Abs(filepath.Join(dashboards, "alerts.yml"))
	must(t, err)
	config, log := filepath.Join(dir, "prometheus.yml"), &journal{}
	must(t, os.WriteFile(config, fmt.Appendf(nil,
		"rule_files: [%s]\nglobal: {evaluation_interval: 1s}\nscrape_configs:\n- job_name: jobd\n  scrape_interval: 1s\n  scrape_timeout: 1s%s\n"+
			"  static_configs:\n  - targets: [%q]\n", rules, more, h.metrics), 0o600))
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+address)
	cmd.Stderr, cmd.Env = log, []string{h.token}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", log)
		}
	})
	until(t, "Prometheus to be ready", func() bool { // until then it listens, and answers that it is not
		resp, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return address
}

// A real Prometheus scrapes jobd, and has the figures that jobd's own clients get.
func TestPrometheus(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	address := h.prometheus(t, "")
	out := w.labOut("out")
	l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "alice", nil, "sh", "-c", built.lab+" burn 400; exec "+built.lab+" stay")
	w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "bob", nil, built.lab, "stay")
	pidsIn(t, out, 2)
	until(t, "Prometheus to see two jobs", func() bool {
		v, ok := sample(t, address, `jobd_jobs{state="open"}`)
		return ok && v == 2
	})
	cpu := float64(*h.show(l.jid).CPU) / 1e9
	var got float64
	until(t, "Prometheus to see alice's CPU", func() bool {
		v, ok := sample(t, address, `jobd_user_cpu_seconds_total{user="alice"}`)
		got = v
		return ok && math.Abs(v-cpu) < 0.02*cpu
	})
	if v, ok := sample(t, address, "jobd_balance_error"); !ok || v != 0 {
		t.Errorf("jobd_balance_error %v, %v", v, ok)
	}
	if v, ok := sample(t, address, "up"); !ok || v != 1 {
		t.Errorf("up %v, %v", v, ok)
	}
	t.Logf("alice has used %.3f s, Prometheus has %.3f", cpu, got)
}
