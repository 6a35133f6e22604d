package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"testing"
)

var (
	wanted   = flag.Bool("bench-table", false, "measure and print the table, in place of this package's tests")
	only     = flag.String("only", "", "measure only the sections whose names match this `pattern`")
	rounds   = flag.Int("rounds", 10, "storms of each kind that are compared")
	sessions = flag.Int("sessions", 300, "sessions opened one after the other")
	lone     = flag.Int("lone", 60, "sessions opened with a pause before each")
	millions = flag.Int("millions", 10, "process records in the books on which jobd is started")
	prebuilt = flag.String("jobd", "", "measure this `file`, not what this source tree builds")
)

// sections are the parts of the table, in its order.
var sections = []struct {
	name string
	run  func(*bench) error
}{
	{"process", (*bench).process},
	{"strangers", (*bench).strangers},
	{"ran", (*bench).ran},
	{"login", (*bench).login},
	{"size", (*bench).size},
	{"start", (*bench).startup},
	{"attach", (*bench).attach},
	{"dispatch", (*bench).dispatch},
	{"lists", (*bench).lists},
	{"watching", (*bench).watching},
	{"books", (*bench).books},
	{"sustained", (*bench).sustained},
	{"accuracy", (*bench).accuracy},
	{"micro", (*bench).micro},
}

// TestMain measures when it is asked to; else the package's own tests run, so that `go test ./...` stays quick.
func TestMain(m *testing.M) {
	flag.Parse()
	if !*wanted {
		os.Exit(m.Run())
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bad -only:", err)
		os.Exit(2)
	}
	if why := unable(); why != "" {
		fmt.Println("skipped:", why)
		os.Exit(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = measure(ctx, pattern)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// unable says why nothing can be measured here.
func unable() string {
	if os.Geteuid() != 0 {
		return "jobd and its measuring need root"
	}
	if cgroupMount() == "" {
		return "no cgroup v2 is mounted, and CPU can't be told without"
	}
	return ""
}

// measure runs the sections that are wanted and prints the table, also of what was measured before something broke.
func measure(ctx context.Context, pattern *regexp.Regexp) (err error) {
	b, err := newBench(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, s := range sections {
		if !pattern.MatchString(s.name) {
			continue
		}
		if failed := s.run(b); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, failed))
			b.add(row{what: s.name, measured: "failed, see below", ok: no})
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.print(os.Stdout)
	fmt.Print(b.appendix)
	return err
}
