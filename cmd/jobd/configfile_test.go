package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job/report"
)

// TestExampleIsTheDefault: the file that is installed has every key, and changes nothing.
func TestExampleIsTheDefault(t *testing.T) {
	text, err := os.ReadFile("packaging/jobd.toml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeSettings("jobd.toml", string(text))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultSettings()
	if diff := cmp.Diff(keysOf(&want), keysOf(&s)); diff != "" {
		t.Errorf("the example is not the default (-default +example):\n%s", diff)
	}
	md, err := toml.Decode(string(text), new(map[string]any))
	if err != nil {
		t.Fatal(err)
	}
	for key := range keysOf(&want) {
		if !md.IsDefined(strings.Split(key, ".")...) {
			t.Errorf("the example lacks %s", key)
		}
	}
}

// TestEveryKeyIsDocumented: in jobd.conf(5), and in the table of docs/operations.md; and nothing is there that is none.
func TestEveryKeyIsDocumented(t *testing.T) {
	s := defaultSettings()
	var want []string
	for key := range keysOf(&s) {
		want = append(want, key)
	}
	slices.Sort(want)
	for file, pattern := range map[string]string{
		"../../docs/man/jobd.conf.5": `(?m)^\.BR? "?([a-z_.]+)"? "? = `,
		"../../docs/operations.md":   "(?m)^\\| `([a-z_.]+)` \\| ",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		part, _, _ := strings.Cut(string(text), "### Services that root restarts") // other tables of operations.md are about others
		var got []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(part, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-keys +documented):\n%s", file, diff)
		}
	}
}

// TestBadConfigNamesAllLines: all that is wrong at once, in the file's order, each with its line.
func TestBadConfigNamesAllLines(t *testing.T) {
	const text = `# a file
hid = "five"
hosst = "h"
kill_grace = 10

keep.process_days = 0 # dotted

[linger]
# a comment, and a list over lines
exempt_users = [
  "a", # one
  "",
]
kill_after = "soon"
[record]
exec = "all"
groups = ["cpu", "disk", "tape"]
[billing.prime]
basic = -1.0
[billing]
prime_hours = "late"
[[billing.factor]]
tag = "a"
[[billing.factor]]
tag = "b"
faktor = 1.0
[[billing.factor]]
tag = "c"
factor = -1.0
[watch]
audit = "yes"
[nonsense]
a = 1
[log]
burst = -1
["a b".c]
`
	_, err := decodeSettings("/f", text)
	if err == nil {
		t.Fatal("it is good")
	}
	want := []string{
		"2: hid has to be a whole number from 0 to 4294967295",
		"3: unknown key hosst",
		"4: kill_grace has to be a time with its unit, such as \"10s\"",
		"6: keep.process_days is 1 to 36500, or -1 for ever",
		"10: an empty name in linger.exempt_users is nobody's",
		"14: linger.kill_after has to be a time with its unit, such as \"10s\"",
		"16: record.exec is off, exe or argv, not \"all\"",
		"17: record.groups has no \"disk\": cpu, delays, io, memory, switches",
		"17: record.groups has no \"tape\": cpu, delays, io, memory, switches",
		"19: billing.prime.basic is -1: a number from 0 to 1e+12",
		"21: billing.prime_hours is \"late\": two times of the day, such as 07:30-17:30 or 00:00-24:00",
		"26: unknown key billing.factor.faktor",
		"27: billing.factor 3 (c) is -1: a number from 0 to 1e+12",
		"31: watch.audit has to be true or false",
		"32: unknown key nonsense",
		"35: log.burst is 0, for every line, to 1000000",
		"36: unknown key \"a b\"",
	}
	if diff := cmp.Diff(strings.ReplaceAll("/f:"+strings.Join(want, "\n/f:"), "\n\n", "\n"), err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLinesOfLarge: where keys are in a large file costs no more than reading it some times.
func TestLinesOfLarge(t *testing.T) {
	var long strings.Builder
	for range 5000 {
		long.WriteString("[[billing.factor]]\n# " + strings.Repeat("x", 150) + "\ntag = [\n  1,\n]\n")
	}
	long.WriteString("[keep]\n") // line 25001
	wide := "a = \"\"\"\n" + strings.Repeat(strings.Repeat("x", 500)+"\n", 2000) + "\"\"\"\n[keep]\n"
	for text, want := range map[string]int{long.String(): 25001, wide: 0} { // a value is looked through from its beginning
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lines := linesOf(text)
		runtime.ReadMemStats(&after)
		if got := keyLine(lines, &report.BadKey{Key: "keep.job_days"}); got != want {
			t.Errorf("[keep] is on line %d, want %d", got, want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 128<<20 {
			t.Errorf("%d MiB of memory for a file of %d KiB", n>>20, len(text)>>10)
		}
	}
}

// TestConfigIsRoots: what others could have written is not read.
func TestConfigIsRoots(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "jobd.toml")
	put := func(mode os.FileMode, uid int) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte("debug = true\n"), 0o600), os.Chmod(path, mode), os.Chown(path, uid, -1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{dir, "/dev/null", filepath.Join(dir, "none")} {
		if _, err := readSettings(bad); err == nil || !strings.HasPrefix(err.Error(), "cannot read the configuration: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("files of others take root")
	}
	put(0o644, 0)
	if s, err := readSettings(path); err != nil || !s.Debug {
		t.Errorf("%+v, %v", s, err)
	}
	put(0o664, 0)
	if _, err := readSettings(path); err == nil || !strings.Contains(err.Error(), "others may write to it") {
		t.Errorf("a file that a group may write: %v", err)
	}
	put(0o600, 1)
	if _, err := readSettings(path); err == nil || !strings.Contains(err.Error(), "is not root's: chown root") {
		t.Errorf("another's file: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, configMost+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chown(path, 0, 0)
	if _, err := readSettings(path); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a large file: %v", err)
	}
}

// TestWhichConfig: the host's own jobd reads the host's file where it is there, another none that it was not told of.
func TestWhichConfig(t *testing.T) {
	host := filepath.Join(t.TempDir(), "jobd.toml")
	for _, there := range []bool{false, true} {
		if there {
			if err := os.WriteFile(host, []byte("debug = true\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		own, other, named := config{RunDir: hostRunDir}, config{RunDir: "/run/other"}, config{RunDir: "/run/other", Named: "/f"}
		if got := own.fileToRead(host); (got == host) != there || !there && got != "" {
			t.Errorf("there %v: the host's reads %q", there, got)
		}
		if got := other.fileToRead(host); got != "" {
			t.Errorf("another reads %q", got)
		}
		if got := named.fileToRead(host); got != "/f" {
			t.Errorf("one that was told reads %q", got)
		}
		if err := own.read(host); err != nil || own.Debug != there || own.Host == "" {
			t.Errorf("there %v: %+v, %v", there, own, err)
		}
	}
}

// TestLocatedKeepsTheCause: who may not read a file finds that out, and not that it is bad.
func TestLocatedKeepsTheCause(t *testing.T) {
	cannot := func(s *settings) error {
		return s.Metrics.badWeb(&fs.PathError{Op: "open", Path: "/w", Err: fs.ErrPermission})
	}
	_, err := decodeSettings("/f", "\n[metrics]\nweb_config = \"/w\"\n", cannot)
	if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), "/f:3: cannot use /w, which metrics.web_config names: open /w: ") {
		t.Errorf("got %v", err)
	}
}

func TestBlend(t *testing.T) {
	old, next := defaultSettings(), defaultSettings()
	next.HID, next.Label.Use, next.Debug, next.Linger.Root, next.Linger.ExemptUsers = 7, labelOff, true, true, []string{}
	now, changed, restart := blend(&old, &next)
	if !slices.Equal(changed, []string{"debug", "linger.root"}) || !slices.Equal(restart, []string{"hid", "label.use"}) {
		t.Errorf("changed %v, restart %v", changed, restart)
	}
	if now.HID != 0 || now.Label.Use != labelAuto || !now.Debug || !now.Linger.Root {
		t.Errorf("now %+v", now)
	}
	if _, changed, restart := blend(now, &next); len(changed) != 0 || !slices.Equal(restart, []string{"hid", "label.use"}) {
		t.Errorf("again: changed %v, restart %v", changed, restart)
	}
}

// FuzzDecodeSettings: whatever the file is, there are settings that pass the checks, or an error that names it on each of its lines.
func FuzzDecodeSettings(f *testing.F) {
	example, err := os.ReadFile("packaging/jobd.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(example), "hid = 5\nhidd = 6\n", "[billing]\nfactor = [{ tag = \"a\", x = 1 }]\n", "keep = 1\n", "[[keep]]\n", "a.b = \"\"\"\n\n\"\"\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := decodeSettings("/f", text)
		if err == nil {
			if err := s.check(); err != nil {
				t.Errorf("it is good, and then %v", err)
			}
			return
		}
		for _, e := range flat(err) {
			if !strings.HasPrefix(e.Error(), "/f:") {
				t.Errorf("%q does not say where", e)
			}
		}
	})
}
