package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/report"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1K": 1 << 10, "1.5k": 1536, "100M": 100 << 20, "1.5G": 3 << 29, "2T": 2 << 40, "7E": 7 << 60, "0.5P": 1 << 49,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, not %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "+1", "1KB", "1KiB", "1e3", "NaN", "Inf", "0x10", "8E", "9223372036854775808", "1.2.3", "1 K", "１"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, which is no size", text, got)
		}
	}
}

// What size prints, parseSize takes, and means about the same.
func TestSizesThatArePrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 7<<60).Draw(t, "n")
		got, err := parseSize(size(&n))
		if err != nil || float64(got) < 0.9*float64(n) || float64(got) > 1.1*float64(n) {
			t.Fatalf("%d is printed as %s, which is %d, %v", n, size(&n), got, err)
		}
	})
}

func TestExitFlag(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "255": "255", "!0": "!0", "!137": "!137", "fail": "!0"} {
		var f exitFlag
		if err := f.Set(text); err != nil || string(f) != want {
			t.Errorf("%q is %q, %v, not %q", text, f, err, want)
		}
	}
	for _, text := range []string{"", "!", "256", "-1", "!!0", "ok"} {
		var f exitFlag
		if err := f.Set(text); err == nil {
			t.Errorf("%q is %q, which is no exit status", text, f)
		}
	}
}

func TestGroupFlag(t *testing.T) {
	for text, want := range map[string]uint32{"root": 0, "0": 0, "4000001000": 4000001000} {
		var f groupFlag
		if err := f.Set(text); err != nil || *f.id != want {
			t.Errorf("%q: %v, %v, not %d", text, f.id, err, want)
		}
	}
	for _, text := range []string{"", "no-such-group-here", "-1", "4294967295", "4294967296"} {
		var f groupFlag
		if err := f.Set(text); err == nil {
			t.Errorf("%q is group %d", text, *f.id)
		}
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		n, most int64
		width   int
		blocks  bool
		want    string
	}{
		{0, 10, 8, true, ""}, {1, 0, 8, true, ""}, {10, 10, 4, true, "████"}, {5, 10, 4, true, "██"}, {1, 1 << 60, 8, true, "▏"},
		{3, 8, 2, true, "▊"}, {10, 10, 4, false, "####"}, {1, 1 << 60, 8, false, "#"}, {-5, 10, 8, true, ""},
	} {
		if got := bar(c.n, c.most, c.width, c.blocks); got != c.want {
			t.Errorf("bar(%d, %d, %d, %v) = %q, not %q", c.n, c.most, c.width, c.blocks, got, c.want)
		}
	}
	for locale, want := range map[string]bool{"": true, "C": false, "POSIX": false, "en_US.UTF-8": true, "C.utf8": true, "de_DE.ISO-8859-1": false} {
		if got := unicodeLocale(func(name string) string { return map[string]string{"LC_CTYPE": locale}[name] }); got != want {
			t.Errorf("a terminal of %q shows blocks: %v", locale, got)
		}
	}
}

func TestAdjacent(t *testing.T) {
	for _, c := range []struct {
		by, a, b string
		want     bool
	}{
		{"day", "2026-02-28", "2026-03-01", true}, {"day", "2026-03-01", "2026-03-03", false}, {"day", "-", "2026-03-03", true},
		{"hour", "2026-03-01T23", "2026-03-02T00", true}, {"hour", "2026-03-01T22", "2026-03-02T00", false},
	} {
		if got := adjacent(c.by, c.a, c.b); got != c.want {
			t.Errorf("adjacent(%s, %s, %s) = %v", c.by, c.a, c.b, got)
		}
	}
}

func TestBranches(t *testing.T) {
	var nodes []report.Node
	for _, depth := range []int{0, 1, 2, 2, 1, 2, 0, 1} {
		nodes = append(nodes, report.Node{Depth: depth})
	}
	want := "|├─ |│  ├─ |│  └─ |└─ |   └─ ||└─ "
	if got := strings.Join(branches(nodes, 40), "|"); got != want {
		t.Errorf("%s, not\n%s", got, want)
	}
}

func anyLine(t *rapid.T) report.Line {
	n := rapid.Int64()
	return report.Line{
		Key: string(anyText().Draw(t, "key")), Jobs: n.Draw(t, "jobs"), Processes: n.Draw(t, "processes"), Wall: n.Draw(t, "wall"), CPU: n.Draw(t, "cpu"),
		MaxRSS: n.Draw(t, "rss"), ReadBytes: n.Draw(t, "read"), WriteBytes: n.Draw(t, "written"),
		Units: maybe(rapid.Float64Range(-1e12, 1e12)).Draw(t, "units"), Estimated: rapid.Bool().Draw(t, "estimated"),
	}
}

// A report fits too, whatever is in it.
func TestReportFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out strings.Builder
		a := testApp()
		a.stdout, a.width = &out, rapid.SampledFrom([]int{columns, leastColumns, 132}).Draw(t, "width")
		r := report.Report{
			By:    rapid.SampledFrom([]string{"user", "group", "day", "hour", "tag:\x1bx"}).Draw(t, "by"),
			Lines: rapid.SliceOfN(rapid.Custom(anyLine), 0, 5).Draw(t, "lines"), Other: maybe(rapid.Custom(anyLine)).Draw(t, "other"),
			Total: anyLine(t), From: maybe(anyTime()).Draw(t, "from"), To: maybe(anyTime()).Draw(t, "to"),
		}
		if err := a.writeReport(r, reportView{summary: rapid.Bool().Draw(t, "summary")}); err != nil {
			t.Fatal(err)
		}
		fits(t, "report", out.String(), a.width)
	})
}
