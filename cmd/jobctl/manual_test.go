package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manual = "../../docs/man/jobctl.1"

// TestManual holds the man page to the program: each verb has an entry, and each of its flags stands there.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, cmd := range allCommands() {
		entry := entryOf(page, cmd)
		if entry == "" {
			t.Errorf("%s has no entry for %s", manual, cmd.Name())
		}
		if strings.Contains(entry, "FILTER") {
			entry += filtersOf(page)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(entry, roff("--"+f.Name)) && !strings.Contains(page, "\n.BR \\-"+f.Shorthand+" \", \" "+roff("--"+f.Name)) {
				t.Errorf("%s: the entry for %s lacks --%s", manual, cmd.Name(), f.Name)
			}
			if f.Shorthand != "" && !strings.Contains(page, roff("-"+f.Shorthand)) {
				t.Errorf("%s: %s lacks -%s", manual, cmd.Name(), f.Shorthand)
			}
		})
	}
}

// TestManualHasNoMore: what the man page has an entry for is there.
func TestManualHasNoMore(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, cmd := range allCommands() {
		known[cmd.Name()] = true
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
	}
	_, verbs, _ := strings.Cut(string(text), "\n.SH VERBS\n")
	verbs, _, _ = strings.Cut(verbs, "\n.SH ")
	for _, m := range regexp.MustCompile(`(?m)^\.TP\n\.[A-Z]+ ([a-z]+)`).FindAllStringSubmatch(verbs, -1) {
		if !known[m[1]] {
			t.Errorf("%s has an entry for %s, which is no verb", manual, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\\-\\-[a-z]+(\\-[a-z]+)*`).FindAllString(string(text), -1) {
		if flag := strings.ReplaceAll(m, `\-`, "-"); !known[flag] {
			t.Errorf("%s has %s, which is no flag", manual, flag)
		}
	}
}

// allCommands are jobctl itself and its verbs, with the flags that cobra adds.
func allCommands() []*cobra.Command {
	root := testApp().root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	list := append([]*cobra.Command{root}, root.Commands()...)
	for _, cmd := range list {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
	}
	return list
}

func roff(s string) string { return strings.ReplaceAll(s, "-", `\-`) }

// entryOf is the paragraph of a verb: from its name after .TP to the next verb, or all of the page for jobctl itself.
func entryOf(page string, cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return page
	}
	start := regexp.MustCompile(`(?m)^\.TP\n\.[A-Z]+ ` + cmd.Name() + `( .*)?$`).FindStringIndex(page)
	if start == nil {
		return ""
	}
	entry := page[start[0]:]
	if end := regexp.MustCompile(`(?m)^(\.TP\n\.[A-Z]+ [a-z]|\.S[HS] )`).FindStringIndex(entry[1:]); end != nil {
		entry = entry[:end[0]+1]
	}
	return entry
}

// filtersOf is what several verbs have in common.
func filtersOf(page string) string {
	_, text, _ := strings.Cut(page, "\n.SS Filters\n")
	text, _, _ = strings.Cut(text, "\n.S")
	return text
}

// TestHelp: each verb explains itself, with an example that names it, in lines that fit a terminal.
func TestHelp(t *testing.T) {
	for _, cmd := range allCommands() {
		if cmd.Name() == "completion" {
			continue // cobra's own
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) || cmd.Long == "" && cmd.Name() != "help" {
			t.Errorf("%s does not explain itself: %q, %q", cmd.Name(), cmd.Long, cmd.Example)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s does not explain --%s", cmd.Name(), f.Name)
			}
		})
		for line := range strings.Lines(cmd.Long + "\n" + cmd.UsageString()) {
			if n := cells(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%s: the help has a line of %d columns: %s", cmd.Name(), n, line)
			}
		}
	}
}

// TestVerbs are those of the contract, and no more: what is not there yet is no verb, not even one that says so.
func TestVerbs(t *testing.T) {
	want := "adopt attach completion create db detach doctor drain engine help history id kill limit list move procs ps release report resume run selfcheck " +
		"show status tag tree wait watch"
	var names []string
	for _, cmd := range allCommands()[1:] {
		names = append(names, cmd.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the verbs are\n%s, not\n%s", got, want)
	}
}
