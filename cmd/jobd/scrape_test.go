package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A web configuration with which the listener would fail, or let nobody in, is refused before anything is touched, and --check says so.
func TestWebConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("no.pem", "this is no certificate\n")
	for _, c := range []struct{ name, web, bad string }{
		{"OK nothing", "", ""},
		{"OK password", "basic_auth_users:\n  prom: $2b$05$jobdjobdjobdjobdjobdj.FFlt7pMiCk/.AiJ70vZXSvjfryYcfIq\n", ""},
		{"OK rate", "rate_limit: {interval: 1s, burst: 10}\n", ""},
		{"bad syntax", "basic_auth_users: [\n", "yaml: line 1"},
		{"bad key", "tls_server_confg:\n", "field tls_server_confg not found"},
		{"bad password", "basic_auth_users:\n  prom: secret\n", "hash"},
		{"bad half", "tls_server_config:\n  cert_file: no.pem\n", "missing one of key or key_file"},
		{"bad file", "tls_server_config:\n  cert_file: none.pem\n  key_file: none.key\n", "none.pem: no such file"},
		{"bad certificate", "tls_server_config:\n  cert_file: no.pem\n  key_file: no.pem\n", "failed to find any PEM data"},
		{"bad header", "http_server_config:\n  headers:\n    X-Own: a\n", `"X-Own" can not be configured`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write("web.yml", c.web)
			file := write("jobd.toml", "[metrics]\nusers = false\nweb_config = \""+path+"\"\n")
			cfg, err := parseConfig([]string{"--check", "--config", file}, io.Discard)
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
		if _, err := parseConfig([]string{"--config", file}, io.Discard); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: got %v, want something with %q", web, err, bad)
		}
	}
}
