package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jobd-project/jobd/job"
)

// TestKilled has a child do one thing to a database again and again, and kills it at any moment: whatever it was about,
// the file opens, a check finds nothing, and what was in the books is there, once.
func TestKilled(t *testing.T) {
	if path := os.Getenv("STORE_KILLED"); path != "" {
		untilKilled(t, path, os.Getenv("STORE_KILLED_AT"))
		return
	}
	for _, what := range []string{"commit", "compact", "backup", "forget", "retain"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "jobd.db")
			s := fullBooks(t, path, 100)
			want := contentsOf(t, s)
			must(t, s.Close())
			rng := rand.New(rand.NewPCG(1, 2))
			for range 5 {
				killOnce(t, path, what, time.Duration(rng.IntN(60))*time.Millisecond)
				s := opened(t, path, Options{HID: 7, KeepRecords: -1, KeepJobs: -1})
				if s.SetAside() != nil {
					t.Fatal(s.SetAside())
				}
				afterKill(t, s, what, want)
				must(t, s.Close())
			}
		})
	}
}

// killOnce starts a child and kills it so long after it has begun.
func killOnce(t *testing.T, path, what string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
	cmd.Env = append(os.Environ(), "STORE_KILLED="+path, "STORE_KILLED_AT="+what)
	begun, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := begun.Read(make([]byte, 1)); err != nil {
		t.Error("the child has not begun:", err)
	}
	time.Sleep(after) // anything will do: it is the moment that is to be any
	must(t, cmd.Process.Kill())
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Error("it was not killed:", err)
	}
}

// untilKilled is the child.
func untilKilled(t *testing.T, path, what string) {
	o := Options{HID: 7, KeepRecords: 36 * time.Hour, KeepJobs: -1, Now: day0, Delay: time.Millisecond}
	for n := uint32(0); ; n++ {
		if n == 0 {
			_, _ = os.Stdout.WriteString("!")
		}
		if what == "compact" {
			_, _, err := Compact(t.Context(), path, nil)
			must(t, err)
			continue
		}
		s, err := Open(path, o)
		must(t, err)
		switch what {
		case "commit":
			for i := range uint32(100) {
				s.PutJob(saved(job.NewJID(7, 100_000+i)))
				s.PutMoment(job.Moment{Time: day0, Kind: job.MomentConfig})
				flush(t, s)
			}
		case "backup":
			f, err := os.Create(path + ".backup")
			must(t, err)
			must(t, s.Backup(t.Context(), f))
			must(t, f.Close())
		case "forget":
			_, _, err := s.Forget(t.Context(), Person{User: "alice"}, nil)
			must(t, err)
		case "retain":
			must(t, s.Retain(t.Context(), day0.Add(time.Duration(n+1)*24*time.Hour)))
		}
		must(t, s.Close())
	}
}

// afterKill compares with what was there at the beginning, as far as it must still be.
func afterKill(t *testing.T, s *Store, what string, want contents) {
	t.Helper()
	wellKept(t, s)
	got := contentsOf(t, s)
	got.Moments = slices.DeleteFunc(got.Moments, func(m job.Moment) bool { return m.Kind != job.MomentStart })
	switch what {
	case "commit":
		got.Open = slices.DeleteFunc(got.Open, func(j job.Saved) bool { return j.Seq >= 100_000 })
	case "forget":
		for i := range got.Ended {
			if u := got.Ended[i].User; u == "forgotten" {
				got.Ended[i] = want.Ended[i] // whether it is right is another test's matter
			}
		}
		for i := range got.Records {
			if got.Records[i].Usage.Comm == "forgotten" {
				got.Records[i] = want.Records[i]
			}
		}
	case "retain": // whole days are gone, or none of a day
		days := make(map[string]bool)
		for i := range got.Records {
			days[dayOf(got.Records[i].End)] = true
		}
		want.Records = slices.DeleteFunc(slices.Clone(want.Records), func(r job.Record) bool { return !days[dayOf(r.End)] })
		want.Parts, got.Parts = nil, nil
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
}
