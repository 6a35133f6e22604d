package main

import (
	"context"
	"time"

	"github.com/jobd-project/jobd/metrics"
	"github.com/jobd-project/jobd/store"
)

// Prometheus takes the smallest fall of a counter for a restart from 0, and adds all of it once more. So what users' jobs used is in the
// books, added up in the transaction that writes down a job's end, and what is said of it is in them before it is said.

// readTotals reads what the counters of use go on from.
func (d *jobd) readTotals() error {
	t, err := d.store.Totals()
	if err := d.unlessDamaged("totals of users", err); err != nil {
		return err
	}
	said := make(map[string]metrics.Used, len(t.Said))
	for label, u := range t.Said {
		said[label] = metrics.Used{CPU: u.CPU, Read: u.Read, Write: u.Write}
	}
	d.spent = t.Used
	d.counters = metrics.New(d.measure, metrics.Options{NoUsers: !d.cfg.Metrics.Users, Said: said, Keep: d.keeper()})
	return nil
}

// keepEvery is between two that are kept: everybody may scrape, and a commit is a write to the disk.
const keepEvery = 500 * time.Millisecond

// keeper gives what a collector has its counters kept by.
func (d *jobd) keeper() func(map[string]metrics.Used) <-chan error {
	var tried time.Time // the collector calls it one at a time
	return func(more map[string]metrics.Used) <-chan error {
		if time.Since(tried) < keepEvery {
			return nil
		}
		tried = time.Now()
		said := make(map[string]store.Total, len(more))
		for label, u := range more {
			said[label] = store.Total{CPU: u.CPU, Read: u.Read, Write: u.Write}
		}
		d.store.PutSaid(said)
		done := make(chan error, 1)
		go func() { done <- d.store.Flush(context.Background()) }() // one that fails is counted, and logged, by the store
		return done
	}
}

// forgetSums adds to those of nobody what was of users who are being taken out of the books, and forgets what was said of it.
func (d *jobd) forgetSums(ctx context.Context, names []string) (said []string, err error) {
	err = d.do(ctx, func() error {
		for _, name := range names {
			if spent, ok := d.spent[name]; ok {
				d.spent[store.Forgotten] = d.spent[store.Forgotten].Plus(spent)
				delete(d.spent, name)
			}
		}
		return nil
	})
	for _, name := range names {
		d.counters.Forget(name) // after a scrape that has begun before
	}
	return saidOf(names), err
}

// saidOf gives what users' counters are called in the books.
func saidOf(names []string) (said []string) {
	for _, name := range names {
		if label := metrics.Label(name); label != "" {
			said = append(said, label)
		}
	}
	return said
}
