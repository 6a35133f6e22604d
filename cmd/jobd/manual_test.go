package main

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestManualHasEveryFlag holds jobd(8) against what jobd itself prints of its flags, both ways.
func TestManualHasEveryFlag(t *testing.T) {
	var usage bytes.Buffer
	if _, err := parseConfig([]string{"--help"}, &usage); err == nil {
		t.Fatal("--help is no error")
	}
	page, err := os.ReadFile("../../docs/man/jobd.8")
	if err != nil {
		t.Fatal(err)
	}
	names := func(b []byte, pattern string) []string {
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(b, -1) {
			out = append(out, string(bytes.ReplaceAll(m[1], []byte(`\-`), []byte("-"))))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	flags := names(usage.Bytes(), `(?m)^  -([a-z-]+)`)
	manual := names(page, `(?m)^\.BI? \\-\\-([a-z\\-]+)`)
	if len(flags) == 0 || !slices.Equal(flags, manual) {
		t.Errorf("flags %v, in the manual %v", flags, manual)
	}
}

// TestDoctorsManual does the same for jobd-doctor(8).
func TestDoctorsManual(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/jobd-doctor.8")
	if err != nil {
		t.Fatal(err)
	}
	var flags, manual []string
	(&doctorFlags{}).flags().VisitAll(func(f *flag.Flag) { flags = append(flags, f.Name) })
	for _, m := range regexp.MustCompile(`(?m)^\.BI? \\-\\-([a-z\\-]+)`).FindAllSubmatch(page, -1) {
		manual = append(manual, string(bytes.ReplaceAll(m[1], []byte(`\-`), []byte("-"))))
	}
	slices.Sort(manual)
	if !slices.Equal(flags, manual) {
		t.Errorf("flags %v, in the manual %v", flags, manual)
	}
}
