package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Random operations by real processes, and the reference model beside them. On a failure the operations are in a file that
// runs again with
//
//	go test ./cmd/jobd/e2e -run TestRandom -args -random-replay FILE
var (
	randomSeed   = flag.Uint64("random-seed", 0, "of the random operations; 0: one that is new each time")
	randomSteps  = flag.Int("random-steps", 0, "how many random operations, for each kind of witness; 0: 700, with JOBD_FULL=1 3,000")
	randomReplay = flag.String("random-replay", "", "a file of operations to do in place of random ones; with # witness NAME")
	randomShrink = flag.Duration("random-shrink", 0, "for so long, look for fewer operations that fail")
)

// checkEvery is how many operations there are from one comparison to the next.
const checkEvery = 20

// randomStacks is what the kernel can testify, and how jobd is started for that.
var randomStacks = []struct {
	witness string
	args    []string
}{
	{"cgroup", nil},
	{"audit", []string{"--cgroup", "off"}},
	{"label", []string{"--cgroup", "off", keepsLabels}},
	{"none", []string{"--cgroup", "off"}},
}

func TestRandom(t *testing.T) {
	if *randomReplay != "" {
		replayRandom(t)
		return
	}
	steps := *randomSteps
	switch {
	case steps > 0:
	case os.Getenv("JOBD_FULL") == "1":
		steps = 3000
	default:
		steps = 700
	}
	seed := *randomSeed
	if seed == 0 {
		seed = rand.Uint64N(1e9) + 1
	}
	for _, s := range randomStacks {
		t.Run(s.witness, func(t *testing.T) {
			t.Logf("replay with: -run TestRandom/%s -args -random-seed %d -random-steps %d", s.witness, seed, steps)
			r := newRandom(t, s.witness, s.args)
			rng := rand.New(rand.NewPCG(seed, uint64(len(s.witness))))
			err := r.wander(rng, steps)
			t.Logf("%d operations: %s", len(r.done), r.summary())
			if err != nil {
				r.complain(err, s.args)
			}
		})
	}
}

// replayRandom does the operations of a file.
func replayRandom(t *testing.T) {
	b, err := os.ReadFile(*randomReplay)
	must(t, err)
	ops, witness := []string{}, "cgroup"
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# witness "); ok {
			witness = name
		} else if line != "" && line[0] != '#' {
			ops = append(ops, line)
		}
	}
	for _, s := range randomStacks {
		if s.witness == witness {
			r := newRandom(t, s.witness, s.args)
			if err := r.replay(ops); err != nil {
				r.complain(err, s.args)
			}
		}
	}
}

// wander does random operations until they are enough.
func (r *random) wander(rng *rand.Rand, steps int) error {
	for try := 0; len(r.done) < steps && try < 20*steps; try++ {
		before := len(r.done)
		if err := r.do(r.propose(rng)); err != nil {
			return err
		}
		if len(r.done) > before && len(r.done)%checkEvery == 0 {
			if err := r.compare(); err != nil {
				return err
			}
		}
	}
	return r.finish()
}

// replay does given operations, and leaves out those that cannot be done.
func (r *random) replay(ops []string) error {
	for _, op := range ops {
		if err := r.do(op); err != nil {
			return err
		}
		if err := r.compare(); err != nil {
			return err
		}
	}
	return r.finish()
}

// complain says what went wrong, after which operations, and how to do them again.
func (r *random) complain(err error, args []string) {
	r.t.Helper()
	ops := r.done
	if *randomShrink > 0 {
		ops, err = shrink(r.t, r.m.witness, args, ops, err)
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("jobd-random-%s-%d.txt", r.m.witness, time.Now().UnixNano()))
	text := "# witness " + r.m.witness + "\n" + strings.Join(ops, "\n") + "\n"
	must(r.t, os.WriteFile(path, []byte(text), 0o644))
	last := ops[max(0, len(ops)-40):]
	if r.h.cmd != nil {
		_ = r.h.cmd.Process.Signal(unix.SIGCONT)
		r.h.stop(unix.SIGTERM)
	}
	r.t.Errorf("%v\nafter %d operations, the last of them:\n  %s\nreplay with: -run TestRandom -args -random-replay %s [-random-shrink 5m]",
		err, len(ops), strings.Join(last, "\n  "), path)
}

// shrink leaves out operations while what is left goes wrong still.
func shrink(t *testing.T, witness string, args, ops []string, err error) ([]string, error) {
	end := time.Now().Add(*randomShrink)
	for size := len(ops) / 2; size > 0; {
		less := false
		for at := 0; at < len(ops) && time.Now().Before(end); {
			fewer := append(append([]string{}, ops[:at]...), ops[min(at+size, len(ops)):]...)
			var now error
			t.Run("shrink", func(t *testing.T) {
				r := newRandom(t, witness, args)
				r.quiet = true
				if now = r.replay(fewer); r.h.cmd != nil {
					r.h.stop(unix.SIGKILL)
				}
			})
			if now != nil {
				ops, err, less = fewer, now, true
			} else {
				at += size
			}
		}
		if !less {
			size /= 2
		}
	}
	return ops, err
}
