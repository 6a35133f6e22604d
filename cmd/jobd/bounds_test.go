package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job/control"
)

// A job's tags are bounded, whoever owns it.
func TestTagsAreBounded(t *testing.T) {
	many := make(map[string]string)
	for i := range tagsMost {
		many[strconv.Itoa(i)] = "x"
	}
	long := strings.Repeat("x", tagTextMost)
	for _, tt := range []struct {
		name       string
		have, more map[string]string
		ok         bool
	}{
		{"one", nil, map[string]string{"k": long}, true}, {"as many as may be", nil, many, true},
		{"one too many", many, map[string]string{"k": ""}, false}, {"none", nil, nil, false}, {"no key", nil, map[string]string{"": "x"}, false},
		{"a long key", nil, map[string]string{long: ""}, false}, {"a long value", nil, map[string]string{"k": long + "x"}, false},
	} {
		if err := checkTags(tt.have, tt.more); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A regular expression is refused that would keep jobd busy with every record.
func TestLargeExpressionIsRefused(t *testing.T) {
	for _, x := range []string{"(x{100}){10}", "(a|b){900}", "x{1000}x"} {
		if _, err := matcher(control.Request{Command: x}); err == nil {
			t.Errorf("%s is taken", x)
		}
		if _, err := matcher(control.Request{Exe: x}); err == nil {
			t.Errorf("%s is taken", x)
		}
	}
}
