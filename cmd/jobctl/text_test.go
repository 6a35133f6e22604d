package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "-",
		"bash":                 "bash",
		"two words":            "two words",
		"\x1b[2J":              `\x1b[2J`,
		"a\r\nb\tc":            `a\r\nb\tc`,
		"\u202egnp.exe":        `\u202egnp.exe`, // turns the writing round
		"\u009b31m":            `\u009b31m`,     // the escape sequence's other form
		"\u00a0\u2028\ufeff":   `\u00a0\u2028\ufeff`,
		"DESY\\alice":          `DESY\alice`,
		"Jörg":                 "Jörg",
		"日本":                   "日本",
		"bad\xffutf8":          "bad�utf8",
		"\U000e0041invisible":  `\U000e0041invisible`,
		"zero\u200bwidth\x00x": `zero\u200bwidth\x00x`,
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, not %q", in, got, want)
		}
	}
}

func TestCells(t *testing.T) {
	for in, want := range map[string]int{
		"": 0, "bash": 4, "Jörg": 4, "o\u0308": 1, "日本": 4, "한글": 4, "ｆｕｌｌ": 8, "🐧": 2, "├─ ": 3, "…": 1, "￥": 2, "𠀋": 2, "é": 1,
	} {
		if got := cells(in); got != want {
			t.Errorf("cells(%q) = %d, not %d", in, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"alice", 5, "alice"}, {"alice", 4, "ali…"}, {"alice", 1, "…"}, {"alice", 0, ""}, {"alice", -3, ""},
		{"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"日本語", 6, "日本語"}, {"", 0, ""},
	} {
		if got := shorten(c.in, c.width); got != c.want {
			t.Errorf("shorten(%q, %d) = %q, not %q", c.in, c.width, got, c.want)
		}
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{{"alice", 9, "alice"}, {"alice", 3, "ice"}, {"alice", 0, ""}, {"a日", 1, ""}, {"a日", 2, "日"}} {
		if got := tail(c.in, c.width); got != c.want {
			t.Errorf("tail(%q, %d) = %q, not %q", c.in, c.width, got, c.want)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 13, []string{"one two three"}},
		{"one two three", 10, []string{"one two", "three"}},
		{"0123456789abc", 5, []string{"01234", "56789", "abc"}},
		{"  0123456789", 6, []string{"  0123", "456789"}},
		{"日本語", 1, []string{"日", "本", "語"}},
	} {
		if diff := cmp.Diff(c.want, fold(c.in, c.width)); diff != "" {
			t.Errorf("fold(%q, %d): %s", c.in, c.width, diff)
		}
	}
}
