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
	d.spent, d.said = t.Used, make(map[string]metrics.Used, len(t.Said))
	for label, u := range t.Said {
		d.said[label] = metrics.Used{CPU: u.CPU, Read: u.Read, Write: u.Write}
	}
	return nil
}

const (
	keepEvery = 500 * time.Millisecond // who scrapes more often is told the same again: everybody may, and a commit is a write to the disk
	keepMost  = 500 * time.Millisecond // a scrape does not wait longer for the disk
)

// keeper gives what a collector has its counters kept by.
func (d *jobd) keeper() func(map[string]metrics.Used) bool {
	var tried time.Time // the collector calls it one at a time
	return func(more map[string]metrics.Used) bool {
		if time.Since(tried) < keepEvery {
			return false
		}
		said := make(map[string]store.Total, len(more))
		for label, u := range more {
			said[label] = store.Total{CPU: u.CPU, Read: u.Read, Write: u.Write}
		}
		ctx, cancel := context.WithTimeout(context.Background(), keepMost)
		defer cancel()
		d.store.PutSaid(said)
		err := d.store.Flush(ctx) // one that fails is counted, and logged, by the store
		tried = time.Now()
		return err == nil
	}
}

// forgetTotals adds to those of nobody what was of users who were taken out of the books.
func (d *jobd) forgetTotals(before, left map[string]store.Total) {
	for name := range before {
		if _, ok := left[name]; !ok {
			d.spent[store.Forgotten] = d.spent[store.Forgotten].Plus(d.spent[name])
			delete(d.spent, name)
		}
	}
}
