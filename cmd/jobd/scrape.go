package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"

	"github.com/jobd-project/jobd/metrics"
)

// metricsSettings say what Prometheus is shown, and how it has to come.
type metricsSettings struct {
	Users     bool   `toml:"users"`      // by name; else what all of them used is one sum
	WebConfig string `toml:"web_config"` // TLS and passwords, a file of Prometheus' exporter-toolkit; empty: plain HTTP
}

func (m metricsSettings) check() error {
	if m.WebConfig != "" && !filepath.IsAbs(m.WebConfig) {
		return badKey("metrics.web_config", "metrics.web_config is a whole path, not %q", m.WebConfig)
	}
	return nil
}

// What Prometheus gets of jobd. Everybody can reach it, and nobody may take files, time or memory from logins there: who opens
// more connections waits for those before, and who asks for more on one of them too.
const (
	scrapeConns   = 16
	scrapeStreams = 8 // of HTTP/2, on a connection
	scrapeTime    = 30 * time.Second
)

// scrapeAgain is how long after the metrics could not be served that is tried again.
const scrapeAgain = 10 * time.Second

// What status calls it.
const (
	noScrapes = "cannot listen for Prometheus"
	oldWeb    = "metrics.web_config has changed, and cannot be used"
)

// openScrape opens the address for Prometheus, and what is asked of who comes there.
func (d *jobd) openScrape() (net.Listener, error) {
	if m := d.cfg.Metrics; m.WebConfig != "" && d.web == nil { // once: the toolkit reads it for as long as somebody is there
		w, err := openWeb(m.WebConfig)
		if err != nil {
			return nil, m.badWeb(err)
		}
		d.web = w
	}
	return d.listenMetrics()
}

// scrapes serves the metrics for as long as jobd runs. Neither who has the address, nor what the files of web_config are, ends it.
func (d *jobd) scrapes(ctx context.Context, l net.Listener, err error) {
	for ; ctx.Err() == nil; l, err = d.openScrape() {
		d.tellTrouble(ctx, noScrapes, err)
		if err == nil {
			err = d.serveMetrics(ctx, l)
			if ctx.Err() != nil {
				return
			}
			d.tellTrouble(ctx, noScrapes, err)
		}
		d.unhold(heldMetrics) // it would keep the port
		select {
		case <-ctx.Done():
		case <-time.After(scrapeAgain):
		}
	}
}

// serveMetrics serves until ctx ends, or that fails. The listener is closed.
func (d *jobd) serveMetrics(ctx context.Context, l net.Listener) error {
	if held, ok := l.(*net.TCPListener); ok && d.holder.there() {
		if err := d.holder.holdListener(heldMetrics, held); err != nil {
			d.log.Warn("scrapes are refused while jobd is restarted", "error", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics.Handler(d.counters, d.log))
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: scrapeTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: scrapeStreams},
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug), // who knocks without a certificate must not fill the log
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	d.warnOfAddress(l)
	limited := netutil.LimitListener(l, scrapeConns)
	if d.web == nil {
		return srv.Serve(limited)
	}
	srv.ConnState = func(_ net.Conn, s http.ConnState) { // before the toolkit reads its copy: with each connection, and each request
		if s != http.StateNew && s != http.StateActive {
			return
		}
		if again, err := d.web.renew(); again {
			d.tellTrouble(ctx, oldWeb, err)
		}
	}
	name := d.web.name()
	return web.Serve(limited, srv, &web.FlagConfig{WebConfigFile: &name}, d.log)
}

// warnOfAddress says what whoever reaches it gets without being asked, or hears.
func (d *jobd) warnOfAddress(l net.Listener) {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok || a.IP.IsLoopback() {
		return
	}
	var asks webAsks
	if d.web != nil {
		asks = d.web.asking()
	}
	switch {
	case !asks.certificate && !asks.password:
		d.log.Warn("everybody who can reach this address can see what is used on this host, and by whom: have a certificate or a password "+
			"asked for (metrics.web_config)", "metrics", a.String())
	case !asks.tls:
		d.log.Warn("passwords come in the clear to this address: set tls_server_config in what metrics.web_config names", "metrics", a.String())
	}
}
