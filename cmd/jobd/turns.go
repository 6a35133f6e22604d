package main

import (
	"context"

	"github.com/jobd-project/jobd/job/control"
)

// turns keeps ordinary users from taking the host's CPUs for their questions, which would make logins wait: one of theirs
// at a time goes through the books.
type turns chan struct{}

func newTurns() turns { return make(turns, 1) }

// turn is a question's place in the queue. Root's, and that of the admin group, is at the front.
type turn struct {
	turns turns // nil: no need to wait
	have  bool
}

func (t turns) of(peer control.Peer) *turn {
	if trusted(peer) {
		return &turn{}
	}
	return &turn{turns: t}
}

// take waits for the turn, unless the question has it.
func (t *turn) take(ctx context.Context) error {
	if t.turns == nil || t.have {
		return nil
	}
	select {
	case t.turns <- struct{}{}:
		t.have = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// give lets the next one go on: before something is written to a client who may be slow, and in the end.
func (t *turn) give() {
	if t.have {
		t.have = false
		<-t.turns
	}
}
