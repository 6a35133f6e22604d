package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoPAM: the first UsePAM that sshd reads is the one that counts.
func TestNoPAM(t *testing.T) {
	for about, c := range map[string]struct{ main, more, want string }{
		"nothing":           {"", "", ""},
		"no":                {"Port 22\nUsePAM no", "", "main:2"},
		"yes":               {"UsePAM yes\nUsePAM no", "", ""},
		"as may be typed":   {"\t usepam = \"NO\" # yes", "", "main:1"},
		"said to be":        {"#UsePAM no", "", ""},
		"included":          {"Include mor*\nUsePAM yes", "\nUsePAM no\n", "more:2"},
		"included, by path": {"include none \"%d/more\"", "UsePAM=no", "more:1"},
		"included, later":   {"UsePAM yes\nInclude more", "UsePAM no", ""},
		"for some":          {"Match User a\nInclude more\nUsePAM no", "UsePAM no", ""},
		"for some in there": {"Include more\nUsePAM no", "Match User a\n UsePAM yes", "main:2"},
		"a circle":          {"Include more", "Include main\nUsePAM no", "more:2"},
		"of DOS":            {"UsePAM no\r\n", "", "main:1"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"main": c.main, "more": c.more} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "%d", dir)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c.want != "" {
			c.want = filepath.Join(dir, c.want)
		}
		if got, hidden := noPAM(filepath.Join(dir, "main")); got != c.want || len(hidden) > 0 {
			t.Errorf("%s: %q, want %q; unread are %v", about, got, c.want, hidden)
		}
	}
	dir := t.TempDir()
	if got, hidden := noPAM(filepath.Join(dir, "none")); got != "" || len(hidden) > 0 {
		t.Errorf("without a file: %q; unread are %v", got, hidden)
	}
	loop := filepath.Join(dir, "loop") // root can read all else
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if got, hidden := noPAM(loop); got != "" || !slices.Equal(hidden, []string{loop}) {
		t.Errorf("of a file that cannot be read: %q; unread are %v", got, hidden)
	}
}

// TestJudgeNoPAM: what PAM would do for an sshd that does not ask it is nothing.
func TestJudgeNoPAM(t *testing.T) {
	facts := pamFacts{files: pamFiles{"sshd": good, "login": good}, there: map[string]bool{jobModule: true}, socket: "/run/jobd/login.sock",
		noPAM: "/etc/ssh/sshd_config:3"}
	finds(t, "sshd", judgePAM(facts), "pam.services ok jobs: login; none: sshd",
		"pam.sshd warn sshd: it does not ask PAM: UsePAM no in /etc/ssh/sshd_config:3")
	facts.files["sshd"] = ""
	finds(t, "sshd, without a line", judgePAM(facts), "pam.services ok jobs: login; none: sshd", "pam.sshd warn")
	delete(facts.files, "sshd")
	finds(t, "no sshd", judgePAM(facts), "pam.services ok jobs: login", "pam.stacks ok")
}

// FuzzNoPAM: whatever stands in the files, reading them comes to an end.
func FuzzNoPAM(f *testing.F) {
	f.Add("Include b\nUsePAM no", "Include [a")
	f.Add("Match all\nUsePAM", "Include \"\nUsePAM \"no")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b string) {
		for name, text := range map[string]string{"a": a, "b": b} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := noPAM(filepath.Join(dir, "a")); got != "" && !strings.Contains(got, ":") {
			t.Error(got)
		}
	})
}
