package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/store"
)

// How records come while the loop is watched: as the event loop hands them over, those of a burst at a time.
const (
	perSecond  = 20_000
	seconds    = 10
	burst      = 5 * time.Millisecond
	perBurst   = perSecond / int(time.Second/burst)
	handedOver = perSecond * seconds
)

// sustained measures how long the event loop waits for the books while 20,000 records come in a second and the writer is
// at work. The longest time of all says as much about the machine as about the store, so the clock is looked at once more
// after each record, with nothing in between: what that takes is the machine.
func (b *bench) sustained() (err error) {
	home, err := b.newHome()
	if err != nil {
		return err
	}
	s, err := store.Open(home+"/jobd.db", store.Options{Now: time.Now()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := newLoad(time.Now(), seconds*time.Second, job.NewJID(s.HID(), 1), handedOver/10, handedOver)
	put, clock := make(samples, 0, handedOver), make(samples, 0, handedOver)
	start, late := time.Now(), 0
	for i := range handedOver {
		if i%perBurst == 0 {
			due := start.Add(time.Duration(i/perBurst) * burst)
			if late = max(late, int(time.Since(due)/burst)); b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			time.Sleep(time.Until(due))
		}
		r, _ := l.record(i)
		before := time.Now()
		s.PutRecord(r)
		between := time.Now()
		after := time.Now()
		put, clock = append(put, float64(between.Sub(before))), append(clock, float64(after.Sub(between)))
	}
	took := time.Since(start)
	return b.reportSustained(s, put, clock, took, late)
}

func (b *bench) reportSustained(s *store.Store, put, clock samples, took time.Duration, late int) error {
	if err := s.Flush(context.Background()); err != nil {
		return err
	}
	st, rate := s.Stats(), handedOver/took.Seconds()
	b.add(row{
		what:     fmt.Sprintf("handing over a record, %s a second for %d s: longest", number(perSecond), seconds),
		measured: fmt.Sprintf("%.3f ms", put.at(1)/1e6), beside: fmt.Sprintf("nothing, so timed: %.3f ms", clock.at(1)/1e6),
		target: "< 5 ms", ok: met(put.at(1) < 5e6),
	})
	us := func(s samples) string {
		return fmt.Sprintf("%.2f µs, %.2f µs, %.2f µs", s.median()/1e3, s.at(.99)/1e3, s.at(.999)/1e3)
	}
	b.add(row{what: "  median, p99, p99.9", measured: us(put), beside: us(clock)})
	b.add(row{
		what: "  in fact, in commits, dropped", measured: fmt.Sprintf("%s/s, %d, %d", number(int(rate)), st.Commits, st.Dropped),
		beside: fmt.Sprintf("bursts that were behind: at most %d", late), target: "none dropped", ok: met(st.Dropped == 0),
	})
	return nil
}
