package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
	"golang.org/x/sys/unix"
)

// webConfig is what metrics.web_config asks of who comes for the metrics. The toolkit reads its file with each connection and each request,
// whatever is there. So it is shown a copy in memory that has in it what the file names, made of files that nobody but root can have
// written. The copy is made again when one of them has changed; it takes the place of the one before if it can be used and asks for no
// less.
type webConfig struct {
	path string

	mu    sync.Mutex
	shown *webCopy
	seen  string // how its files were; empty: they are to be read in any case
}

// openWeb reads the file at path and what it names.
func openWeb(path string) (*webConfig, error) {
	c, err := readWeb(path)
	if err != nil {
		c.close()
		return nil, err
	}
	return &webConfig{path: path, shown: c, seen: c.seen}, nil
}

// renew looks at the files, and reads them again where that has to be: then again is true, and the error says why they are not used.
func (w *webConfig) renew() (again bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen != "" && w.seen == stamps(w.shown.files) {
		return false, nil
	}
	w.seen = ""
	next, err := readWeb(w.path)
	defer next.close()
	if err != nil {
		return true, err
	}
	if less := next.asks.less(w.shown.asks); less != "" {
		return true, fmt.Errorf("%s asks for no %s any more: what was asked for is, until jobd is restarted", w.path, less)
	}
	if err := unix.Dup3(next.fd, w.shown.fd, unix.O_CLOEXEC); err != nil {
		return true, os.NewSyscallError("dup3", err)
	}
	w.shown.files, w.shown.asks, w.seen = next.files, next.asks, next.seen
	return true, nil
}

// name is where the toolkit reads it.
func (w *webConfig) name() string { return w.shown.name() }

// asking is what it asks for now.
func (w *webConfig) asking() webAsks {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shown.asks
}

// webAsks is what is asked of who comes.
type webAsks struct{ tls, certificate, certificateName, password bool }

// less says what is not asked for that was.
func (a webAsks) less(before webAsks) string {
	switch {
	case before.tls && !a.tls:
		return "TLS"
	case before.certificate && !a.certificate:
		return "certificate"
	case before.certificateName && !a.certificateName:
		return "name in the certificate"
	case before.password && !a.password:
		return "password"
	}
	return ""
}

// webCopy is a web configuration in which nothing names another file.
type webCopy struct {
	fd    int      // a memfd; -1: there is none
	files []string // of which it was made, also where that failed
	seen  string   // how they were before they were read
	asks  webAsks
}

func (c *webCopy) name() string { return fmt.Sprintf("/proc/self/fd/%d", c.fd) }

func (c *webCopy) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
}

// readWeb makes the copy, and has the toolkit look at it. It is to be closed, whatever the error.
func readWeb(path string) (c *webCopy, err error) {
	c = &webCopy{fd: -1}
	text, err := c.read(path)
	if err != nil {
		return c, err
	}
	whole, asks, err := wholeWeb(text, filepath.Dir(path), c.read)
	if err != nil {
		return c, err
	}
	c.asks = asks
	if c.fd, err = unix.MemfdCreate("web.yml", unix.MFD_CLOEXEC); err != nil {
		return c, os.NewSyscallError("memfd_create", err)
	}
	if err := os.WriteFile(c.name(), whole, 0); err != nil {
		return c, err
	}
	return c, web.Validate(c.name())
}

func (c *webCopy) read(path string) (string, error) {
	c.files = append(c.files, path)
	c.seen += stamps([]string{path})
	return readOwn(path)
}

// stamps tells files that have changed from those that have not.
func stamps(files []string) string {
	var b strings.Builder
	for _, path := range files {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		fmt.Fprintln(&b, path, err, st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim)
	}
	return b.String()
}

// webText is the file with what has to be kept letter by letter: to YAML a user called no is false.
type webText struct {
	Users map[string]string `yaml:"basic_auth_users,omitempty"`
	Rest  map[string]any    `yaml:",inline"`
}

// wholeWeb puts what a web configuration names into it, and says what it asks for.
func wholeWeb(text, dir string, read func(path string) (string, error)) ([]byte, webAsks, error) {
	var c web.Config
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		return nil, webAsks{}, err
	}
	asks := webAsks{
		tls: c.TLSConfig.IsEnabled(), certificate: c.TLSConfig.ClientAuth == "RequireAndVerifyClientCert",
		certificateName: c.TLSConfig.ClientAllowedSans != nil, password: len(c.Users) > 0,
	}
	var t webText
	if err := yaml.Unmarshal([]byte(text), &t); err != nil {
		return nil, asks, err
	}
	c.TLSConfig.SetDirectory(dir)
	if tls, ok := t.Rest["tls_server_config"].(map[any]any); ok {
		if err := wholeTLS(tls, &c.TLSConfig, read); err != nil {
			return nil, asks, err
		}
	}
	whole, err := yaml.Marshal(&t)
	return whole, asks, err
}

// wholeTLS puts into tls what c, which is the same, names. It also finds what the toolkit does not: authorities without a certificate among
// them, with which nobody would get in.
func wholeTLS(tls map[any]any, c *web.TLSConfig, read func(path string) (string, error)) error {
	ca, name := c.ClientCAsText, "client_ca"
	for _, k := range []struct{ text, file, path string }{
		{"cert", "cert_file", c.TLSCertPath}, {"key", "key_file", c.TLSKeyPath}, {"client_ca", "client_ca_file", c.ClientCAs},
	} {
		if k.path == "" {
			continue
		}
		pem, err := read(k.path)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", k.file, err)
		case pem == "":
			return fmt.Errorf("%s: %s is empty", k.file, k.path)
		case k.text == "client_ca":
			ca, name = pem, k.file+" "+k.path
		}
		tls[k.text] = pem
		delete(tls, k.file)
	}
	if ca != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		return errors.New("no certificate can be read in " + name)
	}
	return nil
}

// hiddenDirs are what the unit keeps from jobd, by ProtectHome= and PrivateTmp=.
func hiddenDirs() []string { return []string{"/root", "/home", "/run/user", "/tmp", "/var/tmp"} }

// hidden finds files that jobd cannot read in its unit.
func hidden(files []string) error {
	for _, path := range files {
		at, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		for _, dir := range hiddenDirs() {
			if strings.HasPrefix(at, dir+"/") {
				return fmt.Errorf("jobd.service keeps %s from jobd (ProtectHome=, PrivateTmp=): move %s to /etc/jobd", dir, at)
			}
		}
	}
	return nil
}

// checkFiles looks at the file and at what it names as the listener will, and gives their names.
func (m metricsSettings) checkFiles() ([]string, error) {
	if m.WebConfig == "" || !filepath.IsAbs(m.WebConfig) { // check says so
		return nil, nil
	}
	c, err := readWeb(m.WebConfig)
	c.close()
	return c.files, m.badWeb(err)
}

func (m metricsSettings) badWeb(err error) error {
	if err == nil {
		return nil
	}
	return badKey("metrics.web_config", "cannot use %s, which metrics.web_config names: %w", m.WebConfig, err)
}

// checkFiles is for who asks, and not for jobd when it starts: that has its jobs whatever the files are. The host's own jobd is refused
// what its unit cannot read. That breaks nothing that runs, and in its log there would only be that the file is not there. Where there is no
// systemd (sd_booted(3)) nothing is hidden.
func (c *config) checkFiles(s *settings) error {
	files, err := s.Metrics.checkFiles()
	if _, no := os.Lstat("/run/systemd/system"); err == nil && no == nil && c.RunDir == hostRunDir {
		err = s.Metrics.badWeb(hidden(files))
	}
	return err
}
