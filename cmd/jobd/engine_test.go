package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnloadsByWhatIsThere: a configuration that cannot be used leaves nothing in the kernel; where labels are is taken from it if that can be
// read, and it is said.
func TestUnloadsByWhatIsThere(t *testing.T) {
	const dir = "[label]\ndir = \"/sys/fs/bpf/elsewhere\"\n"
	for _, c := range []struct{ name, text, want, said string }{
		{"good", dir, "/sys/fs/bpf/elsewhere", ""},
		{"without the table", "", hostLabels, ""},
		{"an unknown key", "nonsense = 1\n" + dir, "/sys/fs/bpf/elsewhere", "unknown key nonsense"},
		{"a wrong value beside it", dir + "use = 7\n", "/sys/fs/bpf/elsewhere", "label.use"},
		{"a bad value beside it", dir + "use = \"often\"\n", "/sys/fs/bpf/elsewhere", "label.use"},
		{"a bad directory", "[label]\ndir = \"bpf\"\n", hostLabels, "bad label.dir"},
		{"no TOML", dir + "[label\n", hostLabels, "broken.toml:4"},
		{"none", "-", hostLabels, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "broken.toml")
			if c.text != "-" {
				if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			cfg := &config{RunDir: hostRunDir, Engine: engineBPF}
			cfg.takeLabels(path, &said)
			if got := cfg.labelDir(); got != c.want || (said.Len() > 0) != (c.said != "") || !strings.Contains(said.String(), c.said) {
				t.Errorf("unloads %s (%q), want %s (%q)", got, said.String(), c.want, c.said)
			}
		})
	}
}
