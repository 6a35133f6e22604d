package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
	"golang.org/x/net/netutil"

	"github.com/jobd-project/jobd/metrics"
)

// metricsSettings say what Prometheus is shown, and how it has to come.
type metricsSettings struct {
	Users     bool   `toml:"users"`      // by name; else what all of them used is one sum
	WebConfig string `toml:"web_config"` // TLS and passwords, a file of Prometheus' exporter-toolkit; empty: plain HTTP
}

// check looks at the file and at what it names as the listener will, and at what that one does not notice.
func (m metricsSettings) check() error {
	if m.WebConfig == "" {
		return nil
	}
	if !filepath.IsAbs(m.WebConfig) {
		return badKey("metrics.web_config", "metrics.web_config is a whole path, not %q", m.WebConfig)
	}
	err := web.Validate(m.WebConfig)
	if err == nil {
		err = checkClientCAs(m.WebConfig)
	}
	if err != nil {
		return badKey("metrics.web_config", "cannot use %s, which metrics.web_config names: %s", m.WebConfig, err)
	}
	return nil
}

// checkClientCAs finds authorities without a certificate among them: nobody would get in.
func checkClientCAs(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c web.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return err
	}
	name, pem := "client_ca", []byte(c.TLSConfig.ClientCAsText)
	if file := c.TLSConfig.ClientCAs; file != "" {
		c.TLSConfig.SetDirectory(filepath.Dir(path))
		name = "client_ca_file " + file
		if pem, err = os.ReadFile(c.TLSConfig.ClientCAs); err != nil {
			return err
		}
	}
	if len(pem) > 0 && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate can be read in %s", name)
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

func (d *jobd) serveMetrics(ctx context.Context, l net.Listener) error {
	c := metrics.New(d.measure, metrics.Options{NoUsers: !d.cfg.Metrics.Users, Said: d.said, Keep: d.keeper()})
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics.Handler(c, d.log))
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: scrapeTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: scrapeStreams},
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug), // who knocks without a certificate must not fill the log
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := d.serveWeb(srv, netutil.LimitListener(l, scrapeConns)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveWeb reads the certificates again for each connection, and the passwords for each request. What jobd keeps of its rights is enough
// for that, whoever's the files are (CAP_DAC_READ_SEARCH).
func (d *jobd) serveWeb(srv *http.Server, l net.Listener) error {
	file := d.cfg.Metrics.WebConfig
	if file != "" {
		return web.Serve(l, srv, &web.FlagConfig{WebConfigFile: &file}, d.log)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		d.log.Warn("everybody who can reach this address can see what is used on this host, and by whom: set metrics.web_config",
			"metrics", a.String())
	}
	return srv.Serve(l)
}
