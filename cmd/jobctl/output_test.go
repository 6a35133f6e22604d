package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// JSON on a terminal moves no cursor and turns no text round, and says the same.
func TestJSONIsFitForATerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bad := rapid.SampledFrom([]string{"\u009b2J", "\x7f", "\u202eroot", "\u2028", "\U000e0041", "\ufeff", "\u00ad", "é", "日本", "<&>"})
		in := []string{rapid.OneOf(rapid.String(), bad).Draw(t, "text"), bad.Draw(t, "bad")}
		var out strings.Builder
		if err := writeJSON(&out, in); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if hostile(r) && r != '\n' {
				t.Fatalf("%q is written as %q", in, out.String())
			}
		}
		var back []string
		if err := json.Unmarshal([]byte(out.String()), &back); err != nil || len(back) != 2 {
			t.Fatalf("%q is written as %q: %v", in, out.String(), err)
		}
		if utf8.ValidString(in[0]) && back[0] != in[0] || back[1] != in[1] {
			t.Fatalf("%q comes back as %q", in, back)
		}
	})
}
