package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The password of the test, and what bcrypt makes of it.
const (
	scrapePassword = "scrape me"
	scrapeHash     = "$2b$05$jobdjobdjobdjobdjobdj.FFlt7pMiCk/.AiJ70vZXSvjfryYcfIq"
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.sign("ca", 1, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign leaves NAME.pem and NAME.key, which only their owner can read.
func (a *authority) sign(name string, serial int64, c *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	c.SerialNumber, c.Subject = big.NewInt(serial), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if a.cert == nil {
		a.cert, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	if a.cert == c {
		a.cert, err = x509.ParseCertificate(der)
		must(a.t, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		must(a.t, os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600))
	}
}

func (a *authority) server(serial int64) {
	a.sign("server", serial, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// client gives one that trusts the authority, with a certificate of that name or, without a name, none.
func (a *authority) client(name string) *http.Client {
	a.t.Helper()
	conf := &tls.Config{RootCAs: x509.NewCertPool()}
	conf.RootCAs.AddCert(a.cert)
	if name != "" {
		own, err := tls.LoadX509KeyPair(filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key"))
		must(a.t, err)
		conf.Certificates = []tls.Certificate{own}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}, Timeout: patience}
}

// newGuarded is a jobd whose metrics take a certificate and a password.
func newGuarded(t *testing.T) (*host, *authority) {
	t.Helper()
	h := plainHost(t)
	a := newAuthority(t, h.dir)
	a.server(2)
	a.sign("prometheus", 3, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	web := filepath.Join(h.dir, "web.yml")
	must(t, os.WriteFile(web, []byte("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n"+
		"  client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  prometheus: "+scrapeHash+"\n"), 0o600))
	for _, file := range []string{"web.yml", "server.pem", "server.key", "ca.pem"} { // the certificates' daemon's, and nobody else's
		must(t, os.Chown(filepath.Join(h.dir, file), bobUID, bobUID))
	}
	h.configure(fmt.Sprintf("[metrics]\nweb_config = %q\n", web))
	h.start()
	return h, a
}

// get scrapes over TLS; the serial number is that of jobd's certificate.
func (h *host) get(c *http.Client, password string) (status int, body string, serial int64, err error) {
	req, err := http.NewRequestWithContext(h.soon(), http.MethodGet, "https://"+h.metrics+"/metrics", nil)
	must(h.t, err)
	if password != "" {
		req.SetBasicAuth("prometheus", password)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.TLS.PeerCertificates[0].SerialNumber.Int64(), err
}

// Metrics behind TLS, client certificates and passwords, by a jobd that has given its rights away.
func TestWebConfig(t *testing.T) {
	h, a := newGuarded(t)
	if _, _, _, err := h.get(a.client(""), scrapePassword); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
	other := newAuthority(t, t.TempDir())
	other.sign("prometheus", 3, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	stranger := other.client("prometheus")
	stranger.Transport.(*http.Transport).TLSClientConfig.RootCAs = a.client("").Transport.(*http.Transport).TLSClientConfig.RootCAs
	if _, _, _, err := h.get(stranger, scrapePassword); err == nil {
		t.Error("somebody else's certificate is taken")
	}
	known := a.client("prometheus")
	for password, want := range map[string]int{"": 401, "scrape": 401, scrapePassword: 200} {
		status, body, _, err := h.get(known, password)
		if err != nil || status != want || strings.Contains(body, "jobd_jobs{") != (want == 200) {
			t.Errorf("password %q: %d, %v, want %d", password, status, err, want)
		}
	}
	if resp, err := http.Get("http://" + h.metrics + "/metrics"); err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("plain HTTP is answered")
		}
	}
	a.server(7) // renewed
	if _, _, serial, err := h.get(known, scrapePassword); err != nil || serial != 7 {
		t.Errorf("after the certificate was renewed: serial %d, %v", serial, err)
	}
	st, err := h.client.Status(h.soon())
	if err != nil || len(st.Confined) == 0 {
		t.Errorf("jobd has given away %v, %v", st.Confined, err)
	}
	if text := h.log.String(); strings.Contains(text, "TLS handshake error") {
		t.Errorf("whoever knocks fills the log:\n%s", text)
	}
}

// What limits everybody does so behind TLS: headers that are too long, and clients who say nothing, who hold up no login meanwhile.
func TestWebConfigLimits(t *testing.T) {
	h, a := newGuarded(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	var silent []net.Conn
	for range 40 { // more than may be there at a time
		c, err := net.Dial("tcp", h.metrics)
		must(t, err)
		defer c.Close()
		silent = append(silent, c)
	}
	if l := w.login("svc", "alice", nil, "true"); l.jid == 0 {
		t.Error("a login has no job")
	}
	must(t, silent[0].SetReadDeadline(time.Now().Add(patience)))
	if _, err := bufio.NewReader(silent[0]).ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("who says nothing is still there: %v", err)
	}
	for _, c := range silent {
		c.Close()
	}
	known := a.client("prometheus")
	req, err := http.NewRequestWithContext(h.soon(), http.MethodGet, "https://"+h.metrics+"/metrics", nil)
	must(t, err)
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := known.Do(req)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 KiB: %v, %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
	if status, _, _, err := h.get(known, scrapePassword); err != nil || status != http.StatusOK {
		t.Errorf("afterwards: %d, %v", status, err)
	}
}

// A bad web configuration is said in one sentence, by --check too, and jobd does not start.
func TestWebConfigBad(t *testing.T) {
	h := plainHost(t)
	newAuthority(t, h.dir).server(2)
	must(t, os.WriteFile(filepath.Join(h.dir, "none.pem"), []byte("no certificate\n"), 0o600))
	web := filepath.Join(h.dir, "web.yml")
	h.configure(fmt.Sprintf("[metrics]\nweb_config = %q\n", web))
	defer h.configure("")
	for more, want := range map[string]string{
		"client_auth_type: Require\n": "invalid ClientAuth: Require",
		"client_ca_file: none.pem\n  client_auth_type: RequireAndVerifyClientCert\n": "no certificate can be read in client_ca_file none.pem",
	} {
		must(t, os.WriteFile(web, []byte("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  "+more), 0o600))
		for _, flags := range [][]string{h.flags(), append(h.flags(), "--check")} {
			out, err := exec.Command(built.jobd, flags...).CombinedOutput()
			text := fmt.Sprintf("%s:2: cannot use %s, which metrics.web_config names: %s\n", filepath.Join(h.dir, "jobd.toml"), web, want)
			if err == nil || strings.TrimPrefix(string(out), "jobd: ") != text {
				t.Errorf("%v, %q, want %q", err, out, text)
			}
		}
	}
	if _, err := os.Stat(h.runDir()); err == nil {
		t.Error("there is a run directory")
	}
}

// A real Prometheus comes with its certificate and its password.
func TestPrometheusOverTLS(t *testing.T) {
	h, _ := newGuarded(t)
	address := h.prometheus(t, fmt.Sprintf(`
  scheme: https
  tls_config: {ca_file: %[1]s/ca.pem, cert_file: %[1]s/prometheus.pem, key_file: %[1]s/prometheus.key}
  basic_auth: {username: prometheus, password: %[2]s}`, h.dir, scrapePassword))
	until(t, "Prometheus to have scraped", func() bool {
		v, ok := sample(t, address, "up")
		n, has := sample(t, address, "jobd_members")
		return ok && v == 1 && has && n == 0
	})
}

// With metrics.users = false nobody is named, and the sum of everybody goes on where it was when jobd is killed.
func TestMetricsWithoutUsers(t *testing.T) {
	h := plainHost(t)
	h.mayLose = true
	h.configure("[metrics]\nusers = false\n")
	h.start()
	w := h.newWorld(map[string]string{"svc": plainStack})
	l := w.login("svc", "alice", nil, built.lab, "burn", "200")
	l.wait()
	h.ended(l.jid)
	const series = "jobd_user_cpu_seconds_total"
	var told float64
	until(t, "the sum to have what was used", func() bool {
		now, err := readMetrics(h.soon(), h.metrics)
		for name := range now {
			if strings.Contains(name, "user=") || strings.Contains(name, "alice") {
				t.Fatalf("somebody is named: %s", name)
			}
		}
		told = now[series]
		return err == nil && told >= 0.2
	})
	h.stop(unix.SIGKILL)
	h.start()
	if now, err := readMetrics(h.soon(), h.metrics); err != nil || now[series] < told {
		t.Errorf("it was %v, and is %v, %v", told, now[series], err)
	}
}
