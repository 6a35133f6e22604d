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
	h, a := guarded(t)
	h.start()
	return h, a
}

// guarded is one that has not been started yet.
func guarded(t *testing.T) (*host, *authority) {
	t.Helper()
	h := plainHost(t)
	a := newAuthority(t, h.dir)
	a.server(2)
	a.sign("prometheus", 3, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	web := filepath.Join(h.dir, "web.yml")
	must(t, os.WriteFile(web, []byte("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n"+
		"  client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  prometheus: "+scrapeHash+"\n"), 0o600))
	h.configure(h.webConfig())
	return h, a
}

// webConfig is the configuration that names web.yml.
func (h *host) webConfig() string {
	return fmt.Sprintf("metrics.web_config = %q\n", filepath.Join(h.dir, "web.yml"))
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
	known.Transport.(*http.Transport).DisableKeepAlives = false // another password holds on connections that are there
	web := filepath.Join(h.dir, "web.yml")
	text, err := os.ReadFile(web)
	must(t, err)
	for _, hash := range []string{scrapeHash, strings.Replace(scrapeHash, "FFlt7", "GGlt7", 1), scrapeHash} {
		must(t, os.WriteFile(web, []byte(strings.Replace(string(text), scrapeHash, hash, 1)), 0o600))
		if status, _, _, err := h.get(known, scrapePassword); err != nil || (status == http.StatusOK) != (hash == scrapeHash) {
			t.Errorf("with the hash %s: %d, %v", hash, status, err)
		}
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

// A bad web configuration is said in one sentence by --check. jobd starts without its metrics, says so, and has them when it is put right.
func TestWebConfigBad(t *testing.T) {
	h := plainHost(t)
	h.mayLose = true // it says so in the log
	a := newAuthority(t, h.dir)
	a.server(2)
	must(t, os.WriteFile(filepath.Join(h.dir, "none.pem"), []byte("no certificate\n"), 0o600))
	web := filepath.Join(h.dir, "web.yml")
	h.configure(fmt.Sprintf("[metrics]\nweb_config = %q\n", web))
	write := func(more string) {
		t.Helper()
		must(t, os.WriteFile(web, []byte("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"+more), 0o600))
	}
	for more, want := range map[string]string{
		"  client_auth_type: Require\n": "invalid ClientAuth: Require",
		"  client_ca_file: none.pem\n  client_auth_type: RequireAndVerifyClientCert\n": "no certificate can be read in client_ca_file " + h.dir + "/none.pem",
	} {
		write(more)
		out, err := exec.Command(built.jobd, append(h.flags(), "--check")...).CombinedOutput()
		text := fmt.Sprintf("%s:2: cannot use %s, which metrics.web_config names: %s\n", filepath.Join(h.dir, "jobd.toml"), web, want)
		if err == nil || string(out) != text {
			t.Errorf("%v, %q, want %q", err, out, text)
		}
	}
	nothingMade(t, h)
	h.start()
	h.troubled("cannot listen for Prometheus")
	write("")
	until(t, "a scrape", func() bool { status, _, _, _ := h.get(a.client(""), ""); return status == http.StatusOK })
}

// troubled waits until status says that something is wrong.
func (h *host) troubled(what string) {
	h.t.Helper()
	until(h.t, "status says "+what, func() bool {
		st, err := h.client.Status(h.soon())
		must(h.t, err)
		return st.DegradedSince != nil && strings.Contains(string(st.DegradedWhy), what)
	})
}

// What is in the place of a file holds up nothing but what the file is for: neither a reload, nor the end of jobd, nor its next start, also
// where somebody holds its sockets.
func TestWebConfigFIFO(t *testing.T) {
	h, a := guarded(t)
	h.mayLose = true // it says so in the log
	h.holder = newHolder(t, h.dir)
	h.start()
	until(t, "all sockets are held", func() bool { return len(h.holder.held()) == h.holds() })
	key := filepath.Join(h.dir, "server.key")
	must(t, os.Remove(key))
	must(t, unix.Mkfifo(key, 0o600))
	known := a.client("prometheus")
	if status, _, serial, err := h.get(known, scrapePassword); err != nil || status != http.StatusOK || serial != 2 {
		t.Errorf("with the certificate from before: %d, serial %d, %v", status, serial, err)
	}
	h.troubled("metrics.web_config")
	if said := h.reconfigure(h.webConfig() + "kill_grace = \"3s\"\n"); !strings.Contains(said, " changed=kill_grace\n") {
		t.Errorf("beside a FIFO nothing can be changed: %s", said)
	}
	if said := h.reconfigure(h.webConfig() + "metrics.users = false\n"); !strings.Contains(said, "is no file") {
		t.Errorf("what is changed of metrics is not looked at: %s", said)
	}
	must(t, os.Remove(key))
	a.server(7)
	if said := h.reconfigure(h.webConfig() + "kill_grace = \"4s\"\n"); !strings.Contains(said, " changed=kill_grace\n") {
		t.Errorf("afterwards: %s", said)
	}
	if _, _, serial, err := h.get(known, scrapePassword); err != nil || serial != 7 {
		t.Errorf("afterwards: serial %d, %v", serial, err)
	}
	until(t, "it has healed", func() bool { st, err := h.client.Status(h.soon()); return err == nil && st.DegradedSince == nil })
	must(t, os.Remove(key))
	must(t, unix.Mkfifo(key, 0o600))
	_, _, _, _ = h.get(known, scrapePassword)
	if code := h.stop(unix.SIGTERM); code != 0 {
		t.Errorf("jobd ended with %d", code)
	}
	if _, err := os.Stat(filepath.Join(h.runDir(), "handover.json")); err != nil {
		t.Error(err)
	}
	h.start()
	h.troubled("cannot listen for Prometheus")
	must(t, os.Remove(key))
	a.server(8)
	until(t, "a scrape", func() bool { _, _, serial, _ := h.get(known, scrapePassword); return serial == 8 })
	until(t, "all sockets are held again", func() bool { return len(h.holder.held()) == h.holds() })
}

// A certificate that is larger than memory costs the renewal, and nothing else.
func TestWebConfigHuge(t *testing.T) {
	h, a := newGuarded(t)
	h.mayLose = true // it says so in the log
	pid := h.cmd.Process.Pid
	must(t, os.Truncate(filepath.Join(h.dir, "server.pem"), 64<<30))
	for range 3 {
		if status, _, _, err := h.get(a.client("prometheus"), scrapePassword); err != nil || status != http.StatusOK {
			t.Errorf("with the certificate from before: %d, %v", status, err)
		}
	}
	h.troubled("metrics.web_config")
	if st, err := h.client.Status(h.soon()); err != nil || int(st.PID) != pid {
		t.Errorf("another jobd: %v", err)
	}
	must(t, os.Truncate(filepath.Join(h.dir, "server.pem"), 0))
}

// What others may write is not read: they could put anything there, and have jobd read what they may not.
func TestWebConfigIsRoots(t *testing.T) {
	h, a := newGuarded(t)
	h.mayLose = true // it says so in the log
	must(t, os.Chown(filepath.Join(h.dir, "server.key"), bobUID, bobUID))
	out, err := exec.Command(built.jobd, append(h.flags(), "--check")...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is not root's") {
		t.Errorf("%v, %s", err, out)
	}
	if status, _, _, err := h.get(a.client("prometheus"), scrapePassword); err != nil || status != http.StatusOK {
		t.Errorf("with what was there before: %d, %v", status, err)
	}
	h.troubled("metrics.web_config")
}

// Half a file asks for less than the whole one: what was asked for is, until a restart.
func TestWebConfigCutOff(t *testing.T) {
	h, a := newGuarded(t)
	h.mayLose = true // it says so in the log
	web := filepath.Join(h.dir, "web.yml")
	whole, err := os.ReadFile(web)
	must(t, err)
	known, stranger := a.client("prometheus"), a.client("")
	for _, cut := range []string{"  client_ca_file", "basic_auth_users", "tls_server_config"} {
		must(t, os.WriteFile(web, []byte(strings.Split(string(whole), cut)[0]), 0o600))
		if status, _, _, err := h.get(known, ""); err == nil && status == http.StatusOK {
			t.Errorf("cut off before %s no password is asked for", cut)
		}
		if status, _, _, err := h.get(stranger, scrapePassword); err == nil && status == http.StatusOK {
			t.Errorf("cut off before %s no certificate is asked for", cut)
		}
	}
	h.troubled("metrics.web_config")
	must(t, os.WriteFile(web, whole, 0o600))
	if status, _, _, err := h.get(known, scrapePassword); err != nil || status != http.StatusOK {
		t.Errorf("afterwards: %d, %v", status, err)
	}
}

// Passwords in the clear, and metrics for everybody, are warned of where others reach the address.
func TestWebConfigOpenAddress(t *testing.T) {
	for web, want := range map[string]string{
		"": "everybody who can reach this address", "rate_limit: {interval: 1s, burst: 10}\n": "everybody who can reach this address",
		"basic_auth_users:\n  prometheus: " + scrapeHash + "\n": "passwords come in the clear",
	} {
		t.Run(want, func(t *testing.T) {
			h := plainHost(t)
			h.metrics = strings.Replace(h.metrics, "127.0.0.1", "0.0.0.0", 1)
			path := filepath.Join(h.dir, "web.yml")
			must(t, os.WriteFile(path, []byte(web), 0o600))
			h.configure(fmt.Sprintf("[metrics]\nweb_config = %q\n", path))
			h.start()
			h.log.await(t, "level=WARN msg=\"[^\"]*"+want)
		})
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
