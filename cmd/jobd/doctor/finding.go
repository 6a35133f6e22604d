package doctor

import "fmt"

// State is what a finding comes to.
type State string

// Fail is what keeps jobd from doing its work, or users from logging in; Warn is what it can do without. Skip is not known: Seen says
// why.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
	Skip State = "skip"
)

// Finding is one thing that was looked at. The names are those of docs/operations.md.
type Finding struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Seen  string `json:"seen"`
	Do    string `json:"do"` // what there is to do about it; empty where it is ok
}

func ok(name, format string, args ...any) Finding {
	return Finding{Name: name, State: OK, Seen: fmt.Sprintf(format, args...)}
}

func warn(name, do, format string, args ...any) Finding {
	return Finding{Name: name, State: Warn, Do: do, Seen: fmt.Sprintf(format, args...)}
}

func fail(name, do, format string, args ...any) Finding {
	return Finding{Name: name, State: Fail, Do: do, Seen: fmt.Sprintf(format, args...)}
}

func skip(name, format string, args ...any) Finding {
	return Finding{Name: name, State: Skip, Seen: fmt.Sprintf(format, args...)}
}

// needsRoot is what has to be said where an ordinary user asks.
func needsRoot(name string) Finding { return skip(name, "needs root") }

// Answer is all that was found.
type Answer struct {
	Version  string        `json:"version"` // of this program
	Passed   bool          `json:"passed"`  // nothing failed
	Counts   map[State]int `json:"counts"`
	TookNS   int64         `json:"took_ns"`
	Findings []Finding     `json:"findings"`
}

func (a *Answer) count() {
	a.Counts = map[State]int{OK: 0, Warn: 0, Fail: 0, Skip: 0}
	for _, f := range a.Findings {
		a.Counts[f.State]++
	}
	a.Passed = a.Counts[Fail] == 0
}
