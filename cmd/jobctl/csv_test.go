package main

import (
	"encoding/csv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// TestCSV: whatever things are called, a reader of RFC 4180 finds a line for each job, with all the columns, and no field
// that a spreadsheet would run.
func TestCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		jobs := rapid.SliceOfN(rapid.Custom(anyJob), 0, 3).Draw(t, "jobs")
		var b strings.Builder
		if err := writeCSV(&b, jobs); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		if err != nil || len(lines) != len(jobs)+1 {
			t.Fatalf("%d lines, %v: %q", len(lines), err, b.String())
		}
		users := 0
		for i, name := range lines[0] {
			if name == "user" {
				users = i
			}
		}
		for i, line := range lines[1:] {
			for j, field := range line {
				if field == "" || lines[0][j] != "user" && !text(lines[0][j]) {
					continue
				}
				if strings.ContainsRune("=+-@\t\r\n", rune(field[0])) {
					t.Fatalf("%s is %q", lines[0][j], field)
				}
			}
			if got, want := line[users], jobs[i].User; strings.IndexFunc(want, hostile) < 0 && utf8.ValidString(want) && strings.TrimPrefix(got, "'") != strings.TrimPrefix(want, "'") {
				t.Fatalf("the user is %q, not %q", got, want)
			}
		}
	})
}

func text(name string) bool {
	return strings.Contains(" host boot_id user service tty rhost auth_key state logind_session command cpu_source end_reason witness tags marks ", " "+name+" ")
}

func TestCSVFields(t *testing.T) {
	n, neg := int64(0), int64(-5)
	var b strings.Builder
	if err := writeCSV(&b, []job.Process{{JID: job.NewJID(1, 2), Seq: 2, CPU: &n, CPUUser: &neg, Comm: "a\"b,c", Flags: []string{"fork", "core"}}}); err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(b.String(), "\r\n")
	if want := `0x0000000100000002,2,0,0,,"a""b,c",,,,,,,0,-5,`; !strings.HasPrefix(line, want) || !strings.Contains(line, ",fork core,,false,") {
		t.Errorf("%s, not %s…", line, want)
	}
	for in, want := range map[string]string{
		"": "", "a=1": "a=1", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\t=1": `\t=1`, "\r=1": `\r=1`, "\x1b[31m": `\x1b[31m`, "'=1": "'=1", " =1": " =1",
	} {
		if got := harmless(in); got != want {
			t.Errorf("harmless(%q) = %q, not %q", in, got, want)
		}
	}
}
