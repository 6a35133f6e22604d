package kernel

import (
	"strings"
	"testing"
)

// TestAhead: how many more processes a job has than the table says, which process 5 is in, by what waits to be read.
func TestAhead(t *testing.T) {
	for _, c := range []struct {
		name, told, waits string
		want              int64
	}{
		{"nothing", "", "", 0},
		{"births", "", "c10<5 c11<10", 2},
		{"threads are not counted", "", "c10<5 t10.11 e10.11 x10.10", 1},
		{"births and exits", "", "c10<5 c11<10 E10.10 f10.10", 1},
		{"the exit of one of the table", "c10<5", "E10.10", -1},
		{"a birth that the table has", "c10<5", "C10", 0},
		{"told twice", "", "c10<5 C10", 1},
		{"two that exit at once are each the last", "c10<5 t10.11", "E10.11 E10.10", -1},
		{"born, and twice the last", "", "c10<5 t10.11 E10.11 E10.10", 0},
		{"who is over already", "c10<5 E10.10", "E10.10", 0},
		{"of whom the table knows nothing", "", "E20.20", 0},
		{"the pid used again", "", "c10<5 E10.10 c10<5", 1},
		{"of another job", "", "c10<20/8 E10.10/8", 0},
	} {
		s := newStage(t)
		s.play(c.told)
		a := ahead{of: 7, there: make(map[known]bool)}
		for _, word := range strings.Fields(c.waits) {
			ev := s.event(word)
			a.see(s.c, &ev)
		}
		if a.more != c.want {
			t.Errorf("%s: %d more, want %d", c.name, a.more, c.want)
		}
	}
}
