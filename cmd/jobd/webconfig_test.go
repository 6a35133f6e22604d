package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
)

// A web configuration with which the listener would fail, or let nobody in, is what --check says. jobd itself starts without looking.
func TestWebConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("empty", "")
	write("no.pem", "this is no certificate\n")
	for _, c := range []struct{ name, web, bad string }{
		{"OK nothing", "", ""},
		{"OK password", "basic_auth_users:\n  prom: $2b$05$jobdjobdjobdjobdjobdj.FFlt7pMiCk/.AiJ70vZXSvjfryYcfIq\n", ""},
		{"OK user", "basic_auth_users:\n  no: $2b$05$jobdjobdjobdjobdjobdj.FFlt7pMiCk/.AiJ70vZXSvjfryYcfIq\n", ""},
		{"OK rate", "rate_limit: {interval: 1s, burst: 10}\n", ""},
		{"bad syntax", "basic_auth_users: [\n", "yaml: line 1"},
		{"bad key", "tls_server_confg:\n", "field tls_server_confg not found"},
		{"bad password", "basic_auth_users:\n  prom: secret\n", "hash"},
		{"bad half", "tls_server_config:\n  cert_file: no.pem\n", "missing one of key or key_file"},
		{"bad file", "tls_server_config:\n  cert_file: none.pem\n  key_file: none.key\n", "none.pem: no such file"},
		{"bad certificate", "tls_server_config:\n  cert_file: no.pem\n  key_file: no.pem\n", "failed to find any PEM data"},
		{"bad directory", "tls_server_config:\n  cert_file: .\n  key_file: .\n", "is no file"},
		{"bad empty", "tls_server_config:\n  cert_file: web.yml\n  key_file: empty\n", "empty is empty"},
		{"bad header", "http_server_config:\n  headers:\n    X-Own: a\n", `"X-Own" can not be configured`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write("web.yml", c.web)
			file := write("jobd.toml", "[metrics]\nusers = false\nweb_config = \""+path+"\"\n")
			cfg, err := parseConfig([]string{"--check", "--run-dir", dir, "--config", file}, io.Discard)
			if _, err := parseConfig([]string{"--config", file}, io.Discard); err != nil {
				t.Errorf("it does not start: %v", err)
			}
			switch {
			case c.bad == "" && (err != nil || cfg.Metrics.Users || cfg.Metrics.WebConfig != path):
				t.Errorf("got %+v, %v", cfg.Metrics, err)
			case c.bad != "" && (err == nil || !strings.Contains(err.Error(), "cannot use "+path+", which metrics.web_config names: ") ||
				!strings.Contains(err.Error(), c.bad)):
				t.Errorf("got %v, want something with %q", err, c.bad)
			}
		})
	}
	for web, bad := range map[string]string{"web.yml": "is a whole path", dir + "/none.yml": "no such file"} {
		file := write("jobd.toml", "[metrics]\nweb_config = \""+web+"\"\n")
		if _, err := parseConfig([]string{"--check", "--run-dir", dir, "--config", file}, io.Discard); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: got %v, want something with %q", web, err, bad)
		}
	}
}

// What the unit keeps from jobd is found behind links, too.
func TestHidden(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "jobd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for path, bad := range map[string]string{"/etc/passwd": "", dir: "keeps /var/tmp from", link: "keeps /var/tmp from", dir + "/none": "no such file"} {
		if err := hidden([]string{"/etc/passwd", path}); (err == nil) != (bad == "") || err != nil && !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: got %v, want something with %q", path, err, bad)
		}
	}
}

// FuzzWholeWeb: what the toolkit is shown asks for what the file does, and names no file.
func FuzzWholeWeb(f *testing.F) {
	for _, s := range []string{
		"basic_auth_users: {no: $2b$05$a, 0x10: b, ~: c}\n", "tls_server_config: {cert_file: a, key_file: 5, client_ca_file: \"\"}\nrate_limit: {interval: 1s}\n",
		"tls_server_config: &a {cert: |\n x\n, client_allowed_sans: []}\n", "tls_server_config: {<<: {client_auth_type: RequireAndVerifyClientCert, key_file: k}}\n",
		"<<: {tls_server_config: {cert_file: a, key_file: b}}\n", "tls_server_config:\nhttp_server_config: {http2: false, headers: {X-Frame-Options: deny}}\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole, asks, err := wholeWeb(text, "/dir", func(path string) (string, error) { return "what is in " + path, nil })
		if err != nil {
			return
		}
		var before, after web.Config
		if err := yaml.Unmarshal([]byte(text), &before); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(whole, &after); err != nil {
			t.Fatalf("%q becomes %q: %v", text, whole, err)
		}
		if !maps.Equal(before.Users, after.Users) || before.TLSConfig.ClientAuth != after.TLSConfig.ClientAuth ||
			len(before.TLSConfig.ClientAllowedSans) != len(after.TLSConfig.ClientAllowedSans) {
			t.Errorf("%q becomes %q", text, whole)
		}
		if c := &after.TLSConfig; c.TLSCertPath != "" || c.TLSKeyPath != "" || c.ClientCAs != "" {
			t.Errorf("%q names a file", whole)
		}
		if _, again, err := wholeWeb(string(whole), "/dir", nil); err != nil || again != asks {
			t.Errorf("%q asks for %+v, and then %+v, %v", text, asks, again, err)
		}
	})
}
