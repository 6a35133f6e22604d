package metrics

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "rewrite testdata")

const golden = "testdata/metrics.golden"

// full is a snapshot in which everything is known, so that each series is there.
func full() Snapshot {
	return Snapshot{
		Version: "1.2.3", Cgroup: "own", Witnesses: []string{"cgroup", "audit"},
		Jobs: map[job.State]int{job.Open: 3, job.Lingering: 1},
		Users: []User{
			{Name: "alice", Jobs: 3, Processes: 17, CPU: new(3600.5), ReadBytes: new(4096.0), WriteBytes: new(0.0)},
			{Name: "bob", Jobs: 1, Processes: 1, CPU: new(0.02)},
			{Name: `CORP\carol`, CPU: new(1.0), ReadBytes: new(1.0), WriteBytes: new(2.0)},
		},
		Balance: &job.Balance{Attached: 5, Inherited: 120, Adopted: 2, Departed: 109, Live: 18},
		Drained: new(bool),
		Engine: &Engine{
			Name:   "connector",
			Events: map[watch.Kind]uint64{watch.Clone: 500, watch.Exec: 300, watch.UID: 7, watch.GID: 7, watch.Exit: 480, watch.Free: 470, watch.Lost: 1, watch.Used: 465, watch.Refuse: 4, watch.Init: 200},
			Lost:   12, Unwitnessed: 1, Resyncs: 1, Refused: 4, RecordsMissed: 3, RecordsUntold: 2, RecordsDue: 5, ExecsUnread: 6, Unlabelled: 7, DegradedSince: time.Unix(1_750_000_000, 0),
		},
		Taskstats: &Taskstats{Seen: 480, Missed: 3, Unmatched: 360},
		Store: &Store{
			Commits: 40, Queued: 2, Dropped: 1, Errors: 1, Bytes: new(int64(65536)), QueuedJobs: 3, DroppedJobs: 4, Free: new(int64(1 << 30)), Floor: new(int64(1 << 28)),
			KeepRecords: 90 * 24 * time.Hour, KeepJobs: 400 * 24 * time.Hour, Commit: &Histogram{Bounds: []float64{0.01, 1}, Counts: []uint64{39, 1, 0}, Sum: 0.5},
			LastCommit: time.Unix(1_750_000_100, 500_000_000),
		},
		Journal: new(int64(2048)),
		Logins: &Logins{
			Answered: map[string]uint64{"new": 5, "mark": 2},
			Refused:  map[string]uint64{"denied": 1, "busy": 0},
			Latency:  &Histogram{Bounds: []float64{0.001, 0.01, 0.1}, Counts: []uint64{6, 1, 0, 1}, Sum: 0.75},
		},
		Requests: []Request{{"jobs.list", "ok", 12}, {"jobs.kill", "denied", 1}},
		Sockets:  []Socket{{"connector", new(int64(0)), new(uint64(0))}, {"taskstats", new(int64(212992)), new(uint64(3))}},
		Watching: &Watching{Streams: 2, Subscriptions: 1}, Audit: &Audit{Sent: 12, Dropped: 1},
	}
}

func constant(s Snapshot) *Collector {
	return New(func() (Snapshot, error) { return s, nil }, Options{})
}

// expose gives what a scrape of c alone would see, from a registry that checks everything.
func expose(t testing.TB, c *Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	return scrape(t, promhttp.HandlerFor(r, promhttp.HandlerOpts{}), http.StatusOK)
}

func scrape(t testing.TB, h http.Handler, want int) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != want {
		t.Fatalf("status %d, want %d:\n%s", w.Code, want, w.Body)
	}
	return w.Body.String()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestGolden(t *testing.T) {
	got := expose(t, constant(full()))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("exposition differs from %s (-want +got; go test ./metrics -update rewrites it):\n%s", golden, d)
	}
	for _, s := range all() {
		if !strings.Contains(got, "# TYPE "+s.name+" ") {
			t.Errorf("%s is not in the golden file: full() leaves it out", s.name)
		}
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(constant(full()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNamesAndLabels(t *testing.T) {
	never := regexp.MustCompile(`^(pid|tgid|tid|jid|seq|command|comm|exe)$`)
	for _, s := range all() {
		if !strings.HasPrefix(s.name, "jobd_") {
			t.Errorf("%s does not start with jobd_", s.name)
		}
		for _, l := range s.labels {
			if never.MatchString(l) {
				t.Errorf("%s has the unbounded label %q", s.name, l)
			}
		}
	}
}

// What is unknown is left out: an empty snapshot has nothing to say but that it could be had.
func TestEmpty(t *testing.T) {
	got := samples(expose(t, constant(Snapshot{})))
	if d := cmp.Diff(map[string]string{"jobd_metrics_failures_total": "0"}, got); d != "" {
		t.Errorf("series of an empty snapshot (-want +got):\n%s", d)
	}
}

func TestUnknownParts(t *testing.T) {
	s := Snapshot{
		Jobs:   map[job.State]int{},
		Users:  []User{{Name: "alice"}},
		Engine: &Engine{Name: "bpf", Events: map[watch.Kind]uint64{watch.Clone: 1}},
		Store:  &Store{},
		Logins: &Logins{},
		Sockets: []Socket{
			{Name: "connector", Drops: new(uint64(1))},
			{Name: "taskstats"},
		},
	}
	want := map[string]string{
		`jobd_info{cgroup="",engine="bpf",version=""}`: "1",
		`jobd_jobs{state="lingering"}`:                 "0", `jobd_jobs{state="open"}`: "0",
		`jobd_user_jobs{user="alice"}`: "0", `jobd_user_processes{user="alice"}`: "0", "jobd_users_folded": "0",
		`jobd_events_total{event="clone"}`: "1", "jobd_events_lost_total": "0", "jobd_unwitnessed_total": "0",
		"jobd_resyncs_total": "0", "jobd_refused_total": "0", "jobd_degraded": "0",
		"jobd_records_missed_total": "0", "jobd_records_untold_total": "0", "jobd_records_due": "0", "jobd_execs_unread_total": "0", "jobd_unlabelled_total": "0",
		"jobd_store_queued_jobs": "0", "jobd_store_dropped_jobs_total": "0",
		"jobd_store_commits_total": "0", "jobd_store_queued_records": "0", "jobd_store_dropped_records_total": "0",
		"jobd_store_errors_total": "0", "jobd_store_halted": "0", `jobd_socket_drops_total{socket="connector"}`: "1",
		"jobd_metrics_failures_total": "0",
	}
	if d := cmp.Diff(want, samples(expose(t, constant(s)))); d != "" {
		t.Errorf("series (-want +got):\n%s", d)
	}
}

func TestBalanceErrorCanBeNegative(t *testing.T) {
	got := samples(expose(t, constant(Snapshot{Balance: &job.Balance{Attached: 1, Live: 3}})))
	if got["jobd_balance_error"] != "-2" {
		t.Errorf("jobd_balance_error %s, want -2", got["jobd_balance_error"])
	}
}

func TestBadHistogram(t *testing.T) {
	for name, h := range map[string]*Histogram{
		"counts short": {Bounds: []float64{1}, Counts: []uint64{1}},
		"descending":   {Bounds: []float64{2, 1}, Counts: []uint64{1, 1, 1}},
		"twice":        {Bounds: []float64{1, 1}, Counts: []uint64{1, 1, 1}},
		"no counts":    {},
	} {
		got := samples(expose(t, constant(Snapshot{Logins: &Logins{Latency: h}})))
		if d := cmp.Diff(map[string]string{"jobd_metrics_failures_total": "1"}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// A snapshot that cannot be had fails the scrape; the next one says that it happened.
func TestFailureIsCounted(t *testing.T) {
	for name, fail := range map[string]func() error{
		"panic": func() error { panic(errors.New("the loop is gone")) },
		"error": func() error { return errors.New("the loop is gone") },
	} {
		t.Run(name, func(t *testing.T) { failOnce(t, fail) })
	}
}

func failOnce(t *testing.T, fail func() error) {
	broken := true
	c := New(func() (Snapshot, error) {
		if broken {
			return Snapshot{}, fail()
		}
		return Snapshot{}, nil
	}, Options{})
	var log strings.Builder
	h := Handler(c, slog.New(slog.NewTextHandler(&log, nil)))
	if body := scrape(t, h, http.StatusInternalServerError); !strings.Contains(body, "the loop is gone") || strings.Contains(body, "goroutine") {
		t.Errorf("answer is not the one sentence: %s", body)
	}
	if !strings.Contains(log.String(), "cannot serve metrics") {
		t.Errorf("not logged: %s", log.String())
	}
	broken = false
	body := scrape(t, h, http.StatusOK)
	for _, want := range []string{"jobd_metrics_failures_total 1\n", "promhttp_metric_handler_errors_total{cause=\"gathering\"} 1\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in the next scrape", want)
		}
	}
}

func TestHandlerHasRuntimeProcessAndBuild(t *testing.T) {
	body := scrape(t, Handler(constant(full()), quiet()), http.StatusOK)
	for _, name := range []string{"go_goroutines", "go_build_info", "process_resident_memory_bytes", "jobd_jobs"} {
		if !strings.Contains(body, "\n# TYPE "+name+" ") {
			t.Errorf("%s is missing", name)
		}
	}
}

// samples takes an exposition apart: series to value.
func samples(text string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			out[line[:i]] = line[i+1:]
		}
	}
	return out
}
