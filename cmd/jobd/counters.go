package main

import (
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/metrics"
)

// counters is what is counted of the sockets, from their goroutines.
type counters struct {
	mu       sync.Mutex
	requests map[[2]string]uint64 // verb, result
	answered map[string]uint64
	refused  map[string]uint64
	latency  metrics.Histogram
	kills    map[uint32]int // under way, by who pays
}

// loginBuckets are the upper bounds of how long a login waited, in seconds.
var loginBuckets = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5}

func (c *counters) init() {
	c.requests, c.kills = make(map[[2]string]uint64), make(map[uint32]int)
	c.answered, c.refused = map[string]uint64{"new": 0, "mark": 0}, make(map[string]uint64)
	for _, code := range []control.Code{control.BadRequest, control.Denied, control.NoProcess, control.Conflict, control.Timeout,
		control.Disabled, control.Busy, control.Unavailable, control.Internal} {
		c.refused[string(code)] = 0 // Prometheus sees no rise in a series that was not there before
	}
	c.latency = metrics.Histogram{Bounds: loginBuckets[:], Counts: make([]uint64, len(loginBuckets)+1)}
}

// killsMost is how many kills an ordinary user may have under way: each opens a descriptor for every member.
const killsMost = 4

func (c *counters) beginKill(peer control.Peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !trusted(peer) && c.kills[peer.Payer] >= killsMost {
		return false
	}
	c.kills[peer.Payer]++
	return true
}

func (c *counters) endKill(peer control.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kills[peer.Payer]--; c.kills[peer.Payer] == 0 {
		delete(c.kills, peer.Payer)
	}
}

// request counts one request of jobd.sock.
func (c *counters) request(verb control.Verb, code control.Code) {
	result := string(code)
	if result == "" {
		result = "ok"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[[2]string{string(verb), result}]++
}

// refuse counts one session that was not opened, whoever said no.
func (c *counters) refuse(code control.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[string(code)]++
}

// login counts one session that was opened; closing ones are not waited for by anybody.
func (c *counters) login(ans control.LoginAnswer, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := "new"
	if ans.Mark {
		kind = "mark"
	}
	c.answered[kind]++
	i, _ := slices.BinarySearch(c.latency.Bounds, took.Seconds())
	c.latency.Counts[i]++
	c.latency.Sum += took.Seconds()
}

// measure copies the counters.
func (c *counters) measure(s *metrics.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, n := range c.requests {
		s.Requests = append(s.Requests, metrics.Request{Verb: k[0], Result: k[1], Count: n})
	}
	lat := c.latency
	lat.Counts = slices.Clone(lat.Counts)
	s.Logins = &metrics.Logins{Answered: maps.Clone(c.answered), Refused: maps.Clone(c.refused), Latency: &lat}
}

func pid() int { return os.Getpid() }
