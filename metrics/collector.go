package metrics

import (
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultUsers is how many users a Collector shows by name.
	DefaultUsers = 1000

	// maxValues bounds every other label. jobd's own words fit many times over; this is for a word that is not its own.
	maxValues = 64
)

// Collector is a prometheus.Collector over snapshots. It may be used from several goroutines at once.
type Collector struct {
	take  func() (Snapshot, error)
	descs map[string]described

	mu       sync.Mutex // guards the rest, for the time of one scrape
	users    *userView
	labels   map[string]*places // by name of series and label
	failures uint64
}

type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// Options say how a Collector tells of users. The zero value shows them by name, from nothing on.
type Options struct {
	NoUsers bool            // no series has a user's name: what they used is shown as one sum
	Said    map[string]Used // what an earlier Collector said of each, the last that was handed to Keep
	// Keep is handed what is about to be said and differs from what it has, by label. Its answer, nil or why not, is whether that is
	// remembered whatever happens; until then what was kept before is said again, and nothing more is handed over. No channel: not now.
	// A nil Keep: nobody needs to remember.
	Keep func(map[string]Used) <-chan error
}

// New makes a Collector that calls take once per scrape, never twice at the same time, and shows up to DefaultUsers
// users by name.
func New(take func() (Snapshot, error), o Options) *Collector {
	return newCollector(take, DefaultUsers, o)
}

func newCollector(take func() (Snapshot, error), users int, o Options) *Collector {
	c := &Collector{
		take: take, users: newUserView(users, o),
		descs: make(map[string]described), labels: make(map[string]*places),
	}
	for _, s := range all() {
		if o.NoUsers && slices.Equal(s.labels, []string{labelUser}) {
			s.labels = nil
		}
		c.descs[s.name] = described{prometheus.NewDesc(s.name, s.help, s.labels, nil), s.kind}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d.desc
	}
}

// Collect implements prometheus.Collector. Without a snapshot the scrape fails as a whole: half of the series would
// read as if jobd had none of the rest.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.collect() {
		ch <- m
	}
}

func (c *Collector) collect() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.snapshot()
	if err != nil {
		c.failures++
		return []prometheus.Metric{prometheus.NewInvalidMetric(c.descs[nameFailures].desc, err)}
	}
	p := &page{c: c}
	p.snapshot(&s)
	p.count(nameFailures, c.failures) // last: it counts what was wrong with this one, too
	return p.metrics
}

// snapshot keeps a panic in take from taking the daemon along, and a failed scrape from being taken for an empty jobd.
func (c *Collector) snapshot() (s Snapshot, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot take a snapshot: %v", r)
		}
	}()
	if s, err = c.take(); err != nil {
		return s, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	return s, nil
}

// Label is what a user with a place of their own is called in series, and to Keep; empty: nobody of that name has one.
func Label(user string) string {
	if label := clean(user); label != other {
		return label
	}
	return ""
}

// Forget drops what was said of a user, so that nothing keeps what is said next from being less. What is said later is what take gives then.
func (c *Collector) Forget(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if label := Label(user); label != "" {
		c.users.forget(label)
	}
}

// label gives what a series shows for the value s of its nth label.
func (c *Collector) label(name string, n int, s string) string {
	key := fmt.Sprint(name, n)
	p := c.labels[key]
	if p == nil {
		p = newPlaces(maxValues)
		c.labels[key] = p
	}
	return p.label(clean(s))
}
