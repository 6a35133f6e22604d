package metrics

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// counting gives snapshots that tell which one they are.
func counting() (*Collector, *atomic.Int64) {
	taken := new(atomic.Int64)
	return New(func() (Snapshot, error) {
		return Snapshot{Jobs: map[job.State]int{job.Open: int(taken.Add(1))}}, nil
	}, Options{}), taken
}

func TestOneSnapshotPerScrape(t *testing.T) {
	c, taken := counting()
	h := Handler(c, quiet())
	before := taken.Load() // registering takes none
	for want := int64(1); want <= 3; want++ {
		scrape(t, h, http.StatusOK)
		if got := taken.Load(); got != want {
			t.Fatalf("%d snapshots after scrape %d", got, want)
		}
	}
	if before != 0 {
		t.Errorf("%d snapshots before the first scrape", before)
	}
}

// stalled is a client who takes the header and then reads nothing until it is released.
type stalled struct {
	*httptest.ResponseRecorder
	writing chan struct{}
	release chan struct{}
	once    sync.Once
}

func (s *stalled) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.writing) })
	<-s.release
	return len(b), nil
}

// A client who does not read must not keep the others at its old snapshot.
func TestStalledClient(t *testing.T) {
	c, _ := counting()
	h := Handler(c, quiet())
	s := &stalled{ResponseRecorder: httptest.NewRecorder(), writing: make(chan struct{}), release: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { h.ServeHTTP(s, httptest.NewRequest(http.MethodGet, "/metrics", nil)) })
	defer wg.Wait()
	defer close(s.release)
	<-s.writing
	if body := scrape(t, h, http.StatusOK); !strings.Contains(body, `jobd_jobs{state="open"} 2`) {
		t.Errorf("a second scrape did not get a second snapshot")
	}
}

// Scrapes at the same time are limited, and no two of them take a snapshot at once.
func TestManyAtOnce(t *testing.T) {
	entered, release := make(chan struct{}, 3*maxScrapes), make(chan struct{})
	var inside atomic.Int64
	h := Handler(New(func() (Snapshot, error) {
		if inside.Add(1) > 1 {
			t.Error("two snapshots at once")
		}
		defer inside.Add(-1)
		entered <- struct{}{}
		<-release
		return Snapshot{}, nil
	}, Options{}), quiet())
	codes := make(chan int, 3*maxScrapes)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	get := func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
		codes <- w.Code
	}
	go get()
	<-entered
	for range cap(codes) - 1 {
		go get()
	}
	// All but maxScrapes are sent away while the others wait.
	for range cap(codes) - maxScrapes {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", code)
		}
	}
	close(release)
	for range maxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("status %d, want 200", code)
		}
	}
}

// Who goes away before the answer is there does not fill the log.
func TestWhoHangsUp(t *testing.T) {
	var log strings.Builder
	ctx, hangUp := context.WithCancel(t.Context())
	h := Handler(New(func() (Snapshot, error) { hangUp(); return Snapshot{}, nil }, Options{}), slog.New(slog.NewTextHandler(&log, nil)))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
	errorLog{slog.New(slog.NewTextHandler(&log, nil))}.Println("error encoding and sending metric family:", &net.OpError{Op: "write", Err: syscall.EPIPE})
	if log.Len() > 0 {
		t.Error(log.String())
	}
}
