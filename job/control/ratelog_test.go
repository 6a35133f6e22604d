package control

import (
	"strings"
	"testing"
	"time"
)

func TestRateLog(t *testing.T) {
	log := &logText{}
	r := newRateLog(log.logger())
	for range 100 {
		r.warn(Peer{Payer: 1}, "loud")
	}
	r.warn(Peer{Payer: 2}, "quiet")
	if n := strings.Count(log.String(), "loud"); n != linesPerUser || !strings.Contains(log.String(), "quiet") {
		t.Errorf("%d lines:\n%s", n, log)
	}
	kept, ok := r.pass(1, time.Now().Add(linesEvery))
	if !ok || kept != 100-linesPerUser {
		t.Errorf("later: %d, %v", kept, ok)
	}
	for range linesPerUser + 7 {
		r.pass(3, time.Now())
	}
	told := 0
	for uid := range uint32(10 * usersWatched) {
		kept, _ := r.pass(10+uid, time.Now())
		told += kept
	}
	if told != 7 {
		t.Errorf("of 7 lines of somebody who was forgotten %d are told of", told)
	}
	if len(r.users) > usersWatched {
		t.Errorf("%d users are remembered", len(r.users))
	}
}
