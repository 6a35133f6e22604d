package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseConfig(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "jobd.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	everybodys := filepath.Join(t.TempDir(), "program")
	if err := errors.Join(os.WriteFile(everybodys, nil, 0o755), os.Chmod(everybodys, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		bad  string // a part of the error; empty: none
	}{
		{"OK nothing", nil, ""},
		{"OK all flags", []string{"--run-dir", "/x", "--state-dir=/y", "--metrics-listen", "", "--engine", "connector", "--cgroup", "off"}, ""},
		{"OK bpf", []string{"--engine", "bpf"}, ""},
		{"bad bpf without labels", []string{"--engine", "bpf", "--config", file("[label]\nuse = \"off\"\n")}, "with label.use off"},
		{"OK file", []string{"--config", file("hid = 5\nhost = \"h\"\nvisibility = \"all\"\nkill_grace = \"2s\"\nadmin_gid = 4\n")}, ""},
		{"bad flag", []string{"--rundir", "/x"}, "not defined"},
		{"bad argument", []string{"start"}, "unexpected argument"},
		{"bad engine", []string{"--engine", "magic"}, "unknown --engine"},
		{"bad cgroup", []string{"--cgroup", "maybe"}, "unknown --cgroup"},
		{"bad file is missing", []string{"--config", "/nonexistent"}, "/nonexistent"},
		{"bad key", []string{"--config", file("hid = 5\nhidd = 6\n")}, "unknown key hidd"},
		{"bad type", []string{"--config", file("\nhid = \"five\"\n")}, "jobd.toml:2: hid has to be a whole number"},
		{"bad syntax", []string{"--config", file("hid = 5\nhost = h\n")}, "jobd.toml:2: "},
		{"bad hid", []string{"--config", file("hid = 4294967296\n")}, "hid has to be a whole number from 0"},
		{"bad visibility", []string{"--config", file("visibility = \"some\"\n")}, "visibility is own or all"},
		{"OK record", []string{"--config", file("[record]\nexec = \"argv\"\ngroups = [\"cpu\", \"io\"]\n[keep]\nprocess_days = -1\n")}, ""},
		{"OK billing", []string{"--config", file("[billing]\nholidays = [\"12-25\"]\n[billing.nonprime]\nbasic = 1\ntime = 1\nutime = 1\n")}, ""},
		{"OK exempt", []string{"--config", file("[exempt]\nprograms = [\"/usr/sbin/sshd\", \"/nonexistent/d\"]\n")}, ""},
		{"OK exempt nothing", []string{"--config", file("[exempt]\nprograms = []\n")}, ""},
		{"bad exempt path", []string{"--config", file("[exempt]\nprograms = [\"sshd\"]\n")}, "bad program \"sshd\" in exempt.programs: it is a whole path"},
		{"bad exempt program", []string{"--config", file("[exempt]\nprograms = [\"" + everybodys + "\"]\n")}, "only root can write"},
		{"OK linger", []string{"--config", file("[linger]\nkill_after = \"8h\"\nroot = true\nexempt_users = [\"backup\", \"1001\"]\nexempt_programs = [\"/usr/bin/tmux\"]\n")}, ""},
		{"bad linger time", []string{"--config", file("[linger]\nkill_after = \"-1s\"\n")}, "linger.kill_after"},
		{"bad linger number", []string{"--config", file("[linger]\nkill_after = \"soon\"\n")}, ":2: linger.kill_after has to be a time"},
		{"bad linger user", []string{"--config", file("[linger]\nexempt_users = [\"\"]\n")}, "linger.exempt_users"},
		{"bad linger program", []string{"--config", file("[linger]\nexempt_programs = [\"tmux\"]\n")}, "linger.exempt_programs"},
		{"bad exec", []string{"--config", file("[record]\nexec = \"all\"\n")}, "record.exec"},
		{"bad group", []string{"--config", file("[record]\ngroups = [\"cpu\", \"disk\"]\n")}, `record.groups has no "disk"`},
		{"bad days", []string{"--config", file("[keep]\njob_days = 0\n")}, "-1 for ever"},
		{"bad many days", []string{"--config", file("[keep]\nprocess_days = 213504\n")}, "keep.process_days is 1 to"},
		{"bad floor", []string{"--config", file("[keep]\nfree_mib = -5\n")}, "keep.free_mib"},
		{"bad key of a table", []string{"--config", file("[keep]\ndays = 5\n")}, "unknown key keep.days"},
		{"bad weight", []string{"--config", file("[billing.prime]\nbasic = -1.0\n")}, "billing.prime"},
		{"bad grace", []string{"--config", file("kill_grace = \"-1s\"\n")}, "kill_grace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseConfig(c.args, io.Discard)
			if c.bad == "" {
				if err != nil || cfg.Host == "" {
					t.Errorf("got %+v, %v", cfg, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("got %v, want something with %q", err, c.bad)
			}
		})
	}
}

func TestConfigFileSetsWhatItSays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.toml")
	if err := os.WriteFile(path, []byte("hid = 7\nadmin_gid = 4\nkill_grace = \"2s\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig([]string{"--config", path}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.HID != 7 || cfg.AdminGID != 4 || cfg.KillGrace != 2*time.Second || cfg.Visibility != "own" {
		t.Errorf("got %+v", cfg.settings)
	}
}
