package main

import (
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// noon is when the stories take place.
func noon() time.Time { return time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC) }

// TestMain gives the stories a jobctl of their own: main itself, but for the clock.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"jobctl": func() {
			a := newApp()
			a.now = noon
			if os.Getenv("STORY_EUID") != "" { // an ordinary user, as far as jobctl knows
				a.euid = 1000
			}
			os.Exit(a.main(os.Args[1:]))
		},
	})
}

func testApp() *app {
	return &app{width: columns, now: noon, users: map[uint32]string{0: "root", 1000: "alice"}}
}
