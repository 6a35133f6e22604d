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
		r.warn(Peer{UID: 1}, "loud")
	}
	r.warn(Peer{UID: 2}, "quiet")
	if n := strings.Count(log.String(), "loud"); n != linesPerUser || !strings.Contains(log.String(), "quiet") {
		t.Errorf("%d lines:\n%s", n, log)
	}
	kept, ok := r.pass(1, time.Now().Add(linesEvery))
	if !ok || kept != 100-linesPerUser {
		t.Errorf("later: %d, %v", kept, ok)
	}
	for uid := range uint32(10 * usersWatched) {
		r.pass(uid, time.Now())
	}
	if len(r.users) > usersWatched {
		t.Errorf("%d users are remembered", len(r.users))
	}
}
