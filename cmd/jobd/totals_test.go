package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/metrics"
	"github.com/jobd-project/jobd/store"
)

// What jobd adds up in memory is what the books add up, whoever is forgotten; and what is kept is there for the next one.
func TestTotals(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "jobd.db"), store.Options{HID: 7, Floor: -1, KeepJobs: -1, KeepRecords: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := &jobd{store: s, cfg: &config{settings: defaultSettings()}, commands: make(chan command), rouse: func() {}, settle: func() {}}
	go func() {
		for {
			select {
			case c := <-d.commands:
				c.done <- c.do()
			case <-t.Context().Done():
				return
			}
		}
	}()
	same := func(when string) {
		t.Helper()
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, err := s.Totals()
		if diff := cmp.Diff(left.Used, d.spent, cmpopts.EquateApprox(0, 1e-9)); diff != "" || err != nil {
			t.Errorf("%s: %v, in the books and in memory:\n%s", when, err, diff)
		}
	}
	if err := d.readTotals(); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		j := job.Saved{Info: job.Info{JID: job.NewJID(7, uint32(i+1)), User: fmt.Sprint("user", i%3), UID: uint32(2000 + i%3)}}
		j.State, j.Started, j.Ended = job.Ended, time.Now(), new(time.Now())
		if i%4 > 0 {
			j.CPU, j.ReadBytes = new(int64(i)*123_456_789), new(int64(i)*4096)
		}
		s.EndJob(j)
		d.account(&j.Info)
	}
	same("jobs have ended")
	who := store.Person{UID: new(uint32(2001)), Sums: func(names []string) ([]string, error) { return d.forgetSums(t.Context(), names) }}
	if _, _, err := s.Forget(t.Context(), who, nil); err != nil {
		t.Fatal(err)
	}
	same("somebody is forgotten")
	keep := d.keeper()
	if done := keep(map[string]metrics.Used{"user0": {CPU: 3}}); done == nil {
		t.Error("nothing is kept")
	} else if err := <-done; err != nil {
		t.Error(err)
	}
	if keep(map[string]metrics.Used{"user0": {CPU: 4}}) != nil {
		t.Error("it is kept again at once: whoever scrapes has the disk written to")
	}
	if got, err := s.Totals(); err != nil || got.Said["user0"].CPU != 3 {
		t.Errorf("read %v, %v", got.Said, err)
	}
}
