package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// readMetrics gives the samples of one scrape.
func readMetrics(ctx context.Context, address string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s, %v: %s", resp.Status, err, text)
	}
	out := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if series += "}"; !ok {
			series, value, ok = strings.Cut(strings.TrimSpace(line), " ")
		}
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if out[series], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	return out, nil
}

// scraper scrapes without a pause, and holds the counters of users to not falling.
type scraper struct {
	stop func()

	mu      sync.Mutex
	last    map[string]float64
	scrapes int
	fell    []string
}

func newScraper(t *testing.T, h *host) *scraper {
	ctx, cancel := context.WithCancel(t.Context())
	s := &scraper{last: make(map[string]float64)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if now, err := readMetrics(ctx, h.metrics); err == nil { // else jobd is not there
				s.take(now)
			}
		}
	})
	s.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(s.stop)
	return s
}

func (s *scraper) take(now map[string]float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scrapes++
	for series, v := range now {
		if !strings.HasPrefix(series, "jobd_user_") || !strings.Contains(series, "_total") {
			continue
		}
		if v < s.last[series] {
			s.fell = append(s.fell, fmt.Sprintf("scrape %d: %s fell from %v to %v", s.scrapes, series, s.last[series], v))
		}
		s.last[series] = v
	}
	for series := range s.last {
		if _, ok := now[series]; !ok {
			s.fell = append(s.fell, fmt.Sprintf("scrape %d: %s is gone", s.scrapes, series))
		}
	}
}

func (s *scraper) now() (last map[string]float64, scrapes int, fell []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.last), s.scrapes, s.fell
}

// Whoever ends, and however jobd ends, what Prometheus was told of a user's use is never taken back; and in the end it is what the
// books have.
func TestCountersNeverFall(t *testing.T) {
	h := plainHost(t)
	h.mayLose = true
	h.start()
	w := h.newWorld(map[string]string{"svc": plainStack})
	s := newScraper(t, h)
	work := fmt.Sprintf("dd if=/dev/zero of=$HOME/file bs=4096 count=%d 2>/dev/null; %s burn %%d; %s storm 30", 200, built.lab, built.lab)
	var logins []*login
	for i := range 12 {
		for _, user := range []string{"alice", "bob"} {
			home := "HOME=" + w.dir + "/home/" + user
			logins = append(logins, w.loginEnv([]string{home}, "svc", user, nil, "sh", "-c", fmt.Sprintf(work, 50+rand.IntN(300))))
		}
		time.Sleep(rand.N(400 * time.Millisecond)) // anything will do: it is the moment that is to be any
		h.stop([]unix.Signal{unix.SIGKILL, unix.SIGKILL, unix.SIGTERM}[i%3])
		h.start()
	}
	for _, l := range logins {
		l.wait()
	}
	until(t, "all jobs to have ended", func() bool {
		open, err := h.client.List(h.soon(), control.Request{})
		return err == nil && len(open) == 0
	})
	used := h.usedInBooks(t)
	until(t, "the counters to be what the books have", func() bool {
		last, _, _ := s.now()
		return reached(last, used)
	})
	last, scrapes, fell := s.now()
	if len(fell) > 0 {
		t.Errorf("%d times:\n%s", len(fell), strings.Join(fell[:min(len(fell), 10)], "\n"))
	}
	for series, v := range used {
		if far := math.Abs(last[series] - v); far > 0.05*v+0.01 { // a live process may have been read ahead of its record
			t.Errorf("%s is %v, the books have %v", series, last[series], v)
		}
	}
	t.Logf("%d scrapes, %v", scrapes, last)
}

func reached(last, used map[string]float64) bool {
	for series, v := range used {
		if last[series] < v-1e-6 {
			return false
		}
	}
	return len(used) > 0
}

// usedInBooks adds up the jobs that have ended, as the series of their users.
func (h *host) usedInBooks(t *testing.T) map[string]float64 {
	t.Helper()
	jobs, err := h.client.History(h.soon(), control.Request{})
	must(t, err)
	used := make(map[string]float64)
	add := func(name, user string, n *int64, unit float64) {
		if n != nil {
			used[fmt.Sprintf("jobd_user_%s_total{user=%q}", name, user)] += float64(*n) / unit
		}
	}
	for _, in := range jobs {
		add("cpu_seconds", in.User, in.CPU, 1e9)
		add("read_bytes", in.User, in.ReadBytes, 1)
		add("write_bytes", in.User, in.WriteBytes, 1)
	}
	return used
}

// Who is forgotten with a job open is told of anew, by what that job uses: nothing falls after that, with a restart between, and what the
// others used is counted once.
func TestForgetWithOpenJob(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	burn := func(ms int) { w.login("svc", "alice", nil, built.lab, "burn", itoa(ms)).wait() }
	burn(300)
	jid, _ := w.leaves("open", "alice", built.lab+" daemon", 1)
	series := `jobd_user_cpu_seconds_total{user="alice"}`
	scrape := func() float64 {
		t.Helper()
		now, err := readMetrics(h.soon(), h.metrics)
		must(t, err)
		for name := range now {
			if strings.Contains(name, `"forgotten"`) {
				t.Errorf("%s is said: it counts twice what was somebody's", name)
			}
		}
		return now[series]
	}
	until(t, "the job that has ended to be told of", func() bool { return scrape() >= 0.3 })
	_, err := h.client.Forget(h.soon(), control.Request{User: "alice"})
	must(t, err)
	before := 0.0
	until(t, "the open one to be told of", func() bool { before = scrape(); return before > 0 })
	if before >= 0.3 {
		t.Errorf("%v s are said of somebody who was forgotten", before)
	}
	h.stop(unix.SIGKILL)
	h.start()
	if after := scrape(); after < before {
		t.Errorf("it fell from %v to %v", before, after)
	}
	_, err = h.client.Kill(h.soon(), control.Request{Job: ref(jid), Now: true})
	must(t, err)
	_, err = h.client.Forget(h.soon(), control.Request{UID: new(uint32(aliceUID))})
	must(t, err)
	scrape()
}
