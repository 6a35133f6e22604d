package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxScrapes    = 8 // at once
	scrapeTimeout = 10 * time.Second
)

// Handler serves what c collects, and what is to be known of the Go runtime, the process and the build. Scrapes at the
// same time share one snapshot; whoever comes on top of maxScrapes is sent away with 503.
func Handler(c *Collector, log *slog.Logger) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		c,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog:            errorLog{log},
		Registry:            r,
		MaxRequestsInFlight: maxScrapes,
		// A shared snapshot lives until the last of those who share it has been served. The timeout also puts a buffer
		// before each client; without it one who does not read would keep the others at an old snapshot.
		CoalesceGather: true,
		Timeout:        scrapeTimeout,
		// It is the loopback most of the time, where packing costs more than sending.
		DisableCompression: true,
	})
}

// hungUp is whoever scrapes and goes away: anybody can do that as often as they like, and it is nobody's trouble but theirs.
func hungUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// errorLog is a promhttp.Logger.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) {
	for _, a := range v {
		if err, ok := a.(error); ok && hungUp(err) {
			l.log.Debug("a scrape was not waited for", "error", err)
			return
		}
	}
	l.log.Error("cannot serve metrics", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}
