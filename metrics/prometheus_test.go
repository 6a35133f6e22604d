package metrics

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// binary finds a program of Debian's package prometheus. Where the integration tests are wanted, they are not skipped.
func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("JOBD_INTEGRATION") == "1":
		t.Fatalf("%s is not installed (apt install prometheus), and JOBD_INTEGRATION=1 wants this test", name)
	}
	t.Skipf("%s is not installed (apt install prometheus)", name)
	return ""
}

// everything is a snapshot with each series, and with the names that make trouble.
func everything() Snapshot {
	s := full()
	s.Users = append(s.Users, hostileUsers()...)
	return s
}

func TestIntegrationPromtool(t *testing.T) {
	promtool := binary(t, "promtool")
	for name, s := range map[string]Snapshot{"full": full(), "hostile": everything(), "empty": {}} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(expose(t, constant(s)))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: promtool check metrics: %v\n%s", name, err, out)
		}
	}
}

func TestIntegrationPrometheus(t *testing.T) {
	prometheus := binary(t, "prometheus")
	target := httptest.NewServer(Handler(constant(everything()), quiet()))
	defer target.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	base := startPrometheus(ctx, t, prometheus, target.Listener.Addr().String())

	for query, want := range map[string]string{
		`jobd_jobs{state="open"}`:      "3",
		`jobd_jobs{state="lingering"}`: "1",
		"up":                           "1",
		`jobd_user_cpu_seconds_total{user="alice"}`:         "3600.5",
		`jobd_events_total{event="clone"}`:                  "500",
		`jobd_login_duration_seconds_bucket{le="+Inf"}`:     "8",
		`jobd_user_jobs{user="\ufffd"}`:                     "6",
		`sum(jobd_user_jobs)`:                               fmt.Sprint(4 + len(hostile())),
		`count(count by (user) (jobd_user_jobs))`:           fmt.Sprint(strings.Count(expose(t, constant(everything())), "\njobd_user_jobs{")),
		`count({__name__=~"jobd_.+",job="jobd"}) > bool 50`: "1",
	} {
		await(ctx, t, base, query, want)
	}
}

// startPrometheus runs a Prometheus of our own that scrapes target, and gives its address. It ends with the test.
func startPrometheus(ctx context.Context, t *testing.T, path, target string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs:\n- job_name: jobd\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  static_configs:\n  - targets: [%q]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It took a free port, and says which.
	found, done := make(chan string, 1), make(chan string, 1)
	go func() {
		address, log := regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:[0-9]+)`), new(strings.Builder)
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			fmt.Fprintln(log, sc.Text())
			if m := address.FindStringSubmatch(sc.Text()); m != nil {
				found <- "http://" + m[1]
			}
		}
		done <- log.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		log := <-done // its stderr is read to the end before Wait closes it
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", log)
		}
	})
	select {
	case base := <-found:
		return base
	case log := <-done:
		done <- log
		t.Fatal("prometheus has ended")
	case <-ctx.Done():
		t.Fatal("prometheus does not listen")
	}
	return ""
}

// await asks until the query has the value that is wanted, which takes a scrape or two.
func await(ctx context.Context, t *testing.T, base, query, want string) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := instantQuery(ctx, base, query)
		if err == nil && got == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s is %q in Prometheus, want %q (%v)", query, got, want, err)
		case <-again.C:
		}
	}
}

// instantQuery gives the value of a query with one result.
func instantQuery(ctx context.Context, base, query string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.Status != "success" || len(answer.Data.Result) != 1 {
		return "", fmt.Errorf("status %s %s, %d results", answer.Status, answer.Error, len(answer.Data.Result))
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}
