package doctor

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestParsePAM: lines as pam.conf(5) has them.
func TestParsePAM(t *testing.T) {
	optional := `map[default:ignore new_authtok_reqd:ok success:ok]`
	for text, want := range map[string]string{
		"session optional pam_job.so":                          optional + " pam_job.so []",
		"  -Session\tOPTIONAL /lib/x.so a=b  c # said ":        optional + " /lib/x.so [a=b c]",
		"session optional \\\n  pam_job.so \\\n# no\n\n debug": optional + " pam_job.so [debug]",
		"session [success=1 default=ignore] pam_x.so [a b] c":  "map[default:ignore success:1] pam_x.so [[a b c]",
		"session [success = ok  ignore=ignore] x.so":           "map[ignore:ignore success:ok] x.so []",
		"session include other":                                "include other []",
		"session substack other":                               "substack other []",
		"@include common-session":                              "map[] common-session []",
		"@include":                                             "bad: @include of nothing",
		"sesion optional x.so":                                 `bad: there is no type "sesion"`,
		"session maybe x.so":                                   `bad: there is no control "maybe"`,
		"session optional":                                     "bad: it names no module",
		"session":                                              `bad: there is no control ""`,
		"session [success=well] x.so":                          `bad: its control makes no sense at "well"`,
		"session [success=] x.so":                              "bad: the control ends too early",
		"session [success=ok":                                  "bad: it names no module",
		"# session optional x.so\n   \n":                       "",
		"session required x.so\nsession sufficient y.so\n\\\n": "map[default:bad ignore:ignore new_authtok_reqd:ok success:ok] x.so []|" +
			"map[default:ignore new_authtok_reqd:done success:done] y.so []",
	} {
		if got := strings.Join(spelled(parsePAM("f", text)), "|"); got != want {
			t.Errorf("%q:\n%s, want\n%s", text, got, want)
		}
	}
	lines := parsePAM("f", "\nsession \\\n optional x.so\n-session optional y.so")
	if len(lines) != 2 || lines[0].no != 2 || lines[1].no != 4 || lines[1].kind != "session" {
		t.Errorf("%+v", lines)
	}
}

func spelled(lines []pamLine) (out []string) {
	for _, l := range lines {
		text := l.control.word
		if text == "" {
			var pairs []string
			for _, name := range slices.Sorted(maps.Keys(l.control.actions)) {
				pairs = append(pairs, name+":"+l.control.actions[name])
			}
			text = "map[" + strings.Join(pairs, " ") + "]"
		}
		text += " " + l.module + " [" + strings.Join(l.args, " ") + "]"
		if l.bad != "" {
			text = "bad: " + l.bad
		}
		out = append(out, text)
	}
	return out
}

// FuzzPAM: whatever stands in the files, each line is found where it is, and includes come to an end.
func FuzzPAM(f *testing.F) {
	f.Add("session optional pam_job.so", "@include a\nsession substack b\nsession [success=2 default=die] pam_unix.so")
	f.Add("@include b\n@include b", "@include a\nsession include a")
	f.Add("session [a=\\] b", "auth [default=99999999999999999999] x\\\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		files := pamFiles{"sshd": a, "a": a, "b": b, "systemd-user": b}
		count := strings.Count(a, "\n") + 1
		last := 0
		for _, l := range parsePAM("a", a) {
			if l.no <= last || l.no > count {
				t.Errorf("line %d after %d of %d", l.no, last, count)
			}
			last = l.no
		}
		for _, finding := range judgePAM(pamFacts{files: files}) {
			if finding.Name == "" || finding.Seen == "" || (finding.Do == "") != (finding.State == OK || finding.State == Skip) {
				t.Errorf("%+v", finding)
			}
		}
	})
}
